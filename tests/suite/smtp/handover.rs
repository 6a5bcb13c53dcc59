//! Clients that come over a proxy or mail server of ours: PROXY, XCLIENT, XFORWARD. Who is believed, and what is then said of the client.

use super::*;
use std::net::IpAddr;
use wasmilter::mail::{How, Session, Via};
use wasmilter::net::{Networks, Proxies};

fn loopback() -> Networks {
    Networks::loopback()
}

fn ip(text: &str) -> Option<IpAddr> {
    Some(text.parse().unwrap())
}

fn via(how: How, helo: &str) -> Option<Via> {
    Some(Via {
        how,
        address: ip("127.0.0.1"),
        helo: helo.into(),
    })
}

const MESSAGE: &str = "Subject: x\r\n\r\ntext\r\n.";

impl Client {
    async fn send(&mut self, hello: &str) {
        self.dialogue(&[
            (hello, "250"),
            ("MAIL FROM:<sender@client.test>", "250"),
            ("RCPT TO:<alice@example.test>", "250"),
            ("DATA", "354"),
            (MESSAGE, "250"),
        ])
        .await;
    }
}

/// The session as the journal has it, and the Received field.
async fn last(server: &Server) -> (Session, String) {
    let last = server.store.delivered().await.pop().unwrap();
    let text = String::from_utf8(last.rendered).unwrap();
    let at = text.find("Received: ").unwrap();
    let received = text[at..].split_inclusive("\r\n").take(2).collect();
    (last.journal.session, received)
}

#[tokio::test]
async fn the_client_is_the_one_that_the_proxy_names() {
    let server = Server::with(|config| config.proxies = Some(Proxies::new(loopback()))).await;
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\x7f\0\0\x01\x12\x34\0\x19".to_vec();
    let local = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0".to_vec();
    for (header, address, proxied) in [
        (
            b"PROXY TCP4 192.0.2.7 127.0.0.1 4660 25\r\n".to_vec(),
            "192.0.2.7",
            true,
        ),
        (
            b"PROXY TCP6 2001:db8::7 ::1 4660 25\r\n".to_vec(),
            "2001:db8::7",
            true,
        ),
        (v2, "192.0.2.7", true),
        (local, "127.0.0.1", false),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1", false),
    ] {
        let mut client = Client::silent(&server.endpoint).await;
        // With what a client may send behind it in the same packet.
        client.write(&[&header[..], b"NOOP\r\n"].concat()).await;
        assert!(client.reply().await.starts_with("220 "));
        assert!(client.reply().await.starts_with("250 2.0.0"));
        client.send("EHLO client.test").await;
        let (session, received) = last(&server).await;
        assert_eq!(session.client_address, ip(address));
        assert_eq!(session.via, via(How::Proxy, "").filter(|_| proxied));
        let literal = address.replace("2001", "IPv6:2001");
        assert!(
            received.starts_with(&format!(
                "Received: from client.test (unknown [{literal}])\r\n"
            )),
            "{received}"
        );
    }
    server.finish().await;
}

#[tokio::test]
async fn without_a_header_that_is_believed_there_is_no_session() {
    let server = Server::with(|config| config.proxies = Some(Proxies::new(loopback()))).await;
    let mut client = Client::silent(&server.endpoint).await;
    client.write(b"EHLO client.test\r\n").await;
    assert_eq!(client.end().await, "");
    server.finish().await;

    let slow = Proxies::new(loopback()).with_deadline(Duration::from_millis(30));
    let server = Server::with(|config| config.proxies = Some(slow)).await;
    let mut client = Client::silent(&server.endpoint).await;
    client.write(b"PROXY TCP4 192.0.2.7").await;
    assert_eq!(client.end().await, "");
    server.finish().await;

    let others = Networks::parse(["192.0.2.0/24"]).unwrap();
    let server = Server::with(|config| config.proxies = Some(Proxies::new(others))).await;
    let mut client = Client::silent(&server.endpoint).await;
    client
        .write(b"PROXY TCP4 192.0.2.7 127.0.0.1 4660 25\r\n")
        .await;
    assert_eq!(client.end().await, "");
    server.finish().await;

    // Where no proxy is expected, the header is a command like another.
    let server = Server::start().await;
    let mut client = server.client().await;
    client
        .dialogue(&[("PROXY TCP4 192.0.2.7 127.0.0.1 4660 25", "500 5.5.2")])
        .await;
    server.finish().await;
}

#[tokio::test]
async fn tls_begins_behind_the_header() {
    let proxies = Some(Proxies::new(loopback()));
    let server = super::tls::server(TlsUse::Implicit, |config| config.proxies = proxies).await;
    let mut client = Client::silent(&server.endpoint).await;
    client
        .write(b"PROXY TCP4 192.0.2.7 127.0.0.1 4660 25\r\n")
        .await;
    let mut client = super::tls::handshake(&server, client.into_socket()).await;
    assert!(client.reply().await.starts_with("220 "));
    client.send("EHLO client.test").await;
    let (session, _) = last(&server).await;
    assert_eq!(session.client_address, ip("192.0.2.7"));
    assert!(session.tls.is_some());
    server.finish().await;
}

#[tokio::test]
async fn xclient_makes_the_session_anothers() {
    let server = Server::with(|config| {
        config.xclient = loopback();
        config.xforward = loopback();
    })
    .await;
    let mut client = server.client().await;
    client
        .dialogue(&[
            ("EHLO proxy.test", "250"),
            (
                "XCLIENT ADDR=IPV6:2001:db8::7 NAME=mail.client.test LOGIN=carol",
                "220 ",
            ),
            ("MAIL FROM:<>", "503"),
            // What is said from here on may be that client's own words.
            ("XCLIENT LOGIN=mallory", "550 5.7.0"),
            ("XFORWARD ADDR=192.0.2.7", "550 5.7.0"),
        ])
        .await;
    client.send("EHLO client.test").await;
    let (session, received) = last(&server).await;
    assert_eq!(session.client_address, ip("2001:db8::7"));
    assert_eq!(session.client_name.as_deref(), Some("mail.client.test"));
    assert_eq!(session.authenticated.as_deref(), Some("carol"));
    assert_eq!(session.helo, "client.test");
    assert_eq!(session.via, via(How::Xclient, "proxy.test"));
    let from = "Received: from client.test (mail.client.test [IPv6:2001:db8::7])\r\n";
    assert!(received.starts_with(from), "{received}");
    server.finish().await;
}

#[tokio::test]
async fn a_client_told_of_has_nothing_of_the_one_before() {
    let proxies = Networks::parse(["127.0.0.1", "192.0.2.0/24"]).unwrap();
    let server = Server::with(|config| config.xclient = proxies).await;
    let mut client = server.client().await;
    client
        .dialogue(&[
            ("EHLO proxy.test", "250"),
            (
                "XCLIENT ADDR=192.0.2.1 NAME=a.test HELO=a.test LOGIN=carol",
                "220 ",
            ),
            ("EHLO proxy.test", "250"),
            ("XCLIENT ADDR=198.51.100.7", "220 "),
            ("XCLIENT ADDR=192.0.2.1", "550 5.7.0"),
        ])
        .await;
    client.send("EHLO client.test").await;
    let (session, _) = last(&server).await;
    assert_eq!(session.client_address, ip("198.51.100.7"));
    assert_eq!((session.client_name, session.authenticated), (None, None));
    server.finish().await;
}

/// As Dovecot does when a line would be too long: the address comes last.
#[tokio::test]
async fn a_client_is_told_of_in_several_commands() {
    let server = Server::with(|config| config.xclient = loopback()).await;
    let mut client = server.client().await;
    client
        .dialogue(&[
            ("EHLO proxy.test", "250"),
            ("XCLIENT HELO=client.test LOGIN=carol", "220 "),
            ("XCLIENT ADDR=2001:db8::7", "220 "),
        ])
        .await;
    client.send("EHLO client.test").await;
    let (session, _) = last(&server).await;
    assert_eq!(session.client_address, ip("2001:db8::7"));
    assert_eq!(session.authenticated.as_deref(), Some("carol"));
    server.finish().await;
}

#[tokio::test]
async fn xforward_is_for_the_next_transaction() {
    let server = Server::with(|config| config.xforward = loopback()).await;
    let mut client = server.client().await;
    client
        .dialogue(&[
            ("EHLO relay.test", "250"),
            ("XFORWARD ADDR=192.0.2.7", "250"),
            ("RSET", "250"),
        ])
        .await;
    client.send("EHLO relay.test").await;
    assert_eq!(last(&server).await.0.client_address, ip("127.0.0.1"));
    // A MAIL that was refused was none.
    client
        .dialogue(&[
            ("XFORWARD ADDR=192.0.2.7", "250"),
            ("MAIL FROM:<a@b c>", "501"),
            ("MAIL FROM:<sender@client.test>", "250"),
            ("RCPT TO:<alice@example.test>", "250"),
            ("DATA", "354"),
            (MESSAGE, "250"),
        ])
        .await;
    assert_eq!(last(&server).await.0.client_address, ip("192.0.2.7"));
    server.finish().await;
}

#[tokio::test]
async fn xforward_tells_of_one_message() {
    let server = Server::with(|config| config.xforward = loopback()).await;
    let mut client = server.client().await;
    client
        .dialogue(&[
            ("EHLO relay.test", "250"),
            ("XFORWARD ADDR=192.0.2.7 NAME=mail.client.test", "250"),
            (
                "XFORWARD HELO=client.test PROTO=ESMTP IDENT=4A SOURCE=REMOTE",
                "250",
            ),
            ("MAIL FROM:<sender@client.test>", "250"),
            ("XFORWARD ADDR=192.0.2.8", "503"),
            ("RCPT TO:<alice@example.test>", "250"),
            ("DATA", "354"),
            (MESSAGE, "250"),
        ])
        .await;
    let (session, received) = last(&server).await;
    assert_eq!(session.client_address, ip("192.0.2.7"));
    assert_eq!(session.client_name.as_deref(), Some("mail.client.test"));
    assert_eq!(session.helo, "client.test");
    assert_eq!(session.via, via(How::Xforward, "relay.test"));
    // We had it from the relay.
    let from = "Received: from relay.test (unknown [127.0.0.1])\r\n\tby mx.example.test (wasmilter) with ESMTP";
    assert!(received.starts_with(from), "{received}");
    // The next is the relay's own.
    client.send("RSET").await;
    let (session, _) = last(&server).await;
    assert_eq!(
        (session.client_address, session.via),
        (ip("127.0.0.1"), None)
    );
    server.finish().await;
}

/// The server that tells of it took it: to refuse it would put off all the mail that it hands on.
#[tokio::test]
async fn a_name_that_we_would_not_take_is_no_fault_of_who_tells_of_it() {
    let server = Server::with(|config| config.xforward = loopback()).await;
    let mut client = server.client().await;
    client
        .dialogue(&[
            ("EHLO relay.test", "250"),
            ("XFORWARD HELO=a,b NAME=x+28y+29", "250"),
        ])
        .await;
    client.send("NOOP").await;
    let (session, _) = last(&server).await;
    assert_eq!(session.helo, "a?b");
    assert_eq!(session.client_name.as_deref(), Some("x?y?"));
    server.finish().await;
}

#[tokio::test]
async fn strangers_speak_for_nobody() {
    let others = Networks::parse(["192.0.2.0/24"]).unwrap();
    let server = Server::with(|config| {
        config.xclient = others.clone();
        config.xforward = others;
    })
    .await;
    let mut client = server.client().await;
    let hello = client.say("EHLO client.test").await;
    assert!(
        !hello.contains("XCLIENT") && !hello.contains("XFORWARD"),
        "{hello}"
    );
    client
        .dialogue(&[
            ("XCLIENT ADDR=192.0.2.7", "550 5.7.0"),
            ("XFORWARD ADDR=192.0.2.7", "550 5.7.0"),
        ])
        .await;
    client.send("RSET").await;
    assert_eq!(last(&server).await.0.client_address, ip("127.0.0.1"));
    server.finish().await;
}
