//! `[[milter]]`: milters that are links of the chain, from raw values to theirs.

use super::bulkheads::within;
use super::{ConfigError, Source};
use crate::mail::OnError;
use crate::milter;
use crate::net::Endpoint;
use crate::plugin::BreakerConfig;
use serde::Deserialize;
use std::collections::HashSet;
use std::time::Duration;
use toml::Spanned;

/// Seconds that can be waited for anything.
const LONGEST: u64 = 600;
const MOST_CONNECTIONS: u32 = 10_000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Raw {
    name: Spanned<String>,
    address: Spanned<String>,
    order: Option<u32>,
    #[serde(default)]
    on_error: OnError,
    connect_timeout_s: Option<Spanned<u64>>,
    command_timeout_s: Option<Spanned<u64>>,
    content_timeout_s: Option<Spanned<u64>>,
    connections: Option<Spanned<u32>>,
}

pub fn resolve(
    source: &Source,
    raw: Vec<Raw>,
    breaker: BreakerConfig,
    message_size: u64,
) -> Result<Vec<milter::Config>, ConfigError> {
    let mut names = HashSet::new();
    for raw in &raw {
        if !names.insert(raw.name.get_ref()) {
            return Err(source.error(
                raw.name.span(),
                format!("there are two milters {:?}", raw.name.get_ref()),
                "give each a name of its own: journals and metrics go by it",
            ));
        }
    }
    raw.iter()
        .map(|raw| one(source, raw, breaker, message_size))
        .collect()
}

fn one(
    source: &Source,
    raw: &Raw,
    breaker: BreakerConfig,
    size: u64,
) -> Result<milter::Config, ConfigError> {
    let name = raw.name.get_ref();
    let is_fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 64 || !name.chars().all(is_fine) {
        return Err(source.error(
            raw.name.span(),
            format!("{name:?} is not a name for a filter"),
            "use up to 64 of a to z, 0 to 9 and -, such as \"opendkim\"",
        ));
    }
    let address: Endpoint = raw.address.get_ref().parse().map_err(|_| {
        source.error(
            raw.address.span(),
            format!("{:?} is not where a milter listens", raw.address.get_ref()),
            "write IP:PORT, such as \"127.0.0.1:8891\", or \"unix:/run/opendkim/opendkim.sock\"",
        )
    })?;
    let standard = milter::Config::new(name, address);
    let seconds = |value: &Option<Spanned<u64>>, default: Duration| {
        within(source, value.as_ref(), default.as_secs(), 1..=LONGEST).map(Duration::from_secs)
    };
    let connections = within(
        source,
        raw.connections.as_ref(),
        u32::try_from(standard.connections).unwrap_or(MOST_CONNECTIONS),
        1..=MOST_CONNECTIONS,
    )?;
    Ok(milter::Config {
        order: raw.order.unwrap_or(standard.order),
        on_error: raw.on_error,
        connect: seconds(&raw.connect_timeout_s, standard.connect)?,
        command: seconds(&raw.command_timeout_s, standard.command)?,
        content: seconds(&raw.content_timeout_s, standard.content)?,
        connections: connections as usize,
        size,
        breaker,
        ..standard
    })
}
