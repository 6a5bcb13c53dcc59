//! Certificates and keys in PEM files: reading them, and making a pair of our own.
//! Doesn't know who uses them.

use super::TlsError;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// How long a pair that we make ourselves is good for.
const SELF_SIGNED_YEARS: i32 = 10;

pub(super) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
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

pub(super) fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
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

/// ECDSA with P-256: every client of the last fifteen years can do it, and it is quick to sign with.
pub(super) fn make_pair(hostname: &str, certificate: &Path, key: &Path) -> Result<(), TlsError> {
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
pub(in crate::net) fn write(path: &Path, octets: &[u8], mode: u32) -> Result<(), TlsError> {
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
