//! A next hop has so many transactions at once, which ends those that open each other.

use super::*;
use crate::support::free;

#[tokio::test]
async fn one_more_than_a_next_hop_may_have_is_put_off() {
    let hop = Hop::start(&[]).await;
    let relay = Relay::start("smtp", hop.address, "transactions = 1", "").await;
    let mail = "MAIL FROM:<a@client.test>";
    let mut first = relay.client().await;
    assert!(first.say(mail).await.starts_with("250"));
    let mut second = relay.client().await;
    let reply = second.say(mail).await;
    assert!(reply.starts_with("451 4.3.2"), "{reply}");
    // Nobody was asked.
    let lines = hop.seen().lines;
    let asked = lines.iter().filter(|line| line.starts_with("MAIL"));
    assert_eq!(asked.count(), 1);
    assert!(first.say("RSET").await.starts_with("250"));
    assert!(second.say(mail).await.starts_with("250"));
}

/// No configuration shows it: there are two, each with the other as its next hop.
#[tokio::test]
async fn two_servers_that_hand_on_to_each_other_come_to_an_end() {
    let (one, other) = (free(), free());
    let server = async |at: SocketAddr, to| {
        let config = config("smtp", to, "transactions = 5");
        let config = config.replace("127.0.0.1:0", &at.to_string());
        Relay::with(&config, "").await
    };
    let relay = server(one, other).await;
    let _other = server(other, one).await;
    let reply = relay.send(&[ALICE], MESSAGE).await;
    assert!(reply.starts_with("451 4.3.2"), "{reply}");
}
