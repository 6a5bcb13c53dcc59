//! A certificate with its key, the names that it is for, and its time.
//! Doesn't choose among several.

use super::{TlsError, pem, provider};
use jiff::Timestamp;
use rustls::InconsistentKeys;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::path::Path;
use std::sync::Arc;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Cheap to clone.
#[derive(Clone)]
pub struct Pair {
    pub(super) certified: Arc<CertifiedKey>,
    /// In lower case; a wildcard begins with "*.".
    names: Arc<[String]>,
    valid: (Timestamp, Timestamp),
}

impl std::fmt::Debug for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pair")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl Pair {
    /// Reads a certificate chain (the server's own first) and its private key; both may be in one file.
    pub fn from_pem(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let chain = pem::read_chain(certificate)?;
        let private = pem::read_key(key)?;
        Self::new(chain, private).map_err(|why| TlsError::Pair {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            why,
        })
    }

    /// Uses the pair in `directory`, which is made first if there is none.
    pub fn self_signed(hostname: &str, directory: &Path) -> Result<Self, TlsError> {
        let certificate = directory.join("self-signed-certificate.pem");
        let key = directory.join("self-signed-key.pem");
        if !certificate.exists() || !key.exists() {
            pem::make_pair(hostname, &certificate, &key)?;
        }
        Self::from_pem(&certificate, &key)
    }

    /// The error says why they cannot be used.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, String> {
        let pair = Self::unchecked(chain, key)?;
        match pair.certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(pair),
            Err(rustls::Error::InconsistentKeys(_)) => {
                Err("the key does not belong to the certificate".to_owned())
            }
            Err(other) => Err(other.to_string()),
        }
    }

    /// For a certificate that was signed with this key just now. One that answers a challenge cannot be checked: its extension is critical
    /// (RFC 8737 §3), and the library that looks refuses critical ones that it doesn't know.
    pub(in crate::net) fn unchecked(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, String> {
        let (names, valid) = match chain.first() {
            Some(first) => names_and_time(first)?,
            None => return Err("there is no certificate".to_owned()),
        };
        let signing = provider().key_provider.load_private_key(key);
        let certified = CertifiedKey::new(chain, signing.map_err(|error| error.to_string())?);
        Ok(Self {
            certified: Arc::new(certified),
            names: names.into(),
            valid,
        })
    }

    /// Whether it is the same certificate.
    pub fn is_same(&self, other: &Self) -> bool {
        self.certified.cert == other.certified.cert
    }

    pub fn names(&self) -> &[String] {
        &self.names
    }

    pub fn not_before(&self) -> Timestamp {
        self.valid.0
    }

    pub fn not_after(&self) -> Timestamp {
        self.valid.1
    }

    /// Whether it is for this name (RFC 9525 §6.3: a wildcard stands for one label, the leftmost).
    pub fn is_for(&self, name: &str) -> bool {
        let wildcard = name.split_once('.').map(|(_, rest)| rest);
        self.names
            .iter()
            .any(|known| match known.strip_prefix("*.") {
                Some(rest) => wildcard.is_some_and(|name| name.eq_ignore_ascii_case(rest)),
                None => known.eq_ignore_ascii_case(name),
            })
    }
}

type NamesAndTime = (Vec<String>, (Timestamp, Timestamp));

fn names_and_time(certificate: &[u8]) -> Result<NamesAndTime, String> {
    let (_, parsed) = X509Certificate::from_der(certificate)
        .map_err(|error| format!("the certificate cannot be read: {error}"))?;
    let alternative = parsed
        .subject_alternative_name()
        .map_err(|error| format!("the certificate's names cannot be read: {error}"))?;
    let mut names: Vec<_> = alternative
        .iter()
        .flat_map(|names| &names.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect();
    if alternative.is_none() {
        // Such as old tools make; clients of today want alternative names.
        let common = parsed.subject().iter_common_name();
        let common = common.filter_map(|name| name.as_str().ok());
        names.extend(common.map(str::to_ascii_lowercase));
    }
    let at = |seconds: i64| {
        Timestamp::from_second(seconds).map_err(|error| format!("the certificate's time: {error}"))
    };
    let validity = parsed.validity();
    let time = (
        at(validity.not_before.timestamp())?,
        at(validity.not_after.timestamp())?,
    );
    Ok((names, time))
}

/// What a client's certificate calls its owner: the first mail address or domain among the alternative names, or else the common name.
/// None if it says nothing that is printable.
pub(in crate::net) fn owner(certificate: &[u8]) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let alternative = parsed.subject_alternative_name().ok().flatten();
    let named = alternative.and_then(|names| {
        let mut names = names.value.general_names.iter();
        names.find_map(|name| match name {
            GeneralName::RFC822Name(name) | GeneralName::DNSName(name) => Some(*name),
            _ => None,
        })
    });
    let common = || {
        let mut names = parsed.subject().iter_common_name();
        names.find_map(|name| name.as_str().ok())
    };
    let name = named.or_else(common)?;
    let fine = !name.is_empty() && name.len() <= 255 && !name.chars().any(char::is_control);
    fine.then(|| name.to_owned())
}
