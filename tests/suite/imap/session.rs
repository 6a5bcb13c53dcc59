//! Capabilities, logins, TLS, states, shutdown.

use super::*;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn capabilities_follow_the_state() {
    let server = Server::with(|config| config.allow_plaintext_auth = false).await;
    let mut client = server.client().await;
    let offered = client.say("CAPABILITY").await.ok().remove(0);
    for wanted in ["IMAP4rev1", "LITERAL+", "STARTTLS", "LOGINDISABLED", "ID"] {
        assert!(offered.split(' ').any(|word| word == wanted), "{offered}");
    }
    assert!(!offered.contains("AUTH=PLAIN"), "{offered}");
    client
        .say("LOGIN alice@example.test secret")
        .await
        .is("NO [PRIVACYREQUIRED]");
    client
        .say("AUTHENTICATE PLAIN")
        .await
        .is("NO [PRIVACYREQUIRED]");
    client.say("SELECT INBOX").await.is("BAD");
    client.say("LOGOUT").await.ok();
    assert!(client.response().await.is_none());

    let server = Server::start().await;
    let mut client = server.client().await;
    let offered = client.say("CAPABILITY").await.ok().remove(0);
    assert!(offered.contains(" AUTH=PLAIN"), "{offered}");
    let logged_in = client.say("LOGIN alice@example.test {6+}\r\nsecret").await;
    assert!(logged_in.tagged.starts_with("OK [CAPABILITY IMAP4rev1 "));
    for wanted in [
        "IDLE",
        "MOVE",
        "NAMESPACE",
        "SPECIAL-USE",
        "UIDPLUS",
        "UNSELECT",
        "CHILDREN",
    ] {
        assert!(logged_in.tagged.contains(wanted), "{logged_in:?}");
    }
    assert!(!logged_in.tagged.contains("STARTTLS"));
    client
        .say("LOGIN alice@example.test secret")
        .await
        .is("BAD");
    client.say("STARTTLS").await.is("BAD");
    assert_eq!(
        client.say("NAMESPACE").await.ok(),
        ["NAMESPACE ((\"\" \"/\")) NIL NIL"]
    );
    assert!(client.say("ID NIL").await.ok()[0].starts_with("ID (\"name\" \"wasmilter\""));
    assert_eq!(client.say("ENABLE X-NOTHING").await.ok(), ["ENABLED"]);
    client.say("FETCH 1 FLAGS").await.is("BAD");
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_with_and_without_an_initial_response() {
    let server = Server::start().await;
    // "\0alice@example.test\0secret"
    let right = "AGFsaWNlQGV4YW1wbGUudGVzdABzZWNyZXQ=";
    server
        .client()
        .await
        .say(format!("AUTHENTICATE PLAIN {right}"))
        .await
        .ok();
    let mut client = server.client().await;
    client.send("a AUTHENTICATE PLAIN\r\n").await;
    assert_eq!(client.response().await.unwrap(), "+ ");
    client.send(format!("{right}\r\n")).await;
    client.answer("a").await.ok();

    let mut client = server.client().await;
    for (given, expected) in [("*", "BAD"), ("???", "BAD"), ("YWJj", "BAD")] {
        client.send("a AUTHENTICATE PLAIN\r\n").await;
        client.response().await.unwrap();
        client.send(format!("{given}\r\n")).await;
        client.answer("a").await.is(expected);
    }
    // "bob@example.test\0alice@example.test\0secret"
    client
        .say("AUTHENTICATE PLAIN Ym9iQGV4YW1wbGUudGVzdABhbGljZUBleGFtcGxlLnRlc3QAc2VjcmV0")
        .await
        .is("NO [AUTHORIZATIONFAILED]");
    client.say("AUTHENTICATE CRAM-MD5").await.is("NO");
    client.say(format!("AUTHENTICATE PLAIN {right}")).await.ok();
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_passwords_end_the_connection_at_last() {
    let server = Server::start().await;
    let mut client = server.client().await;
    for login in [
        "alice@example.test wrong",
        "nobody@example.test secret",
        "alice secret",
        "\"\" \"\"",
    ] {
        client
            .say(format!("LOGIN {login}"))
            .await
            .is("NO [AUTHENTICATIONFAILED]");
    }
    client
        .say("LOGIN x y")
        .await
        .is("NO [AUTHENTICATIONFAILED]");
    assert!(client.response().await.unwrap().starts_with("* BYE"));
    assert!(client.response().await.is_none());
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn starttls_drops_what_came_before_it() {
    let server = Server::with(|config| config.allow_plaintext_auth = false).await;
    let mut client = server.client().await;
    // The second command is what an attacker would put before the handshake.
    client
        .send("a STARTTLS\r\nb LOGIN alice@example.test secret\r\n")
        .await;
    client.answer("a").await.ok();
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
    let stream = soon(connector.connect(name, client.into_socket())).await;
    let mut client = Client::over(Box::new(stream.unwrap()));
    let offered = client.say("CAPABILITY").await.ok();
    assert!(
        offered[0].contains("AUTH=PLAIN") && !offered[0].contains("STARTTLS"),
        "{offered:?}"
    );
    client.say("STARTTLS").await.is("BAD");
    client.say("SELECT INBOX").await.is("BAD");
    client.say("LOGIN alice@example.test secret").await.ok();
    client.say("SELECT INBOX").await.ok();
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_says_bye() {
    let server = Server::start().await;
    let (mut before, mut after) = (server.client().await, server.selected().await);
    after.send("a IDLE\r\n").await;
    assert!(after.response().await.unwrap().starts_with("+ "));
    server.stop.cancel();
    for client in [&mut before, &mut after] {
        assert!(client.response().await.unwrap().starts_with("* BYE"));
        assert!(client.response().await.is_none());
    }
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_nothing_is_sent_away() {
    let server = Server::with(|config| {
        config.login_timeout = Duration::from_millis(50);
        config.idle_timeout = Duration::from_millis(50);
    })
    .await;
    let mut client = server.client().await;
    assert!(client.response().await.unwrap().starts_with("* BYE"));
    assert!(client.response().await.is_none());
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_says_why() {
    let server = Server::start().await;
    let mut client = server.selected().await;
    for (command, expected) in [
        ("COMPRESS DEFLATE", "BAD This server has no such command"),
        (
            "SORT (DATE) UTF-8 ALL",
            "BAD This server has no such command",
        ),
        ("GETQUOTAROOT INBOX", "BAD This server has no such command"),
        ("SORT", "BAD this server has no such command"),
        ("XYZZY", "BAD this server has no such command"),
        (
            "FETCH",
            "BAD the arguments are not right (RFC 3501 section 9)",
        ),
        (
            "STORE 1 FLAGS \\Odd",
            "BAD There is no such system flag (RFC 3501 section 2.3.2)",
        ),
        (
            "SELECT \"&Jjo\"",
            "NO [CANNOT] The name is not in modified UTF-7 (RFC 3501 section 5.1.3)",
        ),
    ] {
        client.say("NOOP").await.ok();
        assert_eq!(client.say(command).await.tagged, expected, "{command}");
    }
    let mut client = server.client().await;
    client
        .say("COMPRESS DEFLATE")
        .await
        .is("BAD This server has no such command");
    client
        .say("SELECT INBOX")
        .await
        .is("BAD This command is not for now");
    server.finish().await;
}
