//! That numbers move: what clients do is read off `/metrics` as Prometheus reads it.

use super::tls::look;
use crate::support::{Server, program};
use std::net::SocketAddr;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use wasmilter::config::Protocol;

pub async fn scrape(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

/// 0 where there is none.
pub fn value(text: &str, series: &str) -> f64 {
    let mut lines = text.lines();
    lines
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
        .unwrap_or_default()
}

/// Says each line after the greeting, and waits for its last reply line.
async fn say(address: SocketAddr, lines: &[&str]) -> Vec<String> {
    let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
    let mut replies = Vec::new();
    for line in std::iter::once(None).chain(lines.iter().map(Some)) {
        if let Some(line) = line {
            let line = format!("{line}\r\n");
            stream.get_mut().write_all(line.as_bytes()).await.unwrap();
        }
        loop {
            let mut reply = String::new();
            if stream.read_line(&mut reply).await.unwrap_or_default() == 0 {
                return replies;
            }
            let last = match reply.as_bytes() {
                [b'0'..=b'9', _, _, b'-', ..] => false,
                [b'*', ..] => line.is_none(),
                _ => true,
            };
            if last {
                replies.push(reply);
                break;
            }
        }
    }
    replies
}

const MORE: &str = "[[listener]]\nprotocol = \"imap\"\naddress = \"127.0.0.1:0\"\ntls = \"implicit\"\n\
    [limits]\nmessage-size = 70000\nheader-fields = 50\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_do_is_counted() {
    let server = Server::with(MORE, |_| {}).await;
    let fields = vec!["X-Field: x"; 60].join("\r\n");
    let letter = "Subject: letter\r\n\r\nhello\r\n.";
    let crowded = format!("{fields}\r\n\r\n.");
    let mail = |message| {
        vec![
            "MAIL FROM:<a@b.test>",
            "RCPT TO:<alice@example.test>",
            "DATA",
            message,
        ]
    };
    let mut lines = vec![
        "EHLO client.test",
        "RCPT TO:<alice@example.test>",
        "MAIL FROM:<a@b.test> SIZE=80000",
    ];
    lines.extend(mail(letter));
    lines.extend(mail(&crowded));
    lines.extend([
        "MAIL FROM:<a@b.test>",
        "RCPT TO:<nobody@example.test>",
        "QUIT",
    ]);
    let replies = say(server.smtp(), &lines).await;
    assert_eq!(replies.len(), lines.len() + 1, "{replies:?}");
    say(
        server.imap(),
        &[
            "a LOGIN alice@example.test \"correct horse\"",
            "b SELECT INBOX",
            "c FROB",
            "d LOGOUT",
        ],
    )
    .await;
    let implicit = match &server.app.listening().last().unwrap().endpoint {
        wasmilter::net::Endpoint::Tcp(address) => *address,
        wasmilter::net::Endpoint::Unix(_) => panic!("a TCP address was expected"),
    };
    look(implicit, "mx.example.test", None).await;
    // It speaks no TLS.
    let mut plain = TcpStream::connect(implicit).await.unwrap();
    plain.write_all(b"a001 CAPABILITY\r\n\r\n").await.unwrap();
    let _ = plain.read_to_end(&mut Vec::new()).await;
    let text = scrape(server.address(Protocol::Http)).await;
    for (series, wanted) in [
        ("wasmilter_connections_total{protocol=\"smtp\"}", 1.0),
        ("wasmilter_connections_open{protocol=\"http\"}", 1.0),
        ("wasmilter_connections_total{protocol=\"imap\"}", 3.0),
        (
            "wasmilter_smtp_replies_total{protocol=\"smtp\",code=\"220\"}",
            1.0,
        ),
        (
            "wasmilter_smtp_replies_total{protocol=\"smtp\",code=\"354\"}",
            2.0,
        ),
        (
            "wasmilter_smtp_replies_total{protocol=\"smtp\",code=\"503\"}",
            1.0,
        ),
        (
            "wasmilter_smtp_replies_total{protocol=\"smtp\",code=\"552\"}",
            1.0,
        ),
        (
            "wasmilter_smtp_replies_total{protocol=\"smtp\",code=\"554\"}",
            1.0,
        ),
        (
            "wasmilter_messages_total{protocol=\"smtp\",result=\"accepted\"}",
            1.0,
        ),
        (
            "wasmilter_messages_total{protocol=\"smtp\",result=\"refused\"}",
            1.0,
        ),
        ("wasmilter_message_bytes_total{protocol=\"smtp\"}", 26.0),
        (
            "wasmilter_limits_total{protocol=\"smtp\",limit=\"message-size\"}",
            1.0,
        ),
        (
            "wasmilter_limits_total{protocol=\"smtp\",limit=\"header-fields\"}",
            1.0,
        ),
        (
            "wasmilter_limits_total{protocol=\"smtp\",limit=\"errors\"}",
            0.0,
        ),
        ("wasmilter_chain_seconds_count", 2.0),
        (
            "wasmilter_imap_commands_total{command=\"LOGIN\",result=\"ok\"}",
            1.0,
        ),
        (
            "wasmilter_imap_commands_total{command=\"SELECT\",result=\"ok\"}",
            1.0,
        ),
        (
            "wasmilter_imap_commands_total{command=\"INVALID\",result=\"bad\"}",
            1.0,
        ),
        (
            "wasmilter_logins_total{protocol=\"imap\",result=\"ok\"}",
            1.0,
        ),
        ("wasmilter_tls_handshakes_total{version=\"TLSv1.3\"}", 1.0),
        ("wasmilter_tls_failures_total{reason=\"protocol\"}", 1.0),
    ] {
        assert_eq!(value(&text, series), wanted, "{series}\n{text}");
    }
    // The message and, for the refused one, its journal.
    assert!(
        value(&text, "wasmilter_store_commit_changes_sum") >= 2.0,
        "{text}"
    );
    assert!(
        value(
            &text,
            "wasmilter_certificate_expiry{name=\"mx.example.test\"}"
        ) > 1.8e9
    );
    if let Some(mut promtool) = program("curl") {
        let url = format!("http://{}/metrics", server.address(Protocol::Http));
        promtool.args(["--fail", "--silent", &url]);
        crate::support::run(promtool).await;
    }
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_gets_to_filters_is_counted_too() {
    let limits =
        "[trusted]\nnetworks = []\n[limits.address]\nconnections = 1\nconnections-per-minute = 0\n";
    let server = Server::with(limits, |_| {}).await;
    let greeting = || async {
        let mut client = TcpStream::connect(server.smtp()).await.unwrap();
        let mut octets = [0; 4];
        client.read_exact(&mut octets).await.unwrap();
        (client, String::from_utf8(octets.to_vec()).unwrap())
    };
    let (first, served) = greeting().await;
    let (_second, turned_away) = greeting().await;
    assert_eq!((&*served, &*turned_away), ("220 ", "421 "));
    drop(first);
    let lines = [
        "EHLO client.test",
        "MAIL FROM:<a@b.test>",
        "RCPT TO:<alice@example.test>",
        "DATA",
        "a bare\nline end\r\n.",
    ];
    // Until the first is gone.
    while say(server.smtp(), &lines).await.len() <= 1 {}
    let text = scrape(server.address(Protocol::Http)).await;
    let refused = "wasmilter_messages_total{protocol=\"smtp\",result=\"refused\"}";
    assert_eq!(value(&text, refused), 1.0, "{text}");
    let replies = "wasmilter_smtp_replies_total{protocol=\"smtp\",code=\"421\"}";
    assert!(value(&text, replies) >= 1.0, "{text}");
    server.app.stop().await;
}
