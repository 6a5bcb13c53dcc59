//! Which certificate clients are shown, and those that they show.

use super::tls::{Authority, look, until};
use crate::support::imap::Reader;
use crate::support::{ALICE, PASSWORD, Server, program};
use std::net::SocketAddr;
use wasmilter::config::Protocol;
use wasmilter::net::Endpoint;

/// The listener that stands last in the configuration.
fn last(server: &Server) -> SocketAddr {
    match &server.app.listening().last().unwrap().endpoint {
        Endpoint::Tcp(address) => *address,
        Endpoint::Unix(path) => panic!("{} is a socket file", path.display()),
    }
}

const SEVERAL: &str = "[[listener]]\nprotocol = \"imap\"\naddress = \"127.0.0.1:0\"\ntls = \"implicit\"\n\
    [tls]\ncertificate = \"first.pem\"\nkey = \"first.key\"\n\
    [[certificate]]\nfile = \"shops.pem\"\nkey = \"shops.key\"\n\
    [[certificate]]\nfile = \"one.pem\"\nkey = \"one.key\"\n";

#[tokio::test]
async fn several_are_chosen_by_name_and_read_again_when_they_change() {
    let authority = Authority::new();
    let mut files = Vec::new();
    let server = Server::with(SEVERAL, |home| {
        files = vec![
            authority.write(home, "first", &["mx.example.test"]),
            authority.write(home, "shops", &["*.shop.example"]),
            authority.write(home, "one", &["One.shop.example"]),
        ];
    })
    .await;
    let address = last(&server);
    let home = server.home.path();
    for (name, place) in [
        ("mx.example.test", 0),
        ("two.shop.example", 1),
        ("one.shop.example", 2),
        // A wildcard stands for one label.
        ("a.two.shop.example", 0),
        ("shop.example", 0),
        ("elsewhere.example", 0),
    ] {
        let seen = look(address, name, None).await;
        assert!(seen.certificate == files[place], "{name}");
        assert!(seen.greeting.starts_with("* OK"), "{}", seen.greeting);
    }
    // A pair that does not fit together, and then another that does: both have been looked at when that one is there.
    let (foreign, _) = authority.sign(&["mx.example.test"]);
    std::fs::write(home.join("first.pem"), foreign).unwrap();
    let fresh = authority.write(home, "one", &["one.shop.example"]);
    until(address, "one.shop.example", |seen| seen == fresh).await;
    let seen = look(address, "mx.example.test", None).await;
    assert!(seen.certificate == files[0]);
    // Put right, by a link as certbot does it.
    let fresh = authority.write(home, "renewed", &["mx.example.test"]);
    for kind in ["pem", "key"] {
        let place = home.join("first").with_extension(kind);
        std::fs::remove_file(&place).unwrap();
        std::os::unix::fs::symlink(home.join("renewed").with_extension(kind), place).unwrap();
    }
    until(address, "mx.example.test", |seen| seen == fresh).await;
    server.app.stop().await;
}

const CLIENTS: &str = "[[listener]]\nprotocol = \"lmtp\"\naddress = \"127.0.0.1:0\"\nclient-certificates = \"optional\"\n\
    [[listener]]\nprotocol = \"imap\"\naddress = \"127.0.0.1:0\"\ntls = \"implicit\"\nclient-certificates = \"required\"\n\
    [tls]\nclient-ca = \"authority.pem\"\n";

#[tokio::test(flavor = "multi_thread")]
async fn clients_show_certificates_where_they_are_asked_for() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = Server::with(CLIENTS, |home| {
        std::fs::write(home.join("authority.pem"), &authority.pem).unwrap();
        authority.write(home, "relay", &["relay.example.test"]);
        stranger.write(home, "stranger", &["relay.example.test"]);
    })
    .await;
    let home = server.home.path();
    for (own, heard) in [(Some("relay"), "* OK"), (Some("stranger"), ""), (None, "")] {
        let own = own.map(|name| home.join(name));
        let seen = look(last(&server), "mx.example.test", own).await;
        let fine = match heard {
            "" => seen.greeting.is_empty(),
            _ => seen.greeting.starts_with(heard),
        };
        assert!(fine, "{}", seen.greeting);
    }
    // Who is sent away by the handshake has said nothing; who needs no certificate is none the worse.
    for (own, fine) in [
        (Some("relay"), true),
        (None, true),
        (Some("stranger"), false),
    ] {
        let Some(mut swaks) = program("swaks") else {
            return;
        };
        let address = server.address(Protocol::Lmtp);
        swaks
            .args([
                "--protocol",
                "LMTP",
                "--tls",
                "--from",
                "bob@sender.test",
                "--to",
                ALICE,
            ])
            .args(["--server", &address.ip().to_string()])
            .args(["--port", &address.port().to_string()]);
        if let Some(own) = own {
            let file = |kind| home.join(own).with_extension(kind);
            swaks.arg("--tls-cert").arg(file("pem"));
            swaks.arg("--tls-key").arg(file("key"));
        }
        let output = tokio::task::spawn_blocking(move || swaks.output());
        let output = output.await.unwrap().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.success(), fine, "{own:?} {said}");
    }
    let imap = server.imap();
    let messages = tokio::task::spawn_blocking(move || {
        let mut reader = Reader::open(imap, ALICE, PASSWORD, "INBOX");
        [reader.fetch(1), reader.fetch(2)].map(|message| String::from_utf8(message).unwrap())
    });
    let [with, without] = messages.await.unwrap();
    let shown = "(client certificate of relay.example.test)";
    assert!(with.contains(shown), "{with}");
    assert!(!without.contains("client certificate"), "{without}");
    server.app.stop().await;
}
