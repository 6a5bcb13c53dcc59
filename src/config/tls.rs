//! `[tls]` and `[[certificate]]`: the files with certificates, keys and authorities.
//! Reads none of them.

use super::{ConfigError, Source};
use serde::Deserialize;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Raw {
    certificate: Option<Spanned<PathBuf>>,
    key: Option<Spanned<PathBuf>>,
    client_ca: Option<Spanned<PathBuf>>,
}

impl Raw {
    pub fn has_client_ca(&self) -> bool {
        self.client_ca.is_some()
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RawPair {
    file: Spanned<PathBuf>,
    key: Spanned<PathBuf>,
}

#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// The first is for clients that ask for no name, or for one that nobody has. With none, and no ACME, a self-signed pair is made in the data
    /// directory.
    pub pairs: Vec<TlsFiles>,
    /// Who signs the certificates of clients.
    pub client_ca: Option<PathAt>,
}

#[derive(Debug, Clone)]
pub struct TlsFiles {
    pub certificate: PathAt,
    pub key: PathAt,
}

/// With its place in the configuration.
#[derive(Debug, Clone)]
pub struct PathAt {
    pub path: PathBuf,
    pub span: Range<usize>,
}

impl PathAt {
    pub fn new(base: &Path, path: Spanned<PathBuf>) -> Self {
        Self {
            span: path.span(),
            path: base.join(path.into_inner()),
        }
    }
}

pub fn resolve(
    source: &Source,
    base: &Path,
    raw: Raw,
    more: Vec<RawPair>,
) -> Result<Tls, ConfigError> {
    let first = match (raw.certificate, raw.key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (Some(lonely), None) => {
            return Err(source.error(
                lonely.span(),
                "a certificate without its key",
                "name the file of its private key beside it: key = \"/etc/wasmilter/key.pem\"",
            ));
        }
        (None, Some(lonely)) => {
            return Err(source.error(
                lonely.span(),
                "a key without its certificate",
                "name the file of the certificate beside it: certificate = \"/etc/wasmilter/cert.pem\"",
            ));
        }
    };
    let more = more.into_iter().map(|pair| (pair.file, pair.key));
    let pairs = first.into_iter().chain(more);
    Ok(Tls {
        pairs: pairs
            .map(|(certificate, key)| TlsFiles {
                certificate: PathAt::new(base, certificate),
                key: PathAt::new(base, key),
            })
            .collect(),
        client_ca: raw.client_ca.map(|path| PathAt::new(base, path)),
    })
}
