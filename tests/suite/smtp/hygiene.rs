//! Headers that are too large, too long a list, or a loop, and messages that another server could read otherwise; over real sockets.

use super::*;
use wasmilter::proto::smtp::Smuggling;

async fn sent(server: &Server, message: &str) -> String {
    let mut client = server.client().await;
    client.up_to_data().await;
    client.say(&format!("{message}\r\n.")).await
}

#[tokio::test]
async fn headers_have_limits_and_loops_end() {
    let server = Server::start().await;
    let fields = |count, field: &str| format!("{}\r\ntext", field.repeat(count));
    let hop = "Received: from a.test by b.test with SMTP; Mon, 23 Nov 2026 05:06:07 +0000\r\n";
    let own = "Received: from a.test (unknown [192.0.2.1])\r\n\tby mx.example.test (wasmilter) with ESMTP id 1; Mon, 23 Nov 2026 05:06:07 +0000\r\n";
    let line = format!("X: {}\r\n", "x".repeat(1019));
    let folded = format!("X: a\r\n{}", line.replace("X:", " ").repeat(1500));
    for (message, code) in [
        (fields(1000, "X: y\r\n"), "250"),
        (fields(1001, "X: y\r\n"), "554 5.6.0"),
        (fields(512, &line), "250"),
        (fields(513, &line), "552 5.3.4"),
        // One field that is larger than what is looked at.
        (fields(1, &folded), "552 5.3.4"),
        (fields(100, hop), "250"),
        (fields(101, hop), "554 5.4.6"),
        (fields(10, own), "250"),
        (fields(11, own), "554 5.4.6"),
    ] {
        let reply = sent(&server, &message).await;
        assert!(
            reply.starts_with(code),
            "{reply}, not {code}: {:.70}",
            message
        );
    }
    server.finish().await;
}

#[tokio::test]
async fn what_could_smuggle_can_be_normalised() {
    let server = Server::with(|config| config.core.smuggling = Smuggling::Normalise).await;
    let text = "Subject: one\r\n\r\ntext\n.\nMAIL FROM:<evil@x.test>\r\n\0.\r\nend";
    assert!(sent(&server, text).await.starts_with("250"));
    let octets = String::from_utf8(server.store.only().await.octets).unwrap();
    let taken = "Subject: one\r\n\r\ntext\r\n.\r\nMAIL FROM:<evil@x.test>\r\n.\r\nend\r\n";
    assert_eq!(octets, taken);
    server.finish().await;
}
