//! What a session may cost: recipients, errors, commands.

use super::*;

#[test]
fn recipients_over_the_limit_are_put_off_and_the_others_get_the_message() {
    assert_eq!(
        codes(
            b"EHLO c.test\r\nMAIL FROM:<>\r\nRCPT TO:<a@x.test>\r\nRCPT TO:<b@x.test>\r\nRCPT TO:<c@x.test>\r\n\
              RCPT TO:<d@x.test>\r\nDATA\r\n.\r\n"
        )[4..],
        ["250 2.1.5", "452 4.5.3", "354", "250 2.0.0"]
    );
}

#[test]
fn too_many_errors_end_the_connection_and_a_good_message_forgives() {
    let mut caller = Caller::new(Security::Plain);
    caller.feed(&b"WHAT\r\n".repeat(9));
    assert_eq!(caller.codes().len(), 6);
    assert_eq!(caller.codes()[5], "421 4.7.0");
    assert_eq!(caller.events, [Event::Close]);
    assert_eq!(caller.farewell, Some(Farewell::Errors));

    let round = b"WHAT\r\nWHAT\r\nWHAT\r\nMAIL FROM:<>\r\nRCPT TO:<a@x.test>\r\nDATA\r\n.\r\n";
    let mut caller = Caller::new(Security::Plain);
    caller.feed(b"EHLO c.test\r\n");
    caller.feed(&round.repeat(5));
    assert!(!caller.events.contains(&Event::Close));
}

#[test]
fn where_others_refuse_only_faults_are_errors() {
    let config = Config {
        blame: Blame::Faults,
        ..config()
    };
    let mut caller = Caller::with(config, Security::Plain);
    caller.feed(b"EHLO c.test\r\n");
    let nobody = b"MAIL FROM:<>\r\nRCPT TO:<a@no.test>\r\nRCPT TO:<b@no.test>\r\nDATA\r\nRSET\r\n";
    caller.feed(&nobody.repeat(9));
    let message = b"MAIL FROM:<>\r\nRCPT TO:<a@x.test>\r\nDATA\r\nno thanks\r\n.\r\n";
    caller.feed(&message.repeat(9));
    assert_eq!(caller.farewell, None);
    caller.feed(b"WHAT\r\nMAIL\r\nDATA\r\nRCPT TO:<a@x.test>\r\nEXPN a\r\n");
    assert_eq!(caller.farewell, Some(Farewell::Errors));
}

#[test]
fn too_many_commands_end_the_connection_and_a_good_message_forgives() {
    let message = b"MAIL FROM:<>\r\nRCPT TO:<a@x.test>\r\nDATA\r\n.\r\n";
    let idle = b"NOOP\r\nRSET\r\nVRFY a\r\nEXPN a\r\nHELP\r\nHELO a.test\r\n";
    for (commands, idle_commands, said, replies) in [
        (100, 13, idle.repeat(3), 14),
        (
            13,
            100,
            b"MAIL FROM:<>\r\nRCPT TO:<a@x.test>\r\nNOOP\r\nRSET\r\n".repeat(4),
            14,
        ),
    ] {
        let config = Config {
            errors: 100,
            commands,
            idle_commands,
            ..config()
        };
        let mut caller = Caller::with(config, Security::Plain);
        caller.feed(b"EHLO c.test\r\n");
        for _ in 0..9 {
            caller.feed(message);
        }
        let before = caller.codes().len();
        assert!(caller.farewell.is_none());
        caller.feed(&said);
        assert_eq!(caller.farewell, Some(Farewell::Commands));
        assert_eq!(caller.codes().len() - before, replies);
        assert_eq!(caller.codes().last().unwrap(), "421 4.7.0");
    }
}

#[test]
fn a_client_turned_away_can_only_quit() {
    let config = Arc::new(config());
    let reply = refusal(554, (5, 7, 1), "Not you");
    let mut caller = Caller::new(Security::StartTls);
    caller.machine = Machine::Commands(Server::refused(config.clone(), Security::StartTls, &reply));
    caller.feed(b"EHLO c.test\r\nSTARTTLS\r\nMAIL FROM:<>\r\nQUIT\r\n");
    assert!(caller.sent().starts_with("554 5.7.1 Not you\r\n"));
    assert_eq!(
        caller.codes(),
        ["503 5.5.1", "503 5.5.1", "503 5.5.1", "221 2.0.0"]
    );
    assert_eq!(caller.events, [Event::Close]);

    let reply = refusal(421, (4, 7, 0), "Later");
    let (_, step) = Server::refused(config, Security::Plain, &reply).next(b"");
    assert!(matches!(step, Step::Close(text, Farewell::Said) if text == b"421 4.7.0 Later\r\n"));
}

/// RFC 5321 §4.5.3.1.5
#[test]
fn no_reply_is_longer_than_512_octets() {
    let long = "X".repeat(1900);
    let mut caller = Caller::new(Security::StartTls);
    caller.feed(format!("EHLO c.test\r\nMAIL FROM:<> {long}=1\r\n").as_bytes());
    assert_eq!(caller.codes()[1], "555 5.5.4");
    assert!(caller.sent().split("\r\n").all(|line| line.len() <= 510));
}
