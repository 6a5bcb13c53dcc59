//! Where a message ends, and what is in it.

use super::*;

const BEFORE: &[u8] = b"EHLO c.test\r\nMAIL FROM:<>\r\nRCPT TO:<a@x.test>\r\nDATA\r\n";

fn send(text: &[u8]) -> Caller {
    let mut caller = Caller::with(
        Config {
            errors: 100,
            ..config()
        },
        Security::Plain,
    );
    caller.feed(&[BEFORE, text].concat());
    caller
}

fn messages(caller: &Caller) -> Vec<&[u8]> {
    caller
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Message(octets) => Some(octets.as_slice()),
            _ => None,
        })
        .collect()
}

#[test]
fn dots_are_unstuffed() {
    for (wire, message) in [
        ("", ""),
        ("\r\n", "\r\n"),
        ("a\r\n", "a\r\n"),
        ("..\r\n", ".\r\n"),
        ("...\r\n", "..\r\n"),
        (".a\r\n", "a\r\n"),
        ("a.\r\n", "a.\r\n"),
        ("a\r\n..\r\n..b\r\n\r\n", "a\r\n.\r\n.b\r\n\r\n"),
        ("\r\n..\r\n", "\r\n.\r\n"),
        ("\u{fe}ä\r\n", "\u{fe}ä\r\n"),
    ] {
        let caller = send(format!("{wire}.\r\n").as_bytes());
        assert_eq!(messages(&caller), [message.as_bytes()], "{wire:?}");
        assert_eq!(caller.codes()[4], "250 2.0.0");
    }
}

#[test]
fn a_text_line_may_be_long() {
    let line = [&b"x".repeat(900)[..], b"\r\n"].concat();
    assert_eq!(messages(&send(&[&line, &b".\r\n"[..]].concat())), [line]);
}

/// Every published way to make one server see the end of a message where another sees none (SMTP smuggling, 2023).
/// None ends the message, all are refused at its real end, and what would have been smuggled is part of it.
#[test]
fn only_crlf_dot_crlf_ends_a_message() {
    for false_end in [
        "\n.\n",
        "\n.\r\n",
        "\r\n.\n",
        "\r.\r",
        "\r.\r\n",
        "\r\n.\r",
        "\n.\r",
        "\r.\n",
        "\r\n.\r\r\n",
        "\r\n\0.\r\n\n",
        "\r\n.\0\r\n\n",
        "\r\n.\r\0\n",
        "\r\0\n.\r\n",
        "\n\n.\r\n",
        "\n\r.\r\n",
        "\n\r.\n\r",
        "\r\n.\u{b}\n",
        "\r\n. \r\n\n",
    ] {
        let wire = format!(
            "Subject: one\r\n\r\ntext{false_end}MAIL FROM:<evil@x.test>\r\nRCPT TO:<b@x.test>\r\nDATA\r\n\
             Subject: two\r\n\r\n.\r\nNOOP\r\n"
        );
        let caller = send(wire.as_bytes());
        assert_eq!(
            caller.events[3..],
            [Event::Data, Event::Refused],
            "{false_end:?}"
        );
        assert_eq!(
            caller.codes()[3..],
            ["354", "554 5.6.0", "250 2.0.0"],
            "{false_end:?}"
        );
    }
}

/// Sequences that do hold CRLF.CRLF, with something odd before it: the message ends there and is refused.
#[test]
fn an_odd_end_is_an_end_but_the_message_is_refused() {
    for wire in [
        "a\r\r\n.\r\n",
        "a\n\r\n.\r\n",
        "\n\r\n.\r\n",
        ".\r\r\n.\r\n",
    ] {
        let caller = send(format!("{wire}NOOP\r\n").as_bytes());
        assert_eq!(
            caller.codes()[3..],
            ["354", "554 5.6.0", "250 2.0.0"],
            "{wire:?}"
        );
    }
}

#[test]
fn a_message_over_the_limit_is_read_to_its_end_and_refused() {
    let at_limit = [&b"x".repeat(998)[..], b"\r\n"].concat();
    let caller = send(&[&at_limit, &b".\r\n"[..]].concat());
    assert_eq!(messages(&caller), [at_limit.as_slice()]);

    let caller = send(&[&b"x".repeat(999)[..], b"\r\n.\r\nMAIL FROM:<>\r\n"].concat());
    assert_eq!(caller.codes()[4..], ["552 5.3.4", "250 2.1.0"]);
    assert!(messages(&caller).is_empty());
    let caller = send(&[&b"..\r\n".repeat(334)[..], b".\r\n"].concat());
    assert_eq!(caller.codes()[4], "552 5.3.4");
    // The stuffed dots don't count (RFC 1870 §5).
    let caller = send(&[&b"..\r\n".repeat(333)[..], b".\r\n"].concat());
    assert_eq!(caller.codes()[4], "250 2.0.0");
    // Too large and with a bare CR: one reply, wherever the reads end.
    let wire = [&b"x".repeat(1500)[..], b"\rx\r\n.\r\n"].concat();
    for cut in [1, 700, 1499, 1600] {
        let mut caller = send(b"");
        for piece in wire.chunks(cut) {
            caller.feed(piece);
        }
        assert_eq!(caller.codes()[4], "554 5.6.0", "{cut}");
    }
}
