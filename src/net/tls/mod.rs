//! The server's side of TLS: its certificates, those of clients, and the handshake (rustls with aws-lc-rs, TLS 1.2 and up).
//! Does not decide who must use it.

mod certificates;
mod pair;
mod pem;

pub use certificates::{Certificates, Origin};
pub use pair::Pair;
pub(super) use pair::owner;
pub(super) use pem::write;

use super::Stream;
use crate::metrics::{Failure, Handshakes};
use arc_swap::ArcSwap;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::{LazyConfigAcceptor, TlsStream};

/// Time for a handshake. Three round trips and a slow machine need far less; one that takes longer isn't meant.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// What a client speaks that comes to see whether a name is ours (RFC 8737 §4).
const CHALLENGE: &[u8] = b"acme-tls/1";

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {what} {path}: {error}", path = path.display())]
    Read {
        what: &'static str,
        path: PathBuf,
        error: io::Error,
    },
    #[error("{path} is not a PEM file with {what}: {why}", path = path.display())]
    Pem {
        what: &'static str,
        path: PathBuf,
        why: String,
    },
    #[error("the certificate {certificate} and the key {key} cannot be used: {why}",
        certificate = certificate.display(), key = key.display())]
    Pair {
        certificate: PathBuf,
        key: PathBuf,
        why: String,
    },
    #[error("TLS cannot be set up: {0}")]
    Configuration(String),
    #[error("cannot write {path}: {error}", path = path.display())]
    Write { path: PathBuf, error: io::Error },
    #[error("{path} cannot be used to check clients' certificates: {why}", path = path.display())]
    Clients { path: PathBuf, why: String },
    #[error("cannot speak TLS to {name:?}: {why}")]
    Client { name: String, why: String },
    #[error("cannot make a self-signed certificate for {hostname:?}: {why}")]
    Make { hostname: String, why: String },
}

/// Given explicitly everywhere: a process-wide default is a global that a library could set first.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Whether clients show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Asked {
    /// They are not asked for one.
    #[default]
    None,
    /// They may; one that cannot be verified ends the handshake.
    Optional,
    /// Without one the handshake ends.
    Required,
}

/// Who signs the certificates of clients: a PEM file with one or more authorities.
#[derive(Debug, Clone)]
pub struct Authorities(RootCertStore);

impl Authorities {
    pub fn from_pem(path: &Path) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in pem::read_chain(path)? {
            roots.add(certificate).map_err(|error| TlsError::Clients {
                path: path.to_owned(),
                why: error.to_string(),
            })?;
        }
        Ok(Self(roots))
    }

    pub fn roots(&self) -> &RootCertStore {
        &self.0
    }
}

/// What a listener needs to speak TLS. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    /// Swapped when the authorities change.
    config: Arc<ArcSwap<ServerConfig>>,
    challenges: Arc<ServerConfig>,
    certificates: Certificates,
    asked: Asked,
    handshake: Duration,
    meter: Handshakes,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    /// With these certificates, which may change; clients show none.
    pub fn new(certificates: Certificates) -> Result<Self, TlsError> {
        let mut challenges = server_config(
            Arc::new(certificates::Challenges(certificates.clone())),
            None,
        )?;
        challenges.alpn_protocols = vec![CHALLENGE.to_owned()];
        let config = server_config(Arc::new(certificates.clone()), None)?;
        Ok(Self {
            config: Arc::new(ArcSwap::from_pointee(config)),
            challenges: Arc::new(challenges),
            certificates,
            asked: Asked::None,
            handshake: HANDSHAKE,
            meter: Handshakes::default(),
        })
    }

    /// With one certificate chain (the server's own first) and its private key.
    pub fn from_pem(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        Self::new(Certificates::of(Pair::from_pem(certificate, key)?))
    }

    /// With the pair in `directory`, which is made first if there is none.
    pub fn self_signed(hostname: &str, directory: &Path) -> Result<Self, TlsError> {
        Self::new(Certificates::of(Pair::self_signed(hostname, directory)?))
    }

    /// The same with another deadline for the handshake.
    pub fn with_handshake_deadline(mut self, deadline: Duration) -> Self {
        self.handshake = deadline;
        self
    }

    /// The same, counting.
    pub fn counted(self, meter: Handshakes) -> Self {
        Self { meter, ..self }
    }

    /// The same with other clients.
    pub fn asking(self, asked: Asked, authorities: &Authorities) -> Result<Self, TlsError> {
        let asking = Self {
            config: Arc::new(ArcSwap::new(self.config.load_full())),
            asked,
            ..self
        };
        asking.trust(authorities)?;
        Ok(asking)
    }

    /// From the next handshake on these sign the certificates of clients.
    pub fn trust(&self, authorities: &Authorities) -> Result<(), TlsError> {
        let resolver = Arc::new(self.certificates.clone());
        let config = server_config(resolver, Some((self.asked, authorities)))?;
        self.config.store(Arc::new(config));
        Ok(())
    }

    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    pub fn asked(&self) -> Asked {
        self.asked
    }

    /// Does the handshake. Nothing that the client sent before it may be read after it: drop what is buffered first.
    pub async fn accept(&self, stream: Stream) -> io::Result<Stream> {
        let (plain, peer) = stream.into_plain()?;
        let handshake = async {
            let start = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), plain).await?;
            if is_challenge(&start.client_hello()) {
                // The handshake is all that is wanted (RFC 8737 §3).
                let mut stream = start.into_stream(Arc::clone(&self.challenges)).await?;
                let _ = tokio::io::AsyncWriteExt::shutdown(&mut stream).await;
                return Err(io::Error::other("an ACME challenge, answered"));
            }
            start.into_stream(self.config.load_full()).await
        };
        let done = match tokio::time::timeout(self.handshake, handshake).await {
            Ok(done) => done.map(|stream| Stream::under_tls(TlsStream::Server(stream), peer)),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the TLS handshake was not finished in time",
            )),
        };
        match &done {
            Ok(stream) => self.meter.done(stream.is_tls13()),
            Err(error) if error.kind() == io::ErrorKind::Other => {}
            Err(error) => self.meter.failed(failure(error)),
        }
        done
    }
}

fn is_challenge(hello: &ClientHello<'_>) -> bool {
    let mut protocols = hello.alpn().into_iter().flatten();
    protocols.next() == Some(CHALLENGE) && protocols.next().is_none()
}

fn failure(error: &io::Error) -> Failure {
    let inner = error.get_ref();
    match (error.kind(), inner.and_then(|inner| inner.downcast_ref())) {
        (io::ErrorKind::TimedOut, _) => Failure::Timeout,
        (
            _,
            Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented),
        ) => Failure::Certificate,
        (_, Some(_)) => Failure::Protocol,
        (_, None) => Failure::Closed,
    }
}

fn server_config(
    resolver: Arc<dyn ResolvesServerCert>,
    clients: Option<(Asked, &Authorities)>,
) -> Result<ServerConfig, TlsError> {
    let failed = |error: &dyn std::fmt::Display| TlsError::Configuration(error.to_string());
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| failed(&error))?;
    let builder = match clients {
        None | Some((Asked::None, _)) => builder.with_no_client_auth(),
        Some((asked, authorities)) => {
            let roots = Arc::new(authorities.0.clone());
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
            let verifier = match asked {
                Asked::Required => verifier,
                Asked::None | Asked::Optional => verifier.allow_unauthenticated(),
            };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| failed(&error))?)
        }
    };
    Ok(builder.with_cert_resolver(resolver))
}

#[cfg(test)]
mod tests;
