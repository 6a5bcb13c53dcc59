//! `secret` and `secret-file` of a listener that is asked over HTTP. Says where one is needed.
//! Does not compare.

use super::{ConfigError, Protocol, Source, raw};
use crate::ingress::web::Secret;
use std::net::SocketAddr;
use std::path::Path;

pub fn resolve(
    source: &Source,
    base: &Path,
    raw: &raw::Listener,
) -> Result<Option<Secret>, ConfigError> {
    let protocol = *raw.protocol.get_ref();
    let written = raw.secret.as_ref().map(|secret| secret.span());
    let span = written.or(raw.secret_file.as_ref().map(|file| file.span()));
    if !matches!(protocol, Protocol::Hooks | Protocol::Rspamd) {
        return match span {
            None => Ok(None),
            Some(span) => Err(source.error(
                span,
                format!("a secret means nothing for {}", protocol.name()),
                "remove the line; it is for hooks and rspamd",
            )),
        };
    }
    let (text, span) = match (&raw.secret, &raw.secret_file) {
        (Some(_), Some(file)) => {
            return Err(source.error(
                file.span(),
                "there is a secret already",
                "write either secret or secret-file",
            ));
        }
        (Some(secret), None) => (secret.get_ref().clone(), secret.span()),
        (None, Some(file)) => {
            let path = base.join(file.get_ref());
            let text = std::fs::read_to_string(&path).map_err(|error| {
                source.error(
                    file.span(),
                    format!("{} cannot be read: {error}", path.display()),
                    "it is a file with one line, readable for wasmilter alone",
                )
            })?;
            (text.trim_end_matches(['\r', '\n']).to_owned(), file.span())
        }
        (None, None) => return needless(source, raw).map(|()| None),
    };
    // What cannot stand in a header field of HTTP could never be shown.
    if text.len() < Secret::LEAST || !text.bytes().all(|octet| octet.is_ascii_graphic()) {
        return Err(source.error(
            span,
            format!(
                "a secret has {} printable ASCII characters at the least, and no spaces",
                Secret::LEAST
            ),
            "make one: openssl rand -hex 32",
        ));
    }
    Ok(Some(Secret::new(&text)))
}

/// Only whoever is on this machine can connect.
fn needless(source: &Source, raw: &raw::Listener) -> Result<(), ConfigError> {
    let address = raw.address.get_ref();
    let is_far = address
        .parse()
        .is_ok_and(|address: SocketAddr| !address.ip().is_loopback());
    if is_far {
        return Err(source.error(
            raw.address.span(),
            format!(
                "anybody who can reach it could ask: {} has no secret",
                raw.protocol.get_ref().name()
            ),
            "add secret-file = \"FILE\", or listen on a loopback address or a local socket",
        ));
    }
    Ok(())
}
