//! Next hops that are not there, hang, lie or vanish: no message is acknowledged that nobody has.

use super::*;

const TAKEN: Say = Say::Text("250 2.0.0 taken as 17\r\n");

/// What the next hop does at which command, and what the client hears in the end.
const TABLE: &[(&str, Say, &str)] = &[
    ("CONNECT", Say::Close, "451 4.4.1"),
    ("CONNECT", Say::Hang, "451 4.4.1"),
    ("CONNECT", Say::Text("554 5.3.2 no\r\n"), "451 4.4.1"),
    ("CONNECT", Say::Text("hello there\r\n"), "451 4.4.1"),
    ("CONNECT", Say::Last("220 next"), "451 4.4.1"),
    ("EHLO", Say::Close, "451 4.4.1"),
    ("EHLO", Say::Hang, "451 4.4.1"),
    ("EHLO", Say::Text("250-a\r\n220 b\r\n"), "451 4.4.1"),
    ("XFORWARD", Say::Close, "451 4.4.1"),
    ("MAIL", Say::Close, "451 4.4.1"),
    ("MAIL", Say::Hang, "451 4.4.1"),
    ("MAIL", Say::Text("354 go\r\n"), "451 4.4.1"),
    ("RCPT", Say::Close, "451 4.4.2"),
    ("RCPT", Say::Hang, "451 4.4.2"),
    ("RCPT", Say::Text("\0\0\0\r\n"), "451 4.4.2"),
    ("DATA", Say::Close, "451 4.4.2"),
    ("DATA", Say::Hang, "451 4.4.2"),
    ("DATA", Say::Text("250 ok\r\n"), "451 4.4.2"),
    (
        "DATA",
        Say::Text("451 4.3.0 not now\r\n"),
        "451 4.3.0 not now",
    ),
    (".", Say::Close, "451 4.4.2"),
    (".", Say::Hang, "451 4.4.2"),
    (".", Say::Last("250-2.0.0 half a reply\r\n"), "451 4.4.2"),
    (".", Say::Text("354 go on\r\n"), "451 4.4.2"),
    (".", Say::Text("99 bottles\r\n"), "451 4.4.2"),
];

#[tokio::test]
async fn whatever_it_does_the_message_stays_with_the_client_and_the_next_one_goes() {
    for (at, say, heard) in TABLE {
        let hop = Hop::start(&[(*at, say.clone())]).await;
        let relay = Relay::start("smtp", hop.address, "timeout-s = 1", "").await;
        let reply = soon(relay.send(&[ALICE], MESSAGE)).await;
        assert!(reply.starts_with(heard), "{at} {say:?}: {reply}");
        let reply = soon(relay.send(&[ALICE], MESSAGE)).await;
        assert_eq!(reply, "250 2.0.0 taken as 17", "{at} {say:?}");
    }
}

#[tokio::test]
async fn an_endless_line_and_an_endless_reply_come_to_an_end() {
    let line: &'static str = Box::leak("250 ".repeat(100_000).into_boxed_str());
    let lines: &'static str = Box::leak("250-x\r\n".repeat(100_000).into_boxed_str());
    for endless in [line, lines] {
        let hop = Hop::start(&[("MAIL", Say::Text(endless))]).await;
        let relay = Relay::start("smtp", hop.address, "", "").await;
        assert!(
            soon(relay.send(&[ALICE], MESSAGE))
                .await
                .starts_with("451 4.4.1")
        );
    }
}

#[tokio::test]
async fn nobody_there_is_a_matter_for_later() {
    let relay = Relay::start("smtp", crate::support::free(), "", "").await;
    let mut client = relay.client().await;
    let reply = client.say("MAIL FROM:<a@client.test>").await;
    assert_eq!(
        reply,
        "451 4.4.1 The next hop next is not to be had; please try again later"
    );
}

/// Its patience is at an end before the message is there.
#[tokio::test]
async fn one_that_gave_up_waiting_is_asked_again() {
    let hop = Hop::start(&[("RCPT", Say::Last("250 2.1.5 ok\r\n"))]).await;
    let relay = Relay::start("smtp", hop.address, "", "").await;
    let mut client = relay.client().await;
    client
        .dialogue(&[
            ("MAIL FROM:<a@client.test>", "250"),
            ("RCPT TO:<alice@example.test>", "250"),
            ("DATA", "354"),
        ])
        .await;
    // Its end has arrived by now.
    tokio::time::sleep(Duration::from_millis(300)).await;
    client.write(stuffed(MESSAGE).as_bytes()).await;
    assert_eq!(client.reply().await, "250 2.0.0 taken as 17");
    hop.message();
}

#[tokio::test]
async fn of_many_recipients_the_worst_counts_so_that_nobody_is_forgotten() {
    for (first, second, heard) in [
        (TAKEN, Say::Text("452 4.2.2 full\r\n"), "452 4.2.2 full"),
        (TAKEN, Say::Text("550 5.2.2 no\r\n"), "550 5.2.2 no"),
        (
            Say::Text("550 5.2.2 no\r\n"),
            Say::Text("452 4.2.2 full\r\n"),
            "452 4.2.2 full",
        ),
        (
            TAKEN,
            Say::Close,
            "451 4.4.2 The next hop next was lost; please try again later",
        ),
        (TAKEN, TAKEN, "250 2.0.0 taken as 17"),
    ] {
        let hop = Hop::start(&[(".", first), (".", second)]).await;
        let config = config("smtp", hop.address, "").replace(
            "\"next\"\nprotocol = \"smtp\"",
            "\"next\"\nprotocol = \"lmtp\"",
        );
        let relay = Relay::with(&config, "").await;
        assert_eq!(soon(relay.send(&[ALICE, BOB], MESSAGE)).await, heard);
    }
}

/// A client that vanishes leaves nothing at the next hop.
#[tokio::test]
async fn half_a_message_is_no_message_there() {
    let hop = Hop::start(&[]).await;
    let relay = Relay::start("smtp", hop.address, "", "").await;
    let mut client = relay.client().await;
    client
        .dialogue(&[
            ("MAIL FROM:<a@client.test>", "250"),
            ("RCPT TO:<alice@example.test>", "250"),
            ("DATA", "354"),
        ])
        .await;
    client.write(b"Subject: half\r\n\r\nof").await;
    drop(client);
    until(|| hop.told("QUIT")).await;
    assert!(hop.seen().messages.is_empty());
    assert!(!hop.told("DATA"));
}
