//! What LMTP has that SMTP hasn't (RFC 2033).

use super::*;

const BEFORE: &str = "LHLO c.test\r\nMAIL FROM:<>\r\nRCPT TO:<first@x.test>\r\nRCPT TO:<a@no.test>\r\nRCPT TO:<second@x.test>\r\n\
                      RCPT TO:<first@x.test>\r\n";

fn send(said: &str) -> Caller {
    let config = Config {
        dialect: Dialect::Lmtp,
        ..config()
    };
    let mut caller = Caller::with(config, Security::Plain);
    caller.feed(said.as_bytes());
    caller
}

#[test]
fn lhlo_takes_the_place_of_ehlo_and_helo() {
    let caller =
        send("EHLO c.test\r\nHELO c.test\r\nMAIL FROM:<>\r\nLHLO c.test\r\nMAIL FROM:<>\r\n");
    assert!(caller.sent().starts_with("220 mx.test LMTP wasmilter\r\n"));
    assert_eq!(
        caller.codes(),
        ["500 5.5.1", "500 5.5.1", "503 5.5.1", "250", "250 2.1.0"]
    );
    // RFC 2033 §5
    for extension in ["PIPELINING", "ENHANCEDSTATUSCODES", "8BITMIME"] {
        assert!(caller.sent().contains(extension), "{extension}");
    }
}

/// RFC 2033 §4.2: one reply for each RCPT that was accepted, in their order, one given twice included.
#[test]
fn each_recipient_has_a_reply_after_the_message() {
    for end in ["DATA\r\nx\r\n.\r\n", "BDAT 3 LAST\r\nx\r\n"] {
        let caller = send(&format!("{BEFORE}{end}NOOP\r\n"));
        let codes = caller.codes();
        assert_eq!(
            codes[codes.len() - 4..],
            ["250 2.0.0", "550 5.2.1", "250 2.0.0", "250 2.0.0"],
            "{end:?}"
        );
    }
}

#[test]
fn what_is_refused_whole_is_refused_for_each() {
    for (end, code) in [
        ("DATA\r\nno thanks\r\n.\r\n", "550 5.7.1"),
        ("DATA\r\nbare\n\r\n.\r\n", "554 5.6.0"),
        ("BDAT 1 LAST\r\n\n", "554 5.6.0"),
        ("BDAT 2000 LAST\r\n", "552 5.3.4"),
    ] {
        let filler = match code {
            "552 5.3.4" => "x".repeat(2000),
            _ => String::new(),
        };
        let caller = send(&format!("{BEFORE}{end}{filler}MAIL FROM:<>\r\n"));
        let codes = caller.codes();
        assert_eq!(
            codes[codes.len() - 4..],
            [code, code, code, "250 2.1.0"],
            "{end:?}"
        );
    }
    // A chunk that isn't the last has one reply.
    let caller = send(&format!("{BEFORE}BDAT 7\r\nno roomBDAT 1 LAST\r\nx"));
    assert_eq!(caller.codes()[6..], ["452 4.3.1"; 4]);
}

/// RFC 2033 §4.2
#[test]
fn without_recipients_there_is_no_data() {
    let caller =
        send("LHLO c.test\r\nMAIL FROM:<>\r\nRCPT TO:<a@no.test>\r\nDATA\r\nBDAT 1 LAST\r\nx");
    assert_eq!(caller.codes()[3..], ["503 5.5.1", "503 5.5.1"]);
}
