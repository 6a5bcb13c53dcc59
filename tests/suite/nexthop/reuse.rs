//! A connection to a next hop serves one message after another, and one that has come to its end is no reason to refuse any.

use super::*;

fn count(hop: &Hop, begin: &str) -> usize {
    let lines = hop.seen().lines;
    lines.iter().filter(|line| line.starts_with(begin)).count()
}

const TAKEN: &str = "250 2.0.0 taken as 17";

#[tokio::test]
async fn one_connection_serves_one_message_after_another_and_is_ended_when_none_comes() {
    for (protocol, hello) in [("smtp", "EHLO"), ("lmtp", "LHLO")] {
        let hop = Hop::start(&[]).await;
        let relay = Relay::start(protocol, hop.address, "", "").await;
        for _ in 0..3 {
            assert_eq!(soon(relay.send(&[ALICE], MESSAGE)).await, TAKEN);
        }
        let messages = hop.seen().messages;
        assert_eq!(messages.len(), 3);
        // Each with its own facts.
        for (command, times) in [(hello, 1), ("XFORWARD", 3), ("MAIL", 3), ("QUIT", 0)] {
            assert_eq!(count(&hop, command), times, "{protocol} {command}");
        }
        until(|| hop.told("QUIT")).await;
    }
}

#[tokio::test]
async fn two_at_a_time_have_two_connections() {
    let hop = Hop::start(&[]).await;
    let relay = Relay::start("smtp", hop.address, "", "").await;
    for _ in 0..2 {
        let (one, other) = tokio::join!(relay.send(&[ALICE], MESSAGE), relay.send(&[BOB], MESSAGE));
        assert_eq!([one, other], [TAKEN, TAKEN]);
    }
    assert_eq!(hop.seen().messages.len(), 4);
    assert!(count(&hop, "EHLO") <= 2);
}

#[tokio::test]
async fn one_that_ended_or_had_enough_is_replaced() {
    let fine = |text| Say::Text(text);
    for (script, what) in [
        (
            vec![(".", Say::Last("250 2.0.0 taken as 17\r\n"))],
            "closed",
        ),
        (
            vec![(".", Say::Text("250 2.0.0 taken as 17\r\n421 4.4.2 bye\r\n"))],
            "said goodbye",
        ),
        (
            vec![("XFORWARD", fine("250 ok\r\n")), ("XFORWARD", Say::Close)],
            "closed at XFORWARD",
        ),
        (
            vec![("MAIL", fine("250 ok\r\n")), ("MAIL", Say::Close)],
            "closed at MAIL",
        ),
        (
            vec![
                ("MAIL", fine("250 ok\r\n")),
                ("MAIL", Say::Last("421 4.7.0 enough\r\n")),
            ],
            "said 421 to MAIL",
        ),
    ] {
        let hop = Hop::start(&script).await;
        let relay = Relay::start("smtp", hop.address, "", "").await;
        for _ in 0..2 {
            assert_eq!(soon(relay.send(&[ALICE], MESSAGE)).await, TAKEN, "{what}");
        }
        assert_eq!(hop.seen().messages.len(), 2, "{what}");
        assert_eq!(count(&hop, "EHLO"), 2, "{what}");
    }
}

/// What is refused is refused on whatever connection.
#[tokio::test]
async fn a_refusal_is_no_reason_to_ask_again() {
    let script = [
        ("MAIL", Say::Text("250 ok\r\n")),
        ("MAIL", Say::Text("550 5.7.1 not you\r\n")),
    ];
    let hop = Hop::start(&script).await;
    let relay = Relay::start("smtp", hop.address, "", "").await;
    assert_eq!(relay.send(&[ALICE], MESSAGE).await, TAKEN);
    assert_eq!(relay.send(&[ALICE], MESSAGE).await, "550 5.7.1 not you");
    assert_eq!(count(&hop, "MAIL"), 2);
}

/// Whoever waits for it has waited once.
#[tokio::test]
async fn one_that_hangs_is_not_waited_for_on_another_connection_too() {
    let script = [("MAIL", Say::Text("250 ok\r\n")), ("MAIL", Say::Hang)];
    let hop = Hop::start(&script).await;
    let relay = Relay::start("smtp", hop.address, "timeout-s = 1", "").await;
    assert_eq!(relay.send(&[ALICE], MESSAGE).await, TAKEN);
    let reply = relay.send(&[ALICE], MESSAGE).await;
    assert!(reply.starts_with("451 4.4.1"), "{reply}");
    assert_eq!(count(&hop, "EHLO"), 1);
}

/// It makes the whole session that of one client.
#[tokio::test]
async fn after_xclient_each_message_has_its_own() {
    let offer = "250-next.test\r\n250 XCLIENT NAME ADDR\r\n";
    let script: Vec<_> = (0..4).map(|_| ("EHLO", Say::Text(offer))).collect();
    let hop = Hop::start(&script).await;
    let relay = Relay::start("smtp", hop.address, "client = \"xclient\"", "").await;
    for _ in 0..2 {
        assert_eq!(soon(relay.send(&[ALICE], MESSAGE)).await, TAKEN);
    }
    assert_eq!(count(&hop, "XCLIENT"), 2);
    until(|| count(&hop, "QUIT") == 2).await;
}
