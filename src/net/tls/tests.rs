use super::*;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::os::unix::fs::PermissionsExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_rustls::TlsConnector;

/// Trusts exactly the certificate that the server made.
fn client(
    directory: &Path,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    for certificate in pem::read_chain(&directory.join("self-signed-certificate.pem")).unwrap() {
        roots.add(certificate).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

#[tokio::test]
async fn a_client_that_trusts_the_certificate_talks_to_us() {
    let directory = tempfile::tempdir().unwrap();
    let tls = Tls::self_signed("mx.example.test", directory.path()).unwrap();
    for (version, name) in [
        (&rustls::version::TLS13, "TLSv1.3"),
        (&rustls::version::TLS12, "TLSv1.2"),
    ] {
        for host in ["mx.example.test", "localhost", "127.0.0.1", "::1"] {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let connector = client(directory.path(), &[version]);
            let client = tokio::spawn(async move {
                let host = ServerName::try_from(host).unwrap();
                let mut stream = connector.connect(host, theirs).await.unwrap();
                stream.write_all(b"ping").await.unwrap();
                let mut answer = [0; 4];
                stream.read_exact(&mut answer).await.unwrap();
                assert_eq!(&answer, b"pong");
            });
            let mut stream = tls.accept(Stream::unix(ours)).await.unwrap();
            let facts = stream.tls().unwrap();
            assert_eq!(facts.version, name);
            assert!(facts.cipher.starts_with("TLS"), "{facts:?}");
            let mut asked = [0; 4];
            stream.read_exact(&mut asked).await.unwrap();
            stream.write_all(b"pong").await.unwrap();
            stream.flush().await.unwrap();
            client.await.unwrap();
        }
    }
}

#[tokio::test]
async fn the_pair_is_made_once_and_the_key_is_ours_alone() {
    let directory = tempfile::tempdir().unwrap();
    Tls::self_signed("mx.example.test", directory.path()).unwrap();
    let key = directory.path().join("self-signed-key.pem");
    let certificate = directory.path().join("self-signed-certificate.pem");
    let mode = std::fs::metadata(&key).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let before = std::fs::read(&certificate).unwrap();
    Tls::self_signed("mx.example.test", directory.path()).unwrap();
    assert_eq!(std::fs::read(&certificate).unwrap(), before);
}

#[test]
fn errors_name_the_file_and_what_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    Tls::self_signed("a.example.test", directory.path()).unwrap();
    Tls::self_signed("b.example.test", other.path()).unwrap();
    let certificate = directory.path().join("self-signed-certificate.pem");
    let key = directory.path().join("self-signed-key.pem");
    let missing = directory.path().join("missing.pem");
    let garbage = directory.path().join("garbage.pem");
    std::fs::write(
        &garbage,
        "-----BEGIN CERTIFICATE-----\n???\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    let foreign = other.path().join("self-signed-key.pem");
    for (certificate, key, culprit, why) in [
        (&missing, &key, &missing, "No such file"),
        (&certificate, &missing, &missing, "No such file"),
        (&key, &key, &key, "BEGIN CERTIFICATE"),
        (&certificate, &certificate, &certificate, "PRIVATE KEY"),
        (&garbage, &key, &garbage, "is not a PEM file"),
        (&certificate, &foreign, &foreign, "does not belong to"),
    ] {
        let error = Tls::from_pem(certificate, key).unwrap_err().to_string();
        assert!(error.contains(&culprit.display().to_string()), "{error}");
        assert!(error.contains(why), "{error}");
    }
}

#[tokio::test]
async fn a_handshake_that_takes_too_long_is_cut() {
    let directory = tempfile::tempdir().unwrap();
    let tls = Tls::self_signed("mx.example.test", directory.path())
        .unwrap()
        .with_handshake_deadline(Duration::from_millis(20));
    let (ours, _silent) = UnixStream::pair().unwrap();
    let error = tls.accept(Stream::unix(ours)).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn octets_that_are_not_tls_are_an_error_and_tls_goes_on_once() {
    let directory = tempfile::tempdir().unwrap();
    let tls = Tls::self_signed("mx.example.test", directory.path()).unwrap();
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs
        .write_all(b"EHLO client.example.test\r\n")
        .await
        .unwrap();
    assert!(tls.accept(Stream::unix(ours)).await.is_err());

    let (ours, theirs) = UnixStream::pair().unwrap();
    let connector = client(directory.path(), &[&rustls::version::TLS13]);
    let host = ServerName::try_from("localhost").unwrap();
    let (server, client) = tokio::join!(
        tls.accept(Stream::unix(ours)),
        connector.connect(host, theirs)
    );
    client.unwrap();
    assert!(tls.accept(server.unwrap()).await.is_err());
}
