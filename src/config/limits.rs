//! `[limits]`: what one message, one session, one address, one network and all together may take.
//! What happens at a limit is said where it is kept.

use super::{ByteSize, ConfigError, Source};
use crate::accept::Hygiene;
use crate::mail::Header;
use crate::net::Networks;
use crate::net::guard::{self, Amounts, Ban, Rates, Room, Slowest};
use crate::proto::smtp;
use serde::Deserialize;
use std::ops::RangeInclusive;
use std::time::Duration;
use toml::Spanned;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Raw {
    message_size: Option<Spanned<ByteSize>>,
    recipients: Option<Spanned<u64>>,
    connections: Option<Spanned<u64>>,
    #[serde(default)]
    smuggling: Smuggling,
    line_length: Option<Spanned<ByteSize>>,
    header_size: Option<Spanned<ByteSize>>,
    header_fields: Option<Spanned<u64>>,
    hops: Option<Spanned<u64>>,
    own_hops: Option<Spanned<u64>>,
    errors: Option<Spanned<u64>>,
    commands: Option<Spanned<u64>>,
    idle_commands: Option<Spanned<u64>>,
    greeting_delay_ms: Option<Spanned<u64>>,
    tarpit_ms: Option<Spanned<u64>>,
    tarpit_after: Option<Spanned<u64>>,
    ban_offences: Option<Spanned<u64>>,
    ban_within_seconds: Option<Spanned<u64>>,
    ban_seconds: Option<Spanned<u64>>,
    command_seconds: Option<Spanned<u64>>,
    least_rate: Option<Spanned<ByteSize>>,
    least_rate_grace_seconds: Option<Spanned<u64>>,
    memory: Option<ByteSize>,
    disk_free: Option<ByteSize>,
    ipv4_network: Option<Spanned<u64>>,
    ipv6_network: Option<Spanned<u64>>,
    #[serde(default)]
    address: RawRates,
    #[serde(default)]
    network: RawRates,
    #[serde(default)]
    all: RawRates,
    #[serde(default)]
    imap: RawImap,
}

/// Of IMAP's clients, who are counted by themselves.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawImap {
    failed_logins: Option<Spanned<u64>>,
    #[serde(default)]
    address: RawConnections,
    #[serde(default)]
    network: RawConnections,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawConnections {
    connections: Option<u64>,
    connections_per_minute: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Smuggling {
    #[default]
    Reject,
    Normalise,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawRates {
    connections: Option<u64>,
    connections_per_minute: Option<u64>,
    connections_per_hour: Option<u64>,
    messages_per_minute: Option<u64>,
    messages_per_hour: Option<u64>,
    recipients_per_minute: Option<u64>,
    recipients_per_hour: Option<u64>,
    bytes_per_minute: Option<ByteSize>,
    bytes_per_hour: Option<ByteSize>,
}

#[derive(Debug, Clone)]
pub struct Limits {
    /// Octets of one message (RFC 1870).
    pub message_size: u64,
    /// Recipients of one transaction.
    pub recipients: usize,
    /// Connections at once, for each listener.
    pub connections: usize,
    pub smuggling: smtp::Smuggling,
    /// Octets.
    pub line_length: u64,
    pub hygiene: Hygiene,
    /// Of one session, since the last message that was taken.
    pub errors: u32,
    pub commands: u32,
    pub idle_commands: u32,
    pub guard: guard::Config,
    /// Of IMAP listeners.
    pub imap: guard::Config,
}

pub fn resolve(source: &Source, raw: &Raw, exempt: Networks) -> Result<Limits, ConfigError> {
    let within = |value: &Option<Spanned<u64>>,
                  default: u64,
                  range: RangeInclusive<u64>,
                  why: &str| match value {
        None => Ok(default),
        Some(value) if range.contains(value.get_ref()) => Ok(*value.get_ref()),
        Some(value) if *value.get_ref() < *range.start() => Err(source.error(
            value.span(),
            format!("at least {}: {why}", range.start()),
            "",
        )),
        Some(value) => {
            Err(source.error(value.span(), format!("at most {}: {why}", range.end()), ""))
        }
    };
    let count = |value, default: u32, least: u64, why| {
        let value = within(value, default.into(), least..=u32::MAX.into(), why)?;
        Ok(u32::try_from(value).unwrap_or(u32::MAX))
    };
    let size = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    let message_size = match &raw.message_size {
        None => ByteSize::mib(50).0,
        Some(size) if size.get_ref().0 >= 64 * 1024 => size.get_ref().0,
        Some(size) => {
            return Err(source.error(
                size.span(),
                "at least 64 KiB: RFC 5321 §4.5.3.1.7 has every server take that much",
                "",
            ));
        }
    };
    let default = guard::Config::default();
    let day = 24 * 60 * 60;
    let seconds = |value, default: Duration, range| {
        within(value, default.as_secs(), range, "seconds").map(Duration::from_secs)
    };
    let prefix = |value, default: u8, most: u64| {
        let bits = within(value, default.into(), 8..=most, "bits of an address")?;
        Ok(u8::try_from(bits).unwrap_or(default))
    };
    let guard = guard::Config {
        exempt,
        prefixes: (
            prefix(&raw.ipv4_network, default.prefixes.0, 32)?,
            prefix(&raw.ipv6_network, default.prefixes.1, 128)?,
        ),
        address: rates(&raw.address, default.address),
        network: rates(&raw.network, default.network),
        all: rates(&raw.all, default.all),
        ban: Ban {
            offences: count(&raw.ban_offences, 5, 0, "offences")?.into(),
            within: seconds(&raw.ban_within_seconds, default.ban.within, 1..=day)?,
            lasts: seconds(&raw.ban_seconds, default.ban.lasts, 1..=30 * day)?,
        },
        greeting_delay: Duration::from_millis(within(
            &raw.greeting_delay_ms,
            0,
            0..=60_000,
            "clients wait five minutes for a greeting at most (RFC 5321 §4.5.3.2.1)",
        )?),
        tarpit: Duration::from_millis(within(&raw.tarpit_ms, 1_000, 0..=60_000, "milliseconds")?),
        tarpit_after: count(&raw.tarpit_after, default.tarpit_after, 0, "errors")?,
        slowest: Slowest {
            rate: raw
                .least_rate
                .as_ref()
                .map_or(default.slowest.rate, |rate| rate.get_ref().0),
            grace: seconds(
                &raw.least_rate_grace_seconds,
                default.slowest.grace,
                1..=day,
            )?,
            command: seconds(&raw.command_seconds, default.slowest.command, 1..=day)?,
        },
        room: Room {
            memory: raw.memory.map_or_else(guard::default_memory, |size| size.0),
            disk_free: raw.disk_free.map_or(default.room.disk_free, |size| size.0),
        },
    };
    // A household or an office comes from one address, with several connections for each device.
    let imap = guard::Config {
        address: connections(&raw.imap.address, 200, 600),
        network: connections(&raw.imap.network, 1_000, 3_000),
        all: Rates::default(),
        ban: Ban {
            offences: count(&raw.imap.failed_logins, 10, 0, "failed logins")?.into(),
            ..guard.ban
        },
        ..guard.clone()
    };
    let clean = Hygiene::default();
    let octets = |value: &Option<Spanned<ByteSize>>,
                  default: u64,
                  range: RangeInclusive<u64>,
                  why: &str| match value {
        None => Ok(default),
        Some(value) if range.contains(&value.get_ref().0) => Ok(value.get_ref().0),
        Some(value) => Err(source.error(
            value.span(),
            format!("from {} to {} octets: {why}", range.start(), range.end()),
            "",
        )),
    };
    let header_max = Header::MAX as u64;
    Ok(Limits {
        message_size,
        smuggling: match raw.smuggling {
            Smuggling::Reject => smtp::Smuggling::Reject,
            Smuggling::Normalise => smtp::Smuggling::Normalise,
        },
        line_length: octets(
            &raw.line_length,
            1 << 20,
            1000..=u64::MAX,
            "RFC 5321 §4.5.3.1.6 has every server take a line of 1000",
        )?,
        hygiene: Hygiene {
            header_size: octets(
                &raw.header_size,
                clean.header_size,
                16 * 1024..=header_max,
                "honest headers are some thousand, and filters see no more than the first MiB",
            )?,
            header_fields: size(within(
                &raw.header_fields,
                clean.header_fields as u64,
                50..=u64::MAX,
                "honest headers have dozens",
            )?),
            hops: size(within(
                &raw.hops,
                clean.hops as u64,
                5..=u64::MAX,
                "a message takes some hops (RFC 5321 §6.3 says to allow 100)",
            )?),
            own_hops: size(within(
                &raw.own_hops,
                clean.own_hops as u64,
                1..=u64::MAX,
                "a message to a mailing list comes back",
            )?),
        },
        recipients: size(within(
            &raw.recipients,
            1000,
            100..=u64::MAX,
            "RFC 5321 §4.5.3.1.8 has every server take that many",
        )?),
        connections: size(within(
            &raw.connections,
            10_000,
            1..=u64::MAX,
            "a listener needs one",
        )?),
        errors: count(&raw.errors, 20, 1, "anybody errs")?,
        commands: count(
            &raw.commands,
            10_000,
            200,
            "a message to 100 recipients takes half of that",
        )?,
        idle_commands: count(
            &raw.idle_commands,
            100,
            10,
            "honest clients say some of them",
        )?,
        guard,
        imap,
    })
}

/// 0 is no limit.
fn connections(raw: &RawConnections, at_once: u64, per_minute: u64) -> Rates {
    Rates {
        connections: raw.connections.unwrap_or(at_once),
        minute: Amounts {
            connections: raw.connections_per_minute.unwrap_or(per_minute),
            ..Amounts::default()
        },
        hour: Amounts::default(),
    }
}

/// 0 is no limit.
fn rates(raw: &RawRates, default: Rates) -> Rates {
    let bytes = |size: &Option<ByteSize>, default| size.as_ref().map_or(default, |size| size.0);
    let (minute, hour) = (default.minute, default.hour);
    Rates {
        connections: raw.connections.unwrap_or(default.connections),
        minute: Amounts {
            connections: raw.connections_per_minute.unwrap_or(minute.connections),
            messages: raw.messages_per_minute.unwrap_or(minute.messages),
            recipients: raw.recipients_per_minute.unwrap_or(minute.recipients),
            bytes: bytes(&raw.bytes_per_minute, minute.bytes),
        },
        hour: Amounts {
            connections: raw.connections_per_hour.unwrap_or(hour.connections),
            messages: raw.messages_per_hour.unwrap_or(hour.messages),
            recipients: raw.recipients_per_hour.unwrap_or(hour.recipients),
            bytes: bytes(&raw.bytes_per_hour, hour.bytes),
        },
    }
}
