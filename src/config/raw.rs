//! The file as it is written, with the places of what can be wrong in more than its type.

use super::{ByteSize, Protocol, TlsMode, acme, limits, milters, next_hop, tls, trusted};
use crate::net::Asked;
use crate::verify::Action;
use serde::Deserialize;
use std::path::PathBuf;
use toml::Spanned;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    pub hostname: Spanned<String>,
    pub data_dir: PathBuf,
    #[serde(default)]
    pub domains: Vec<Spanned<String>>,
    pub postmaster: Option<Spanned<String>>,
    #[serde(default)]
    pub listener: Vec<Listener>,
    #[serde(default)]
    pub next_hop: Vec<next_hop::Raw>,
    #[serde(default)]
    pub tls: tls::Raw,
    #[serde(default)]
    pub certificate: Vec<tls::RawPair>,
    pub acme: Option<acme::Raw>,
    #[serde(default)]
    pub plugins: Plugins,
    #[serde(default)]
    pub milter: Vec<milters::Raw>,
    #[serde(default)]
    pub policy: Policy,
    #[serde(default)]
    pub dns: Dns,
    #[serde(default)]
    pub authentication: Authentication,
    #[serde(default)]
    pub trusted: trusted::Raw,
    #[serde(default)]
    pub limits: limits::Raw,
    #[serde(default)]
    pub quarantine: Quarantine,
    #[serde(default)]
    pub journal: Journal,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Listener {
    pub protocol: Spanned<Protocol>,
    pub address: Spanned<String>,
    pub tls: Option<Spanned<TlsMode>>,
    pub client_certificates: Option<Spanned<Asked>>,
    pub allow_plaintext_auth: Option<Spanned<bool>>,
    pub mode: Option<Spanned<String>>,
    pub owner: Option<Spanned<String>>,
    pub proxy_protocol: Option<Spanned<bool>>,
    pub secret: Option<Spanned<String>>,
    pub secret_file: Option<Spanned<PathBuf>>,
    pub next_hop: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Plugins {
    pub directory: Option<Spanned<PathBuf>>,
    pub grants: Option<Spanned<PathBuf>>,
    pub cpu_ms: Option<Spanned<u64>>,
    pub wall_ms: Option<Spanned<u64>>,
    pub memory: Option<Spanned<ByteSize>>,
    pub concurrency: Option<Spanned<u32>>,
    #[serde(default)]
    pub breaker: Breaker,
    #[serde(default)]
    pub probation: Probation,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Breaker {
    pub failures: Option<u32>,
    pub share: Option<Spanned<f64>>,
    pub window_s: Option<Spanned<u64>>,
    pub pause_ms: Option<Spanned<u64>>,
    pub longest_pause_s: Option<Spanned<u64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Probation {
    pub calls: Option<u64>,
    pub time_s: Option<Spanned<u64>>,
    pub error_rate: Option<Spanned<f64>>,
    pub latency_factor: Option<Spanned<f64>>,
    pub verdict_change: Option<Spanned<f64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Policy {
    pub junk: Option<Spanned<f32>>,
    pub reject: Option<Spanned<f32>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Dns {
    pub servers: Option<Spanned<Vec<Spanned<String>>>>,
    pub timeout_ms: Option<Spanned<u64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Authentication {
    pub enabled: Option<bool>,
    // Moved to [dns]; kept so that the error can say so.
    pub dns_servers: Option<Spanned<toml::Value>>,
    pub dns_timeout_ms: Option<Spanned<toml::Value>>,
    pub spf: Option<Spanned<Action>>,
    pub dkim: Option<Spanned<Action>>,
    pub dmarc: Option<Spanned<Action>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Journal {
    pub keep_days: Option<Spanned<u64>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Quarantine {
    pub keep_days: Option<Spanned<u64>>,
    pub max_size: Option<Spanned<ByteSize>>,
}
