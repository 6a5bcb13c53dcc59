//! LMTP on TCP and on a local socket, with a filter that refuses for one recipient of two.

use super::chunks::journal;
use super::client::Client;
use crate::support::{self, Server, program};
use std::process::Command;
use wasmilter::config::Protocol;
use wasmilter::mail::Disposition;
use wasmilter::net::Endpoint;

static GUEST: &[u8] = include_bytes!(env!("WASMILTER_TEST_GUEST"));

struct Lmtp {
    server: Server,
    tcp: Endpoint,
    unix: Endpoint,
}

/// With a filter whose `deliver` refuses what bob gets, for now or for good.
async fn server(refusal: &str) -> Lmtp {
    let home = tempfile::tempdir().unwrap().keep();
    let socket = home.join("lmtp.sock");
    let more = format!(
        "[[listener]]\nprotocol = \"lmtp\"\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\nprotocol = \"lmtp\"\naddress = \"unix:{}\"\ntls = \"none\"\n\
         [plugins]\ndirectory = \"plugins\"\n",
        socket.display()
    );
    let server = Server::with(&more, |home| {
        let guest = home.join("plugins").join("guest");
        std::fs::create_dir_all(&guest).unwrap();
        let steps = format!("[config]\ndeliver = [\"for bob@example.test {refusal}\"]\n");
        std::fs::write(guest.join("plugin.toml"), steps).unwrap();
        std::fs::write(guest.join("filter.wasm"), GUEST).unwrap();
    })
    .await;
    assert_eq!(server.app.filters().len(), 1);
    let endpoints = server.app.listening().iter();
    let mut endpoints = endpoints
        .filter(|listening| listening.protocol == Protocol::Lmtp)
        .map(|listening| listening.endpoint.clone());
    Lmtp {
        tcp: endpoints.next().unwrap(),
        unix: endpoints.next().unwrap(),
        server,
    }
}

impl Lmtp {
    async fn stop(self) {
        self.server.app.stop().await;
        if let Endpoint::Unix(path) = self.unix {
            std::fs::remove_dir_all(path.parent().unwrap()).unwrap();
        }
    }
}

async fn client(endpoint: &Endpoint) -> Client {
    let mut client = Client::silent(endpoint).await;
    assert_eq!(client.reply().await, "220 mx.example.test LMTP wasmilter");
    client
}

/// RFC 2033 §4.2
#[tokio::test(flavor = "multi_thread")]
async fn each_recipient_hears_what_became_of_the_message() {
    let lmtp = server("reject 552 5 Full").await;
    for endpoint in [&lmtp.tcp, &lmtp.unix] {
        let mut client = client(endpoint).await;
        client
            .dialogue(&[
                ("EHLO c.test", "500 5.5.1"),
                ("LHLO c.test", "250-mx.example.test"),
                ("MAIL FROM:<>", "250"),
                ("RCPT TO:<bob@example.test>", "250"),
                ("RCPT TO:<nobody@example.test>", "550 5.1.1"),
                ("RCPT TO:<alice@example.test>", "250"),
                ("RCPT TO:<bob@example.test>", "250"),
                ("DATA", "354"),
                ("Subject: x\r\n\r\ntext\r\n.", "552 5.7.1 Full"),
            ])
            .await;
        let stored = client.reply().await;
        assert!(stored.starts_with("250 2.0.0 Ok: stored as "), "{stored}");
        assert!(client.reply().await.starts_with("552 5.7.1 Full"));
        client.dialogue(&[("QUIT", "221")]).await;
        let journal = journal(&lmtp.server, &stored).await;
        assert_eq!(journal.session.protocol, "LMTP");
        let [bob, alice] = journal.dispositions.as_slice() else {
            panic!("{:?}", journal.dispositions)
        };
        assert!(
            matches!(&bob.disposition, Disposition::Refused { reply } if reply == "552 5.7.1 Full")
        );
        assert!(matches!(&alice.disposition, Disposition::Filed { .. }));
    }
    // SMTP has one reply, so what is refused for one is dropped for one.
    let mut smtp = Client::connect(&Endpoint::Tcp(lmtp.server.smtp())).await;
    smtp.dialogue(&[
        ("EHLO c.test", "250"),
        ("LHLO c.test", "500 5.5.1"),
        ("MAIL FROM:<>", "250"),
        ("RCPT TO:<bob@example.test>", "250"),
        ("RCPT TO:<alice@example.test>", "250"),
        ("DATA", "354"),
    ])
    .await;
    let stored = smtp.say("Subject: x\r\n\r\ntext\r\n.").await;
    let journal = journal(&lmtp.server, &stored).await;
    assert!(matches!(
        &journal.dispositions[0].disposition,
        Disposition::Discarded { .. }
    ));
    assert!(matches!(
        &journal.dispositions[1].disposition,
        Disposition::Filed { .. }
    ));
    smtp.dialogue(&[("QUIT", "221")]).await;
    lmtp.stop().await;
}

/// swaks, over TCP and the local socket, and Python's smtplib, which has a class for it.
#[tokio::test(flavor = "multi_thread")]
async fn programs_deliver() {
    let lmtp = server("tempfail 451 4 Later").await;
    let (Endpoint::Tcp(address), Endpoint::Unix(socket)) = (&lmtp.tcp, &lmtp.unix) else {
        panic!("{} and {}", lmtp.tcp, lmtp.unix)
    };
    let port = address.port().to_string();
    let socket = socket.to_str().unwrap();
    if program("swaks").is_some() {
        let tcp = ["--server", "127.0.0.1", "--port", port.as_str()];
        for place in [&tcp[..], &["--socket", socket]] {
            let mut swaks = Command::new("swaks");
            swaks
                .args(["--protocol", "LMTP", "--helo", "client.test"])
                .args(["--from", "sender@client.test", "--to", "alice@example.test"])
                .args(place);
            support::run(swaks).await;
        }
    }
    if let Some(mut python) = program("python3") {
        let script = r#"
import smtplib, sys
for host, port in (("127.0.0.1", int(sys.argv[1])), (sys.argv[2], 0)):
    with smtplib.LMTP(host, port) as client:
        # It reads one reply to a message, so it can have one recipient.
        assert not client.sendmail("a@b.test", ["alice@example.test"], "Subject: x\r\n\r\n.dot\r\n")
        try:
            client.sendmail("a@b.test", ["bob@example.test"], "Subject: x\r\n\r\n")
            raise SystemExit("taken for bob")
        except smtplib.SMTPDataError as refused:
            assert refused.smtp_code == 451, refused
"#;
        python.args(["-c", script, &port, socket]);
        support::run(python).await;
    }
    lmtp.stop().await;
}

/// Postfix's own load generator, which speaks LMTP with -L.
#[tokio::test(flavor = "multi_thread")]
async fn smtp_source_delivers() {
    if program("smtp-source").is_none() {
        return;
    }
    let lmtp = server("accept").await;
    let mut source = Command::new("smtp-source");
    source
        .args([
            "-L",
            "-s",
            "3",
            "-m",
            "30",
            "-f",
            "a@b.test",
            "-t",
            "alice@example.test",
        ])
        .arg(format!("inet:{}", lmtp.tcp));
    support::run(source).await;
    lmtp.stop().await;
}
