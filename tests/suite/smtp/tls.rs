//! STARTTLS and TLS from the first octet, with a client that trusts the server's own certificate.

use super::client::Socket;
use super::*;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;
use wasmilter::net::Tls;

pub async fn server(mode: fn(Tls) -> TlsUse, change: impl FnOnce(&mut Config)) -> Server {
    let directory = tempfile::tempdir().unwrap();
    let tls = Tls::self_signed("mx.example.test", directory.path()).unwrap();
    let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    Server::on(listener, directory, |config| {
        config.tls = mode(tls);
        change(config);
    })
    .await
}

pub async fn handshake(server: &Server, socket: Box<dyn Socket>) -> Client {
    let certificate = server.directory.path().join("self-signed-certificate.pem");
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(certificate).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("mx.example.test").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let stream = soon(connector.connect(name, socket)).await.unwrap();
    Client::over(Box::new(stream))
}

#[tokio::test]
async fn starttls_begins_anew_under_tls() {
    let server = server(TlsUse::StartTls, |_| ()).await;
    let mut client = server.client().await;
    let offered = client.say("EHLO before.test").await;
    assert!(offered.contains("\n250-STARTTLS\n"), "{offered}");
    client.dialogue(&[("STARTTLS", "220 2.0.0")]).await;
    let mut client = handshake(&server, client.into_socket()).await;
    client.dialogue(&[("MAIL FROM:<>", "503 5.5.1")]).await;
    let offered = client.say("EHLO after.test").await;
    assert!(!offered.contains("STARTTLS"), "{offered}");
    client
        .dialogue(&[
            ("STARTTLS", "503 5.5.1"),
            ("MAIL FROM:<>", "250"),
            ("RCPT TO:<alice@example.test>", "250"),
            ("DATA", "354"),
            (".", "250"),
            ("QUIT", "221"),
        ])
        .await;
    let session = server.store.only().await.journal.session;
    assert_eq!(session.protocol, "ESMTPS");
    assert_eq!(session.helo, "after.test");
    assert_eq!(session.tls.unwrap().version, "TLSv1.3");
    server.finish().await;
}

#[tokio::test]
async fn tls_from_the_first_octet() {
    let server = server(TlsUse::Implicit, |_| ()).await;
    let socket = Client::silent(&server.endpoint).await.into_socket();
    let mut client = handshake(&server, socket).await;
    assert_eq!(client.reply().await, "220 mx.example.test ESMTP wasmilter");
    client.up_to_data().await;
    client.dialogue(&[(".", "250"), ("QUIT", "221")]).await;
    assert_eq!(server.store.only().await.journal.session.protocol, "ESMTPS");
    // A client that speaks in the clear hurts only itself.
    let mut lost = Client::silent(&server.endpoint).await;
    lost.write(b"EHLO c.test\r\n").await;
    lost.rest().await;
    server.finish().await;
}

/// CVE-2011-0411
#[tokio::test]
async fn what_is_said_behind_starttls_in_the_clear_is_forgotten() {
    let server = server(TlsUse::StartTls, |_| ()).await;
    let mut client = server.client().await;
    client
        .write(b"EHLO c.test\r\nSTARTTLS\r\nEHLO evil.test\r\nMAIL FROM:<evil@x.test>\r\n")
        .await;
    assert!(client.reply().await.starts_with("250"));
    assert!(client.reply().await.starts_with("220"));
    let mut client = handshake(&server, client.into_socket()).await;
    // Neither its EHLO nor its MAIL was heard.
    client
        .dialogue(&[
            ("NOOP", "250 2.0.0"),
            ("RCPT TO:<alice@example.test>", "503"),
            ("MAIL FROM:<>", "503"),
        ])
        .await;
    server.finish().await;
}
