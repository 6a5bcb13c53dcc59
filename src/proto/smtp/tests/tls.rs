//! STARTTLS, and REQUIRETLS where it may be asked for.

use super::*;

/// CVE-2011-0411: what stood behind STARTTLS in the same packet was taken for the first command under TLS.
#[test]
fn nothing_said_before_tls_counts_after_it() {
    let mut caller = Caller::new(Security::StartTls);
    caller.feed(
        b"EHLO before.test\r\nSTARTTLS\r\nEHLO injected.test\r\nMAIL FROM:<evil@x.test>\r\nRSE",
    );
    caller.feed(b"MAIL FROM:<>\r\nSTARTTLS\r\nEHLO after.test\r\nSTARTTLS\r\n");
    let hello = |name: &str| {
        Event::Hello(Hello {
            name: name.into(),
            extended: true,
        })
    };
    assert_eq!(
        caller.events,
        [hello("before.test"), Event::StartTls, hello("after.test")]
    );
    assert_eq!(
        caller.codes(),
        [
            "250",
            "220 2.0.0",
            "503 5.5.1",
            "503 5.5.1",
            "250",
            "503 5.5.1"
        ]
    );
    assert_eq!(caller.sent().matches("STARTTLS").count(), 1);
}

/// RFC 8689 §2: offered, and known, under TLS only.
#[test]
fn tls_can_be_required_where_there_is_tls() {
    for (security, said, code) in [
        (
            Security::Tls,
            "MAIL FROM:<a@x.test> REQUIRETLS",
            "250 2.1.0",
        ),
        (
            Security::Tls,
            "MAIL FROM:<a@x.test> REQUIRETLS=yes",
            "501 5.5.4",
        ),
        (
            Security::Tls,
            "MAIL FROM:<a@x.test> requiretls REQUIRETLS",
            "501 5.5.4",
        ),
        (
            Security::StartTls,
            "MAIL FROM:<a@x.test> REQUIRETLS",
            "555 5.5.4",
        ),
        (
            Security::Plain,
            "MAIL FROM:<a@x.test> REQUIRETLS",
            "555 5.5.4",
        ),
    ] {
        let mut caller = Caller::new(security);
        caller.feed(format!("EHLO c.test\r\n{said}\r\n").as_bytes());
        assert_eq!(caller.codes()[1], code, "{said}");
        let required = |event: &Event| matches!(event, Event::Mail(mail) if mail.require_tls);
        assert_eq!(caller.events.iter().any(required), code.starts_with('2'));
    }
}

#[test]
fn tls_is_not_started_where_there_is_none() {
    let mut caller = Caller::new(Security::Plain);
    caller.feed(b"EHLO c.test\r\nSTARTTLS\r\nNOOP\r\n");
    assert_eq!(caller.codes(), ["250", "502 5.5.1", "250 2.0.0"]);
}
