//! Who may come in by IMAP: connections at once, and those who guess passwords.

use crate::support::Server;
use std::net::SocketAddr;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use wasmilter::config::Protocol;

struct Client(BufReader<TcpStream>);

impl Client {
    async fn connect(address: SocketAddr) -> (Self, String) {
        let mut client = Self(BufReader::new(TcpStream::connect(address).await.unwrap()));
        let greeting = client.line().await;
        (client, greeting)
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).await.unwrap();
        line
    }

    async fn say(&mut self, line: &str) {
        let line = format!("{line}\r\n");
        self.0.get_mut().write_all(line.as_bytes()).await.unwrap();
    }
}

const MORE: &str = "[trusted]\nnetworks = []\n[limits]\ntarpit-ms = 0\n[limits.imap]\nfailed-logins = 2\n[limits.imap.address]\nconnections = 2\n";

#[tokio::test(flavor = "multi_thread")]
async fn one_address_has_so_many_connections() {
    let server = Server::with(MORE, |_| {}).await;
    let (first, greeting) = Client::connect(server.imap()).await;
    assert!(greeting.starts_with("* OK"), "{greeting}");
    let (_second, greeting) = Client::connect(server.imap()).await;
    assert!(greeting.starts_with("* OK"), "{greeting}");
    let (mut third, greeting) = Client::connect(server.imap()).await;
    assert!(
        greeting.starts_with("* BYE [UNAVAILABLE] Too many connections"),
        "{greeting}"
    );
    assert_eq!(third.line().await, "");
    // SMTP's clients are counted by themselves.
    let mut smtp = TcpStream::connect(server.smtp()).await.unwrap();
    let mut code = [0; 3];
    smtp.read_exact(&mut code).await.unwrap();
    assert_eq!(&code, b"220");
    drop(first);
    // The server hears of it in its own time.
    loop {
        let (_, greeting) = Client::connect(server.imap()).await;
        if greeting.starts_with("* OK") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let text = super::metrics::scrape(server.address(Protocol::Http)).await;
    let hit = "wasmilter_limits_total{protocol=\"imap\",limit=\"connections\"}";
    assert!(super::metrics::value(&text, hit) >= 1.0, "{text}");
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_passwords_is_banned() {
    let server = Server::with(MORE, |_| {}).await;
    let (mut guesser, _) = Client::connect(server.imap()).await;
    guesser.say("a LOGIN alice@example.test wrong").await;
    let said = guesser.line().await;
    assert!(said.starts_with("a NO [AUTHENTICATIONFAILED]"), "{said}");
    guesser.say("b LOGIN alice@example.test worse").await;
    let said = guesser.line().await;
    assert!(said.starts_with("* BYE Too many failed logins"), "{said}");
    assert_eq!(guesser.line().await, "");
    // With the right password too.
    let (_, greeting) = Client::connect(server.imap()).await;
    assert!(
        greeting.starts_with("* BYE [UNAVAILABLE] Too many offences"),
        "{greeting}"
    );
    let text = super::metrics::scrape(server.address(Protocol::Http)).await;
    for (series, wanted) in [
        (
            "wasmilter_logins_total{protocol=\"imap\",result=\"failed\"}",
            2.0,
        ),
        (
            "wasmilter_limits_total{protocol=\"imap\",limit=\"failed-logins\"}",
            2.0,
        ),
        (
            "wasmilter_limits_total{protocol=\"imap\",limit=\"banned\"}",
            1.0,
        ),
    ] {
        assert_eq!(
            super::metrics::value(&text, series),
            wanted,
            "{series}\n{text}"
        );
    }
    server.app.stop().await;
}
