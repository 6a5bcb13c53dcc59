//! An authority of the test's own, and a client that looks at the certificate that it is shown.

use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        Self { issuer, pem }
    }

    /// A certificate for these names, and its key.
    pub fn sign(&self, names: &[&str]) -> (String, String) {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let params = CertificateParams::new(names).unwrap();
        let key = KeyPair::generate().unwrap();
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        (signed.pem(), key.serialize_pem())
    }

    /// Into `NAME.pem` and `NAME.key`, the key first. The certificate, as clients see it.
    pub fn write(&self, home: &Path, name: &str, names: &[&str]) -> Vec<u8> {
        let (certificate, key) = self.sign(names);
        std::fs::write(home.join(name).with_extension("key"), key).unwrap();
        std::fs::write(home.join(name).with_extension("pem"), &certificate).unwrap();
        der(&certificate)
    }
}

pub fn der(pem: &str) -> Vec<u8> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    der.as_ref().to_vec()
}

/// Takes any certificate: what it is, is what the test asks.
#[derive(Debug)]
struct Anything(Arc<CryptoProvider>);

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What came of a connection: the server's certificate and its first octets, if there were any.
pub struct Seen {
    pub certificate: Vec<u8>,
    pub greeting: String,
}

/// Connects, with a certificate of its own if there is one (`NAME.pem` and `NAME.key`), and reads once.
pub async fn look(address: SocketAddr, name: &str, own: Option<PathBuf>) -> Seen {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anything(provider)));
    let config = match own {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let chain = CertificateDer::from_pem_file(path.with_extension("pem")).unwrap();
            let key = PrivateKeyDer::from_pem_file(path.with_extension("key")).unwrap();
            builder.with_client_auth_cert(vec![chain], key).unwrap()
        }
    };
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(name, stream).await.unwrap();
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    let certificate = chain[0].as_ref().to_vec();
    let mut greeting = [0; 512];
    let count = stream.read(&mut greeting).await.unwrap_or_default();
    let _ = stream.shutdown().await;
    let greeting = String::from_utf8_lossy(&greeting[..count]).into_owned();
    Seen {
        certificate,
        greeting,
    }
}

/// Looks again and again until the certificate is one that is wanted.
pub async fn until(address: SocketAddr, name: &str, wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let start = Instant::now();
    loop {
        let seen = look(address, name, None).await;
        if wanted(&seen.certificate) {
            return seen.certificate;
        }
        assert!(start.elapsed() < Duration::from_secs(90), "it did not come");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
