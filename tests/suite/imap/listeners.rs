//! Several listeners of one server.

use super::*;
use crate::support;
use wasmilter::net::Endpoint;

async fn selected(listening: &wasmilter::app::Listening) -> Vec<String> {
    let Endpoint::Tcp(address) = &listening.endpoint else {
        panic!("{listening}");
    };
    let socket = TcpStream::connect(address).await.unwrap();
    let mut client = Client::over(Box::new(socket));
    client.response().await.unwrap();
    let login = format!("LOGIN {} \"{}\"", support::ALICE, support::PASSWORD);
    client.say(login).await.ok();
    client.say("SELECT INBOX").await.ok()
}

/// RFC 3501 §2.3.2
#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_recent_once_over_all_of_them() {
    let more = "[[listener]]\nprotocol = \"imap\"\naddress = \"127.0.0.1:0\"\nallow-plaintext-auth = true\n";
    let server = support::Server::with(more, |_| {}).await;
    let smtp = server.smtp();
    let sent = tokio::task::spawn_blocking(move || {
        let mut sender = support::process::Sender::connect(smtp)?;
        sender.send(support::ALICE, "Subject: s\r\n\r\nb")
    });
    assert_eq!(sent.await.unwrap().unwrap(), 250);
    let listening = server.app.listening().iter();
    let imap: Vec<_> = listening
        .filter(|listening| listening.protocol == wasmilter::config::Protocol::Imap)
        .collect();
    assert_eq!(imap.len(), 2);
    assert!(selected(imap[0]).await.contains(&"1 RECENT".to_owned()));
    assert!(selected(imap[1]).await.contains(&"0 RECENT".to_owned()));
}
