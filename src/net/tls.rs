//! The server's side of TLS: its certificate and key, and the handshake (rustls with aws-lc-rs, TLS 1.2 and up).
//! Does not decide who must use it.

use super::Stream;
use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::{TlsAcceptor, TlsStream};

/// Time for a handshake. Three round trips and a slow machine need far less; one that takes longer isn't meant.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// How long a pair that we make ourselves is good for.
const SELF_SIGNED_YEARS: i32 = 10;

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
    #[error("cannot write {path}: {error}", path = path.display())]
    Write { path: PathBuf, error: io::Error },
    #[error("cannot speak TLS to {name:?}: {why}")]
    Client { name: String, why: String },
    #[error("cannot make a self-signed certificate for {hostname:?}: {why}")]
    Make { hostname: String, why: String },
}

/// What a listener needs to speak TLS. Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    handshake: Duration,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads a certificate chain (the server's own first) and its private key.
    pub fn from_pem(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let chain = read_chain(certificate)?;
        let private = read_key(key)?;
        let pair_error = |why: String| TlsError::Pair {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            why,
        };
        // Given explicitly: a process-wide default is a global that a library could set first.
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| pair_error(error.to_string()))?
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .map_err(|error| pair_error(why_not(&error)))?;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            handshake: HANDSHAKE,
        })
    }

    /// Uses the pair in `directory`, which is made first if there is none.
    pub fn self_signed(hostname: &str, directory: &Path) -> Result<Self, TlsError> {
        let certificate = directory.join("self-signed-certificate.pem");
        let key = directory.join("self-signed-key.pem");
        if !certificate.exists() || !key.exists() {
            make_pair(hostname, &certificate, &key)?;
        }
        Self::from_pem(&certificate, &key)
    }

    /// The same with another deadline for the handshake.
    pub fn with_handshake_deadline(mut self, deadline: Duration) -> Self {
        self.handshake = deadline;
        self
    }

    /// Does the handshake. Nothing that the client sent before it may be read after it: drop what is buffered first.
    pub async fn accept(&self, stream: Stream) -> io::Result<Stream> {
        let (plain, peer) = stream.into_plain()?;
        let handshake = self.acceptor.accept(plain);
        match tokio::time::timeout(self.handshake, handshake).await {
            Ok(done) => Ok(Stream::under_tls(TlsStream::Server(done?), peer)),
            Err(_) => Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the TLS handshake was not finished in time",
            )),
        }
    }
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let what = "a certificate";
    let text = read(what, path)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| pem_error(what, path, &error))?;
    if chain.is_empty() {
        return Err(pem_error(what, path, &pem::Error::NoItemsFound));
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let what = "a private key";
    PrivateKeyDer::from_pem_slice(&read(what, path)?).map_err(|error| pem_error(what, path, &error))
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|error| TlsError::Read {
        what,
        path: path.to_owned(),
        error,
    })
}

fn pem_error(what: &'static str, path: &Path, error: &pem::Error) -> TlsError {
    let why = match error {
        pem::Error::NoItemsFound if what == "a private key" => {
            "it holds no unencrypted \"-----BEGIN … PRIVATE KEY-----\" section".to_owned()
        }
        pem::Error::NoItemsFound => {
            "it holds no \"-----BEGIN CERTIFICATE-----\" section".to_owned()
        }
        other => other.to_string(),
    };
    TlsError::Pem {
        what,
        path: path.to_owned(),
        why,
    }
}

fn why_not(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(_) => {
            "the key does not belong to the certificate".to_owned()
        }
        other => other.to_string(),
    }
}

/// ECDSA with P-256: every client of the last fifteen years can do it, and it is quick to sign with.
fn make_pair(hostname: &str, certificate: &Path, key: &Path) -> Result<(), TlsError> {
    let failed = |error: rcgen::Error| TlsError::Make {
        hostname: hostname.to_owned(),
        why: error.to_string(),
    };
    let mut names = vec![hostname.to_owned(), "localhost".to_owned()];
    names.dedup();
    let mut params = rcgen::CertificateParams::new(names).map_err(failed)?;
    for address in [
        IpAddr::from(std::net::Ipv4Addr::LOCALHOST),
        IpAddr::from(std::net::Ipv6Addr::LOCALHOST),
    ] {
        params
            .subject_alt_names
            .push(rcgen::SanType::IpAddress(address));
    }
    let mut name = rcgen::DistinguishedName::new();
    name.push(rcgen::DnType::CommonName, hostname);
    params.distinguished_name = name;
    // From the start of this year: a client whose clock is slow takes it too.
    let year = i32::from(
        jiff::Timestamp::now()
            .to_zoned(jiff::tz::TimeZone::UTC)
            .year(),
    );
    params.not_before = rcgen::date_time_ymd(year, 1, 1);
    params.not_after = rcgen::date_time_ymd(year + SELF_SIGNED_YEARS, 12, 31);
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let signed = params.self_signed(&pair).map_err(failed)?;
    // The key first: a certificate without its key would be taken for a finished pair.
    write(key, pair.serialize_pem().as_bytes(), 0o600)?;
    write(certificate, signed.pem().as_bytes(), 0o644)
}

/// Under another name first, so that nobody finds half a file.
fn write(path: &Path, octets: &[u8], mode: u32) -> Result<(), TlsError> {
    let partial = path.with_extension("partial");
    let write = || -> io::Result<()> {
        // One left behind may have another mode.
        if let Err(error) = std::fs::remove_file(&partial)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&partial)?;
        file.write_all(octets)?;
        file.sync_all()?;
        std::fs::rename(&partial, path)
    };
    write().map_err(|error| TlsError::Write {
        path: path.to_owned(),
        error,
    })
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
