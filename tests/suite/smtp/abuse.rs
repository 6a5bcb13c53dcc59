//! Clients that are broken, hostile, slow or too many. The server survives all of them.

use super::*;

/// The published ways to smuggle a second message past a server that reads line ends loosely.
#[tokio::test]
async fn smuggled_messages_arrive_nowhere() {
    let server = Server::start().await;
    for end in [
        "\n.\n",
        "\n.\r\n",
        "\r\n.\n",
        "\r.\r",
        "\r.\r\n",
        "\r\n.\r",
        "\r\n.\r\r\n",
        "\n\r.\r\n",
    ] {
        let mut client = server.client().await;
        client.up_to_data().await;
        let smuggled = format!(
            "Subject: one\r\n\r\ntext{end}MAIL FROM:<evil@x.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\nSubject: two\r\n\r\n."
        );
        client
            .dialogue(&[(&smuggled, "554 5.6.0"), ("NOOP", "250 2.0.0")])
            .await;
    }
    assert!(server.store.delivered().await.is_empty());
    server.finish().await;
}

#[tokio::test]
async fn noise_is_answered_and_then_sent_away() {
    let server = Server::with(|config| config.core.errors = 5).await;
    let mut client = server.client().await;
    let long = "x".repeat(100_000);
    client
        .dialogue(&[
            (&long, "500 5.5.6"),
            ("NUL\0NUL", "501 5.5.4"),
            ("MAIL FROM:<>", "503 5.5.1"),
            ("\u{1}\u{2}\u{3}", "500 5.5.2"),
        ])
        .await;
    client.write(b"\xff\xfe\r\n").await;
    assert!(
        client
            .rest()
            .await
            .ends_with("421 4.7.0 Too many errors\r\n")
    );
    // Others are served.
    server.client().await.dialogue(&[("NOOP", "250")]).await;
    server.finish().await;
}

#[tokio::test]
async fn a_browser_gets_nowhere() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client
        .write(b"POST / HTTP/1.1\r\nHost: mx\r\n\r\nEHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\n.\r\n")
        .await;
    assert_eq!(client.rest().await, "421 4.7.0 This is a mail server\r\n");
    server.finish().await;
}

#[tokio::test]
async fn a_client_that_says_nothing_is_sent_away() {
    let server = Server::with(|config| config.idle = Duration::from_millis(30)).await;
    let mut client = server.client().await;
    assert_eq!(
        client.rest().await,
        "421 4.4.2 mx.example.test Nothing heard for too long\r\n"
    );
    let mut client = server.client().await;
    client.up_to_data().await;
    client.write(b"half a mess").await;
    assert!(client.rest().await.starts_with("421 4.4.2 "));
    assert!(server.store.delivered().await.is_empty());
    server.finish().await;
}

#[tokio::test]
async fn clients_over_the_limit_are_put_off() {
    let server = Server::with(|config| config.connections = 2).await;
    let mut first = server.client().await;
    let _second = server.client().await;
    let mut third = Client::silent(&server.endpoint).await;
    assert!(
        third
            .rest()
            .await
            .starts_with("421 4.7.0 mx.example.test Too many connections")
    );
    first.dialogue(&[("NOOP", "250")]).await;
    server.finish().await;
}

#[tokio::test]
async fn clients_that_drop_at_any_point_hurt_nobody() {
    let server = Server::start().await;
    let whole = b"EHLO c.test\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\nSubject: x\r\n\r\ntext\r\n.\r\n";
    for cut in 0..whole.len() {
        let mut client = Client::silent(&server.endpoint).await;
        client.write(&whole[..cut]).await;
    }
    server.client().await.dialogue(&[("NOOP", "250")]).await;
    let store = server.store.clone();
    soon(server.finish()).await;
    assert!(store.delivered().await.is_empty());
}
