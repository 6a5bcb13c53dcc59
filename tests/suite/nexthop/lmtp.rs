//! LMTP in and out: each recipient has a reply of its own, and it is the next hop's.

use super::*;

async fn replies(relay: &Relay, recipients: &[&str]) -> Vec<String> {
    let mut client = relay.client().await;
    client
        .dialogue(&[("MAIL FROM:<a@client.test>", "250")])
        .await;
    for recipient in recipients {
        client
            .dialogue(&[(&format!("RCPT TO:<{recipient}>"), "250")])
            .await;
    }
    client.dialogue(&[("DATA", "354")]).await;
    client.write(stuffed(MESSAGE).as_bytes()).await;
    let mut replies = Vec::new();
    for _ in recipients {
        replies.push(soon(client.reply()).await);
    }
    replies
}

const CAROL: &str = "carol@elsewhere.test";

#[tokio::test]
async fn each_hears_what_the_next_hop_says_of_it() {
    let hop = Hop::start(&[
        (".", Say::Text("250 2.0.0 alice\r\n")),
        (".", Say::Text("452-4.2.2 bob\r\n452 4.2.2 is full\r\n")),
        (".", Say::Text("550 5.2.1 carol\r\n")),
    ])
    .await;
    let relay = Relay::start("lmtp", hop.address, "", "").await;
    assert_eq!(
        replies(&relay, &[ALICE, BOB, CAROL]).await,
        [
            "250 2.0.0 alice",
            "452-4.2.2 bob\n452 4.2.2 is full",
            "550 5.2.1 carol"
        ]
    );
}

#[tokio::test]
async fn who_had_an_answer_before_it_vanished_keeps_it() {
    let hop = Hop::start(&[(".", Say::Text("250 2.0.0 alice\r\n")), (".", Say::Close)]).await;
    let relay = Relay::start("lmtp", hop.address, "", "").await;
    let lost = "451 4.4.2 The next hop next was lost; please try again later";
    assert_eq!(
        replies(&relay, &[ALICE, BOB, CAROL]).await,
        ["250 2.0.0 alice", lost, lost]
    );
}

#[tokio::test]
async fn filters_refuse_for_one_and_the_others_get_it_in_any_order() {
    let hop = Hop::start(&[]).await;
    let script = "relay = [\"for alice@example.test add X-Alice 1\", \"for bob@example.test reject 550 5 No\"]";
    let relay = Relay::start("lmtp", hop.address, "", script).await;
    assert_eq!(
        replies(&relay, &[CAROL, BOB, ALICE]).await,
        [
            "250 2.0.0 taken as 17",
            "550 5.7.1 No",
            "250 2.0.0 taken as 17"
        ]
    );
    let seen = hop.seen();
    assert_eq!(seen.messages.len(), 2);
    assert!(!String::from_utf8_lossy(&seen.messages[0]).contains("X-Alice"));
}
