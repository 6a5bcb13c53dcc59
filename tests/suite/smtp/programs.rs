//! Clients that people use: swaks and Python's smtplib. A test passes over a program that isn't there, and says so.

use super::*;
use crate::support::{program, run};
use std::process::Command;
use wasmilter::net::Tls;

async fn server() -> Server {
    let directory = tempfile::tempdir().unwrap();
    let tls = Tls::self_signed("mx.example.test", directory.path()).unwrap();
    let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    Server::on(listener, directory, |config| {
        config.tls = TlsUse::StartTls(tls)
    })
}

#[tokio::test]
async fn swaks_delivers_with_and_without_tls() {
    if program("swaks").is_none() {
        return;
    }
    let server = server().await;
    let port = server.port().to_string();
    for (extra, keyword) in [
        (&[][..], "ESMTP"),
        (&["--pipeline"], "ESMTP"),
        (&["--tls"], "ESMTPS"),
    ] {
        let mut swaks = Command::new("swaks");
        swaks
            .args([
                "--server",
                "127.0.0.1",
                "--port",
                &port,
                "--helo",
                "client.test",
            ])
            .args([
                "--from",
                "sender@client.test",
                "--to",
                "alice@example.test,bob@example.test",
            ])
            .args(["--body", ".leading dot\n..\nend"])
            .args(extra);
        run(swaks).await;
        let last = server.store.delivered().pop().unwrap();
        assert_eq!(last.journal.session.protocol, keyword, "{extra:?}");
        assert_eq!(last.journal.envelope.recipients.len(), 2);
        let text = String::from_utf8(last.octets).unwrap();
        assert!(
            text.contains("\r\n\r\n.leading dot\r\n..\r\nend\r\n"),
            "{text}"
        );
    }
    server.finish().await;
}

#[tokio::test]
async fn python_delivers_with_and_without_tls() {
    let Some(mut python) = program("python3") else {
        return;
    };
    let server = server().await;
    let script = r#"
import smtplib, ssl, sys
from email.message import EmailMessage
message = EmailMessage()
message["Subject"] = "Grüße"
message["From"] = "sender@client.test"
message["To"] = "alice@example.test"
message.set_content("äöü\n.\n..dots\n")
trusting = ssl.create_default_context(cafile=sys.argv[2])
for tls in (False, True):
    with smtplib.SMTP("localhost", int(sys.argv[1])) as client:
        if tls:
            client.starttls(context=trusting)
        assert client.has_extn("pipelining") or client.ehlo()[0] == 250
        assert not client.send_message(message)
        try:
            client.sendmail("a@b.test", ["nobody@example.test"], b"x")
            raise SystemExit("taken for nobody")
        except smtplib.SMTPRecipientsRefused as refused:
            assert refused.recipients["nobody@example.test"][0] == 550
"#;
    let port = server.port().to_string();
    let certificate = server.directory.path().join("self-signed-certificate.pem");
    python.args(["-c", script, &port]).arg(certificate);
    run(python).await;
    let keywords: Vec<_> = server
        .store
        .delivered()
        .into_iter()
        .map(|message| message.journal.session.protocol)
        .collect();
    assert_eq!(keywords, ["ESMTP", "ESMTPS"]);
    server.finish().await;
}
