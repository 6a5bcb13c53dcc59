//! `[acme]`: where certificates are ordered, and for which names.
//! Orders none.

use super::tls::PathAt;
use super::{ConfigError, Listener, Protocol, Source, TlsMode, resolve};
use crate::mail::Address;
use crate::net::acme::Challenge;
use serde::Deserialize;
use std::path::{Path, PathBuf};
use toml::Spanned;

const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Raw {
    directory_url: Option<Spanned<String>>,
    #[serde(default)]
    contact: Vec<Spanned<String>>,
    domains: Option<Spanned<Vec<Spanned<String>>>>,
    challenge: Option<Spanned<Challenge>>,
    ca_file: Option<Spanned<PathBuf>>,
}

#[derive(Debug, Clone)]
pub struct Acme {
    pub directory_url: String,
    pub contact: Vec<String>,
    pub domains: Vec<String>,
    pub challenge: Challenge,
    /// Who signs the certificate of the ACME server.
    pub ca_file: Option<PathAt>,
}

pub fn resolve(
    source: &Source,
    base: &Path,
    raw: Raw,
    hostname: &str,
    listeners: &[Listener],
) -> Result<Acme, ConfigError> {
    let directory_url = match raw.directory_url {
        None => LETS_ENCRYPT.to_owned(),
        Some(url) if url.get_ref().starts_with("https://") => url.into_inner(),
        Some(url) => {
            return Err(source.error(
                url.span(),
                "the directory of an ACME server is an https address (RFC 8555 §6.1)",
                format!("leave it out for Let's Encrypt: {LETS_ENCRYPT}"),
            ));
        }
    };
    for contact in &raw.contact {
        Address::parse(contact.get_ref()).map_err(|error| {
            source.error(
                contact.span(),
                format!("it is not a mail address: {error}"),
                "write it as \"postmaster@example.test\"",
            )
        })?;
    }
    let domains = match raw.domains {
        None => vec![hostname.to_owned()],
        Some(domains) if domains.get_ref().is_empty() => {
            return Err(source.error(
                domains.span(),
                "domains names none",
                "leave it out for hostname alone",
            ));
        }
        Some(domains) => {
            let names = domains.get_ref().iter();
            names
                .map(|name| resolve::domain(source, name))
                .collect::<Result<_, _>>()?
        }
    };
    let span = raw.challenge.as_ref().map_or(0..0, Spanned::span);
    let challenge = raw.challenge.map_or(Challenge::Http01, Spanned::into_inner);
    let answers = listeners.iter().any(|listener| match challenge {
        Challenge::Http01 => {
            matches!(listener.protocol, Protocol::Http | Protocol::Acme)
                && listener.tls == TlsMode::None
        }
        Challenge::TlsAlpn01 => listener.tls == TlsMode::Implicit,
    });
    if !answers {
        let (what, help) = match challenge {
            Challenge::Http01 => (
                "http-01 is asked on port 80, and no listener answers HTTP",
                "[[listener]]\nprotocol = \"acme\"\naddress = \"[::]:80\"",
            ),
            Challenge::TlsAlpn01 => (
                "tls-alpn-01 is asked on port 443, and no listener has tls = \"implicit\"",
                "[[listener]]\nprotocol = \"acme\"\naddress = \"[::]:443\"\ntls = \"implicit\"",
            ),
        };
        return Err(source.error(span, what, format!("add one, such as:\n{help}")));
    }
    Ok(Acme {
        directory_url,
        contact: raw.contact.into_iter().map(Spanned::into_inner).collect(),
        domains,
        challenge,
        ca_file: raw.ca_file.map(|path| PathAt::new(base, path)),
    })
}
