//! `[[next-hop]]`: the servers that messages are handed to, and which listeners hand theirs on.
//! Connects to none.

use super::{ConfigError, Listener, Protocol, Source};
use crate::deliver::Telling;
use crate::net::Remote;
use serde::Deserialize;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;

/// Those of RFC 5321 §4.5.3.2 are no longer.
const LONGEST: u64 = 600;
/// More than mail servers take at once, and few enough for messages that go in a circle to meet their end.
const TRANSACTIONS: u64 = 2000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Raw {
    name: Spanned<String>,
    address: Spanned<String>,
    protocol: Spanned<Protocol>,
    tls: Option<Spanned<super::TlsMode>>,
    tls_name: Option<Spanned<String>>,
    tls_ca: Option<Spanned<PathBuf>>,
    client: Option<Client>,
    #[serde(default)]
    dsn: bool,
    timeout_s: Option<Spanned<u64>>,
    transactions: Option<Spanned<u64>>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Client {
    None,
    Xforward,
    Xclient,
}

#[derive(Debug, Clone)]
pub struct NextHop {
    pub name: String,
    pub remote: Remote,
    /// smtp or lmtp.
    pub protocol: Protocol,
    pub tls: super::TlsMode,
    /// That its certificate must be for.
    pub tls_name: String,
    /// Who may have signed it; none: the public authorities.
    pub tls_ca: Option<PathBuf>,
    pub telling: Telling,
    /// Offered to clients of listeners that hand their messages to it.
    pub dsn: bool,
    pub patience: Duration,
    /// At once.
    pub transactions: usize,
    /// Where its TLS is spoken of in the file.
    pub span: Range<usize>,
}

pub fn resolve(source: &Source, base: &Path, raw: Vec<Raw>) -> Result<Vec<NextHop>, ConfigError> {
    let mut next_hops: Vec<NextHop> = Vec::with_capacity(raw.len());
    for raw in raw {
        let name = raw.name.get_ref();
        let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty() || name.len() > 64 || !name.chars().all(fine) {
            return Err(source.error(
                raw.name.span(),
                format!("{name:?} is not a name for a next hop"),
                "up to 64 letters, digits and - _ . such as \"reinject\"",
            ));
        }
        if next_hops.iter().any(|known| known.name == *name) {
            return Err(source.error(
                raw.name.span(),
                format!("there are two next hops of the name {name:?}"),
                "give each a name of its own",
            ));
        }
        next_hops.push(one(source, base, raw)?);
    }
    Ok(next_hops)
}

fn one(source: &Source, base: &Path, raw: Raw) -> Result<NextHop, ConfigError> {
    let remote: Remote = raw.address.get_ref().parse().map_err(|error| {
        source.error(
            raw.address.span(),
            format!("{error}"),
            "write \"127.0.0.1:10026\", \"[::1]:10026\", \"host.example:10026\" or \"unix:/run/dovecot/lmtp\"",
        )
    })?;
    let protocol = *raw.protocol.get_ref();
    if !matches!(protocol, Protocol::Smtp | Protocol::Lmtp) {
        return Err(source.error(
            raw.protocol.span(),
            format!("a next hop is not spoken to by {}", protocol.name()),
            "smtp and lmtp are there",
        ));
    }
    let tls = raw
        .tls
        .as_ref()
        .map_or(super::TlsMode::None, |tls| *tls.get_ref());
    let span = raw
        .tls
        .as_ref()
        .map_or_else(|| raw.address.span(), Spanned::span);
    let tls_name = match (&raw.tls_name, remote.host()) {
        (Some(name), _) => name.get_ref().clone(),
        (None, Some(host)) => host.to_owned(),
        (None, None) if tls == super::TlsMode::None => String::new(),
        (None, None) => {
            return Err(source.error(
                span,
                "a local socket has no name that a certificate could be for",
                "say which name it is for: tls-name = \"mx.example.test\"; or leave TLS out",
            ));
        }
    };
    let patience = match &raw.timeout_s {
        None => LONGEST,
        Some(value) if (1..=LONGEST).contains(value.get_ref()) => *value.get_ref(),
        Some(value) => {
            return Err(source.error(
                value.span(),
                format!("{} is out of range", value.get_ref()),
                format!("from 1 to {LONGEST} seconds"),
            ));
        }
    };
    let transactions = match &raw.transactions {
        None => TRANSACTIONS,
        Some(value) if (1..=100_000).contains(value.get_ref()) => *value.get_ref(),
        Some(value) => {
            return Err(source.error(
                value.span(),
                format!("{} is out of range", value.get_ref()),
                "from 1 to 100000 at once",
            ));
        }
    };
    Ok(NextHop {
        name: raw.name.into_inner(),
        remote,
        protocol,
        tls,
        tls_name,
        tls_ca: raw.tls_ca.map(|path| base.join(path.get_ref())),
        telling: match raw.client {
            Some(Client::None) => Telling::Nothing,
            Some(Client::Xclient) => Telling::Xclient,
            Some(Client::Xforward) | None => Telling::Xforward,
        },
        dsn: raw.dsn,
        patience: Duration::from_secs(patience),
        transactions: usize::try_from(transactions).unwrap_or(usize::MAX),
        span,
    })
}

pub fn of_listener(
    source: &Source,
    name: Option<&Spanned<String>>,
    protocol: Protocol,
    next_hops: &[NextHop],
) -> Result<(), ConfigError> {
    let Some(name) = name else { return Ok(()) };
    if !matches!(protocol, Protocol::Smtp | Protocol::Lmtp) {
        return Err(source.error(
            name.span(),
            format!("next-hop means nothing for {}", protocol.name()),
            "remove the line; it is for smtp and lmtp",
        ));
    }
    if next_hops.iter().any(|known| known.name == *name.get_ref()) {
        return Ok(());
    }
    let known: Vec<_> = next_hops.iter().map(|known| known.name.as_str()).collect();
    let help = match known.is_empty() {
        true => "add one: [[next-hop]] with name, address and protocol".to_owned(),
        false => format!("there are: {}", known.join(", ")),
    };
    let what = format!("there is no [[next-hop]] of the name {:?}", name.get_ref());
    Err(source.error(name.span(), what, help))
}

/// Messages that come back to a listener would be taken as those of a new client, and again, before there is one whose hops could be
/// counted. Where filters choose the way nobody can tell before: there `transactions` ends it.
pub fn no_circle(
    source: &Source,
    listeners: &[Listener],
    next_hops: &[NextHop],
) -> Result<(), ConfigError> {
    let follow = |listener: &Listener| {
        let name = listener.next_hop.as_ref()?;
        let hop = next_hops.iter().find(|hop| hop.name == *name)?;
        let mut listening = listeners.iter().enumerate();
        let next = listening.find(|(_, next)| reaches(&hop.remote, next));
        Some((hop, next))
    };
    for (start, listener) in listeners.iter().enumerate() {
        let mut way = Vec::new();
        let mut at = listener;
        while let Some((hop, Some((index, next)))) = follow(at)
            && way.len() < listeners.len()
        {
            way.push(hop.name.as_str());
            if index == start {
                let what = match way.len() {
                    1 => "the next hop of this listener is the listener itself".to_owned(),
                    _ => format!(
                        "messages of this listener come back to it: {}",
                        way.join(", ")
                    ),
                };
                return Err(source.error(
                    listener.span.clone(),
                    what,
                    "the next hop is the server that the messages go on to, such as the one that they come from, on another port",
                ));
            }
            at = next;
        }
    }
    Ok(())
}

fn reaches(remote: &Remote, listener: &Listener) -> bool {
    let endpoint = listener.address.parse();
    endpoint.is_ok_and(|endpoint| remote.reaches(&endpoint))
}
