//! The configuration file: text, to raw values with their places, to a resolved `Config`; errors point at the line.
//! Connects to nothing and starts nothing.

mod acme;
mod bulkheads;
mod error;
mod limits;
mod milters;
mod next_hop;
mod raw;
mod resolve;
mod secret;
#[cfg(test)]
mod tests;
mod tls;
mod trusted;
mod units;

pub use acme::Acme;
pub use error::ConfigError;
pub use limits::Limits;
pub use next_hop::NextHop;
pub use tls::{PathAt, Tls, TlsFiles};
pub use trusted::Trusted;
pub use units::ByteSize;

use crate::chain::Policy;
use crate::mail::Address;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Everything resolved: paths are absolute or relative to the working directory, not to the file any more.
#[derive(Debug, Clone)]
pub struct Config {
    pub hostname: String,
    pub data_dir: PathBuf,
    pub domains: Vec<String>,
    pub postmaster: Option<Address>,
    pub listeners: Vec<Listener>,
    pub next_hops: Vec<NextHop>,
    pub tls: Tls,
    pub acme: Option<Acme>,
    pub plugins: Plugins,
    /// Milters that are links of the chain.
    pub milters: Vec<crate::milter::Config>,
    pub policy: Policy,
    pub dns: crate::dns::Config,
    /// None: senders are not checked.
    pub authentication: Option<Authentication>,
    pub trusted: Trusted,
    pub limits: Limits,
    pub quarantine: crate::accept::Expiry,
    /// How long journals are kept.
    pub journals: std::time::Duration,
    /// For errors that show only when things are started.
    pub source: Source,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    Smtp,
    Submission,
    Lmtp,
    Milter,
    Imap,
    Http,
    /// MTA Hooks.
    Hooks,
    /// Rspamd's scan protocol.
    Rspamd,
    /// Answers ACME challenges and nothing else.
    Acme,
}

impl Protocol {
    pub fn name(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Submission => "submission",
            Self::Lmtp => "lmtp",
            Self::Milter => "milter",
            Self::Imap => "imap",
            Self::Http => "http",
            Self::Hooks => "hooks",
            Self::Rspamd => "rspamd",
            Self::Acme => "acme",
        }
    }

    /// What comes in goes through the filters.
    pub fn brings_mail(self) -> bool {
        match self {
            Self::Smtp
            | Self::Submission
            | Self::Lmtp
            | Self::Milter
            | Self::Hooks
            | Self::Rspamd => true,
            Self::Imap | Self::Http | Self::Acme => false,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    None,
    #[default]
    Starttls,
    Implicit,
}

#[derive(Debug, Clone)]
pub struct Listener {
    pub protocol: Protocol,
    pub address: String,
    pub tls: TlsMode,
    pub client_certificates: crate::net::Asked,
    pub allow_plaintext_auth: bool,
    /// Of a Unix socket.
    pub access: crate::net::Access,
    /// All its connections come over `[trusted] proxies`.
    pub proxy_protocol: bool,
    /// What hooks and rspamd want to be shown.
    pub secret: Option<crate::ingress::web::Secret>,
    /// Its messages go on to this one, not into mailboxes here.
    pub next_hop: Option<String>,
    /// Where its address stands in the file.
    pub span: Range<usize>,
}

#[derive(Debug, Clone)]
pub struct Plugins {
    /// None: no filters.
    pub directory: Option<PathBuf>,
    /// It is not there: commands can do without, a server cannot start.
    pub absent: Option<ConfigError>,
    /// The file with what each may do. None: that in the directory.
    pub grants: Option<PathBuf>,
    /// For a plugin whose manifest says nothing.
    pub limits: crate::plugin::Limits,
    pub breaker: crate::plugin::BreakerConfig,
    pub probation: crate::plugin::ProbationConfig,
}

#[derive(Debug, Clone)]
pub struct Authentication {
    pub policy: crate::verify::Policy,
}

/// The file as it was read.
#[derive(Debug, Clone)]
pub struct Source {
    pub path: PathBuf,
    pub text: String,
}

impl Source {
    /// An error at this place of the file.
    pub fn error(
        &self,
        span: Range<usize>,
        what: impl Into<String>,
        help: impl Into<String>,
    ) -> ConfigError {
        ConfigError::at(self, span, what, help)
    }
}

impl Config {
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text =
            std::fs::read_to_string(path).map_err(|error| ConfigError::unreadable(path, &error))?;
        Self::parse(path, text)
    }

    /// `path` is what relative paths in the file are relative to, and what errors name.
    pub fn parse(path: &Path, text: String) -> Result<Self, ConfigError> {
        let source = Source {
            path: path.to_owned(),
            text,
        };
        let raw: raw::Config =
            toml::from_str(&source.text).map_err(|error| ConfigError::syntax(&source, &error))?;
        resolve::resolve(raw, source)
    }
}
