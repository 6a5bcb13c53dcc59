//! Messages sent by BDAT.

use super::*;
use proptest::prelude::*;

const BEFORE: &str = "EHLO c.test\r\nMAIL FROM:<>\r\nRCPT TO:<a@x.test>\r\n";
const BINARY: &str = "EHLO c.test\r\nMAIL FROM:<> BODY=BINARYMIME\r\nRCPT TO:<a@x.test>\r\n";

fn send(before: &str, text: &[u8]) -> Caller {
    let config = Config {
        errors: 100,
        ..config()
    };
    let mut caller = Caller::with(config, Security::Plain);
    caller.feed(&[before.as_bytes(), text].concat());
    caller
}

fn message(caller: &Caller) -> Option<&[u8]> {
    caller.events.iter().find_map(|event| match event {
        Event::Message(octets) => Some(octets.as_slice()),
        _ => None,
    })
}

#[test]
fn chunks_make_up_the_message_as_they_are() {
    for (said, expected, replies) in [
        ("BDAT 0 LAST\r\n", "", vec!["250 2.0.0"]),
        ("BDAT 3 LAST\r\na\r\n", "a\r\n", vec!["250 2.0.0"]),
        // No dot is special, and no line end is needed at the end.
        (
            "bdat 7 last\r\n.\r\n..\r\n",
            ".\r\n..\r\n",
            vec!["250 2.0.0"],
        ),
        ("BDAT 1 LAST\r\nx", "x", vec!["250 2.0.0"]),
        (
            "BDAT 2\r\na\rBDAT 0\r\nBDAT 1\r\n\nBDAT 3 LAST\r\nb\r\n",
            "a\r\nb\r\n",
            vec!["250 2.0.0"; 4],
        ),
        (
            "BDAT 3\r\na\r\nNOOP\r\nVRFY x\r\nBDAT 0 LAST\r\n",
            "a\r\n",
            vec!["250 2.0.0", "250 2.0.0", "252 2.0.0", "250 2.0.0"],
        ),
    ] {
        let caller = send(BEFORE, said.as_bytes());
        assert_eq!(message(&caller), Some(expected.as_bytes()), "{said:?}");
        assert_eq!(caller.codes()[3..], replies, "{said:?}");
    }
    let caller = send(BEFORE, b"BDAT 5\r\nabcdeBDAT 0 LAST\r\n");
    assert!(caller.sent().contains("250 2.0.0 5 octets received\r\n"));
}

/// What is in a chunk is never taken for a command, whether the chunk is wanted or not.
#[test]
fn nothing_in_a_chunk_is_a_command() {
    let hidden =
        "\r\n.\r\nRSET\r\nMAIL FROM:<evil@x.test>\r\nRCPT TO:<b@x.test>\r\nBDAT 0 LAST\r\n";
    let size = hidden.len();
    for (before, command, code) in [
        (BEFORE, "LAST", "250 2.0.0"),
        (BINARY, "LAST", "250 2.0.0"),
        ("", "LAST", "503 5.5.1"),
        ("EHLO c.test\r\n", "", "503 5.5.1"),
        ("EHLO c.test\r\nMAIL FROM:<>\r\n", "LAST", "503 5.5.1"),
        (
            "EHLO c.test\r\nMAIL FROM:<>\r\nRCPT TO:<a@no.test>\r\n",
            "LAST",
            "554 5.5.1",
        ),
        (BEFORE, "FIRST", "501 5.5.4"),
        (BEFORE, "LAST LAST", "501 5.5.4"),
    ] {
        let said = format!("BDAT {size} {command}\r\n{hidden}NOOP\r\n");
        let caller = send(before, said.as_bytes());
        let codes = caller.codes();
        assert_eq!(
            codes[codes.len() - 2..],
            [code, "250 2.0.0"],
            "{before:?} {command}"
        );
        let evil = caller.events.iter().any(
            |event| matches!(event, Event::Mail(mail) if mail.sender.to_string().contains("evil")),
        );
        assert!(!evil, "{before:?} {command}");
    }
}

/// Nor is it where another server could read a length in a line that is no command to us.
#[test]
fn a_bdat_that_cannot_be_read_ends_the_connection() {
    let long = format!("BDAT 30 LAST{}\r\n", " ".repeat(2100));
    for command in [
        "BDAT 30 LAST\n",
        "BDAT 30 LAST\r",
        "BDAT 30 LAST\0\r\n",
        "BDAT\t30 LAST\r\n",
        "bdat\u{a0}30 LAST\r\n",
        "BDAT\r\n",
        "BDAT x\r\n",
        &long,
    ] {
        let said = format!("{command}RSET\r\nMAIL FROM:<evil@x.test>\r\n");
        for packet in [said.len(), 3, 1] {
            let mut caller = send(BEFORE, b"");
            for part in said.as_bytes().chunks(packet) {
                caller.feed(part);
            }
            assert_eq!(caller.codes()[3..], ["421 4.5.4"], "{command:?}");
            assert_eq!(caller.events.last(), Some(&Event::Close), "{command:?}");
        }
    }
}

#[test]
fn a_cr_or_lf_alone_is_refused_wherever_the_chunks_end() {
    for text in [
        "a\nb", "a\rb", "\n", "\r", "a\r\r\n", "a\n\r", "x\r\n.\n", "a\r\n\r",
    ] {
        for cut in 0..=text.len() {
            let (first, second) = text.split_at(cut);
            let said = format!(
                "BDAT {}\r\n{first}BDAT {} LAST\r\n{second}NOOP\r\n",
                first.len(),
                second.len()
            );
            let caller = send(BEFORE, said.as_bytes());
            assert_eq!(
                caller.codes()[4..],
                ["554 5.6.0", "250 2.0.0"],
                "{text:?} at {cut}"
            );
            assert_eq!(message(&caller), None, "{text:?} at {cut}");
        }
    }
}

/// RFC 3030 §3: of a binary message only the header has lines.
#[test]
fn a_binary_body_may_hold_anything_and_its_header_may_not() {
    for (text, taken) in [
        (&b"A: b\r\n\r\n\0\n\r\r\n.\n\xff\r"[..], true),
        (b"\r\n\n\n", true),
        (b"A: b\nC: d\r\n\r\n", false),
        (b"A: b\r\n\r", false),
        (b"A: b\r\r\n\r\n", false),
    ] {
        for cut in 0..=text.len() {
            let (first, second) = text.split_at(cut);
            let said = [
                format!("BDAT {}\r\n", first.len()).as_bytes(),
                first,
                format!("BDAT {} LAST\r\n", second.len()).as_bytes(),
                second,
            ]
            .concat();
            let caller = send(BINARY, &said);
            assert_eq!(message(&caller), taken.then_some(text), "{text:?} at {cut}");
        }
    }
}

#[test]
fn bdat_and_data_do_not_mix() {
    let caller = send(
        BEFORE,
        b"BDAT 3\r\na\r\nDATA\r\nRCPT TO:<b@x.test>\r\nMAIL FROM:<>\r\nBDAT 0 LAST\r\n",
    );
    assert_eq!(
        caller.codes()[3..],
        [
            "250 2.0.0",
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
            "250 2.0.0"
        ]
    );
    assert_eq!(message(&caller), Some(&b"a\r\n"[..]));
    // RFC 3030 §3
    let caller = send(BINARY, b"DATA\r\nBDAT 0 LAST\r\n");
    assert_eq!(caller.codes()[3..], ["503 5.5.1", "250 2.0.0"]);
    // Behind the last chunk the transaction is over.
    let caller = send(BEFORE, b"BDAT 0 LAST\r\nBDAT 1 LAST\r\nxMAIL FROM:<>\r\n");
    assert_eq!(caller.codes()[3..], ["250 2.0.0", "503 5.5.1", "250 2.1.0"]);
}

/// The client may have sent all chunks before it hears of the first (RFC 2920): each is read, and the reply is the same for all.
#[test]
fn after_a_chunk_that_failed_the_others_fail_alike_and_count_once() {
    let config = Config {
        errors: 3,
        ..config()
    };
    let mut caller = Caller::with(config, Security::Plain);
    let rest = "BDAT 4\r\nQUIT".repeat(20);
    caller.feed(
        format!("{BEFORE}BDAT 9\r\nno room\r\n{rest}DATA\r\nBDAT 0 LAST\r\nMAIL FROM:<>\r\n")
            .as_bytes(),
    );
    let codes = caller.codes();
    assert_eq!(codes[3..24], ["452 4.3.1"; 21]);
    assert_eq!(codes[24..], ["503 5.5.1", "452 4.3.1", "250 2.1.0"]);

    let caller = send(BEFORE, b"BDAT 9\r\nno room\r\nRSET\r\nMAIL FROM:<>\r\n");
    assert_eq!(caller.codes()[3..], ["452 4.3.1", "250 2.0.0", "250 2.1.0"]);
}

#[test]
fn a_message_over_the_limit_is_refused_at_the_chunk_that_crosses_it() {
    let x = "x".repeat(600);
    let said = format!("BDAT 600\r\n{x}BDAT 600\r\n{x}BDAT 600 LAST\r\n{x}MAIL FROM:<>\r\n");
    let caller = send(BEFORE, said.as_bytes());
    assert_eq!(
        caller.codes()[3..],
        ["250 2.0.0", "552 5.3.4", "552 5.3.4", "250 2.1.0"]
    );
    // The caller is told to let go of the first chunk when the second comes.
    assert!(caller.events.contains(&Event::Reset));
    assert_eq!(message(&caller), None);
    // And of the whole transaction when the only chunk is refused.
    let caller = send(BEFORE, format!("BDAT 1200 LAST\r\n{x}{x}").as_bytes());
    assert_eq!(caller.codes()[3], "552 5.3.4");
    assert!(caller.events.contains(&Event::Reset));

    let said = format!("BDAT 600\r\n{x}BDAT 400 LAST\r\n{}", "y".repeat(400));
    assert_eq!(
        message(&send(BEFORE, said.as_bytes())).map(<[u8]>::len),
        Some(1000)
    );
    let mut caller = send(BEFORE, b"BDAT 18446744073709551615 LAST\r\n");
    caller.feed(&[0; 5000]);
    assert_eq!(caller.codes().len(), 3);
}

proptest! {
    /// Cut into chunks anyhow, and those into packets anyhow, a message comes out as it went in.
    #[test]
    fn a_message_comes_out_as_it_went_in(
        body in proptest::collection::vec(any::<u8>(), 0..300),
        chunks in proptest::collection::vec(0usize..40, 0..8),
        packet in 1usize..50,
    ) {
        let message = [&b"A: b\r\n\r\n"[..], &body].concat();
        let mut said = BINARY.as_bytes().to_vec();
        let mut rest = &message[..];
        for size in chunks {
            let (chunk, behind) = rest.split_at(size.min(rest.len()));
            said.extend_from_slice(format!("BDAT {}\r\n", chunk.len()).as_bytes());
            said.extend_from_slice(chunk);
            rest = behind;
        }
        said.extend_from_slice(format!("BDAT {} LAST\r\n", rest.len()).as_bytes());
        said.extend_from_slice(rest);
        let mut caller = Caller::new(Security::Plain);
        for piece in said.chunks(packet) {
            caller.feed(piece);
        }
        prop_assert_eq!(caller.events.last(), Some(&Event::Message(message)));
    }
}
