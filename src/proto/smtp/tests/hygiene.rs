//! What could smuggle a message past a server that reads line ends loosely, refused or normalised; lines that are too long.

use super::*;

const DATA: &str = "EHLO c.test\r\nMAIL FROM:<>\r\nRCPT TO:<a@x.test>\r\nDATA\r\n";
const BDAT: &str = "EHLO c.test\r\nMAIL FROM:<>\r\nRCPT TO:<a@x.test>\r\n";

fn say(said: &[u8], smuggling: Smuggling, piece: usize) -> Caller {
    let config = Config {
        smuggling,
        line: 100,
        ..config()
    };
    let mut caller = Caller::with(config, Security::Plain);
    for piece in said.chunks(piece) {
        caller.feed(piece);
    }
    caller
}

fn message(caller: &Caller) -> Option<String> {
    caller.events.iter().find_map(|event| match event {
        Event::Message(octets) => Some(String::from_utf8(octets.clone()).unwrap()),
        _ => None,
    })
}

/// Each way, what it is over DATA once normalised (the dot that begins a line is unstuffed), and over BDAT.
const WAYS: &[(&str, &str, &str)] = &[
    ("\n.\n", "\r\n.\r\n", "\r\n.\r\n"),
    ("\n.\r\n", "\r\n.\r\n", "\r\n.\r\n"),
    ("\r\n.\n", "\r\n\r\n", "\r\n.\r\n"),
    ("\r.\r", "\r\n.\r\n", "\r\n.\r\n"),
    ("\r.\r\n", "\r\n.\r\n", "\r\n.\r\n"),
    ("\r.\n", "\r\n.\r\n", "\r\n.\r\n"),
    ("\n.\r", "\r\n.\r\n", "\r\n.\r\n"),
    ("\r\n.\r", "\r\n\r\n", "\r\n.\r\n"),
    ("\r\n.\r\r\n", "\r\n\r\n\r\n", "\r\n.\r\n\r\n"),
    ("\r\r\n.\r\r\n", "\r\n\r\n\r\n\r\n", "\r\n\r\n.\r\n\r\n"),
    ("\n\r.\n\r", "\r\n\r\n.\r\n\r\n", "\r\n\r\n.\r\n\r\n"),
    ("\r\n\0.\r\n", "\r\n.\r\n", "\r\n.\r\n"),
    ("\r\n.\0\r\n", "\r\n\r\n", "\r\n.\r\n"),
    ("\r\n.\r\0\n", "\r\n\r\n\r\n", "\r\n.\r\n\r\n"),
    ("\r\0\n.\r\n", "\r\n\r\n.\r\n", "\r\n\r\n.\r\n"),
    ("\0", "", ""),
];

const REST: &str = "MAIL FROM:<evil@x.test>\r\nRCPT TO:<b@x.test>\r\nDATA\r\n";

#[test]
fn no_way_of_smuggling_ends_a_message_however_it_is_taken() {
    for (way, data, chunk) in WAYS {
        let text = format!("S: x\r\n\r\ntext{way}{REST}two\r\n");
        for piece in [1, 7, 4096] {
            let said = format!("{DATA}{text}.\r\nNOOP\r\n");
            let caller = say(said.as_bytes(), Smuggling::Reject, piece);
            assert_eq!(
                caller.codes()[3..],
                ["354", "554 5.6.0", "250 2.0.0"],
                "{way:?}"
            );
            let caller = say(said.as_bytes(), Smuggling::Normalise, piece);
            let taken = format!("S: x\r\n\r\ntext{data}{REST}two\r\n");
            assert_eq!(message(&caller), Some(taken), "{way:?} in {piece}");
            assert_eq!(
                caller.codes()[3..],
                ["354", "250 2.0.0", "250 2.0.0"],
                "{way:?}"
            );

            let said = format!("{BDAT}BDAT {} LAST\r\n{text}NOOP\r\n", text.len());
            let caller = say(said.as_bytes(), Smuggling::Reject, piece);
            assert_eq!(caller.codes()[3..], ["554 5.6.0", "250 2.0.0"], "{way:?}");
            let caller = say(said.as_bytes(), Smuggling::Normalise, piece);
            let taken = format!("S: x\r\n\r\ntext{chunk}{REST}two\r\n");
            assert_eq!(message(&caller), Some(taken), "{way:?} in {piece}");
            assert_eq!(caller.codes()[3..], ["250 2.0.0", "250 2.0.0"], "{way:?}");
        }
    }
}

#[test]
fn a_cr_at_the_end_of_a_chunk_waits_for_the_next() {
    for (said, taken) in [
        ("BDAT 2\r\na\rBDAT 2 LAST\r\n\nb", "a\r\nb"),
        ("BDAT 2\r\na\rBDAT 1 LAST\r\nb", "a\r\nb"),
        ("BDAT 2 LAST\r\na\r", "a\r\n"),
        ("BDAT 2\r\na\rBDAT 0 LAST\r\n", "a\r\n"),
    ] {
        let said = format!("{BDAT}{said}");
        for piece in [1, 4096] {
            let caller = say(said.as_bytes(), Smuggling::Normalise, piece);
            assert_eq!(message(&caller).as_deref(), Some(taken), "{said:?}");
        }
    }
}

#[test]
fn a_line_may_be_as_long_as_the_limit() {
    for (length, code) in [(100, "250 2.0.0"), (101, "554 5.6.0")] {
        let line = "x".repeat(length);
        for text in [
            format!("a\r\n{line}\r\nb\r\n"),
            format!("{line}\r\n"),
            format!("{line}\r\n{line}\r\n"),
        ] {
            for piece in [1, 30, 4096] {
                let said = format!("{DATA}{text}.\r\n");
                let caller = say(said.as_bytes(), Smuggling::Reject, piece);
                assert_eq!(caller.codes()[4], code, "{length}");
                let said = format!("{BDAT}BDAT {} LAST\r\n{text}", text.len());
                let caller = say(said.as_bytes(), Smuggling::Reject, piece);
                assert_eq!(caller.codes()[3], code, "{length}");
            }
        }
    }
}
