//! Looks names up: a stub resolver with a deadline and a cache that heeds the TTLs of answers, negative ones too.
//! Judges nothing of what it finds, and serves no names itself.

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError as AnswerError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::system_conf::read_system_conf;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Answers kept at once; a message asks for some ten.
const CACHE: u64 = 32 * 1024;
/// No answer is trusted for longer, whatever its TTL says.
const MAX_TTL: Duration = Duration::from_secs(24 * 3600);
/// RFC 2308 §5 calls more than three hours for a negative answer too long.
const MAX_NEGATIVE_TTL: Duration = Duration::from_secs(3 * 3600);

#[derive(Debug, Clone)]
pub struct Config {
    /// None: those of /etc/resolv.conf.
    pub servers: Option<Vec<SocketAddr>>,
    /// For one try; there are two.
    pub timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            servers: None,
            timeout: Duration::from_secs(3),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    #[error("/etc/resolv.conf names no usable DNS server: {0}; set servers under [dns]")]
    System(NetError),
    #[error("the DNS resolver cannot be built: {0}")]
    Build(NetError),
}

/// What is asked for in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    A,
    Aaaa,
    Mx,
    Txt,
    /// The name is an IP address.
    Ptr,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::Aaaa => "AAAA",
            Self::Mx => "MX",
            Self::Txt => "TXT",
            Self::Ptr => "PTR",
        }
    }

    fn record_type(self) -> RecordType {
        match self {
            Self::A => RecordType::A,
            Self::Aaaa => RecordType::AAAA,
            Self::Mx => RecordType::MX,
            Self::Txt => RecordType::TXT,
            Self::Ptr => RecordType::PTR,
        }
    }
}

/// Why there is no answer to be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// The name or the type does not exist.
    #[error("there is no such record")]
    NotFound,
    /// Nobody answered, or with an error: asking later may help.
    #[error("no answer: {0}")]
    Temporary(String),
}

/// Cheap to clone; clones share their cache.
#[derive(Clone)]
pub struct Resolver(TokioResolver);

impl Resolver {
    pub fn new(config: Config) -> Result<Self, DnsError> {
        let (servers, mut options) = match config.servers {
            Some(servers) => (
                ResolverConfig::from_parts(
                    None,
                    Vec::new(),
                    servers.into_iter().map(server).collect(),
                ),
                ResolverOpts::default(),
            ),
            None => {
                let (system, options) = read_system_conf().map_err(DnsError::System)?;
                // Names in mail are complete: a search list could only lead astray.
                let servers = system.name_servers;
                (
                    ResolverConfig::from_parts(None, Vec::new(), servers),
                    options,
                )
            }
        };
        options.timeout = config.timeout;
        // After the first.
        options.attempts = 1;
        options.edns0 = true;
        options.cache_size = CACHE;
        options.use_hosts_file = ResolveHosts::Never;
        options.positive_max_ttl = Some(MAX_TTL);
        options.negative_max_ttl = Some(MAX_NEGATIVE_TTL);
        options.try_tcp_on_error = false;
        TokioResolver::builder_with_config(servers, TokioRuntimeProvider::default())
            .with_options(options)
            .build()
            .map(Self)
            .map_err(DnsError::Build)
    }

    /// The TXT records of a name, the strings of each joined (RFC 7208 §3.3).
    pub async fn txt(&self, name: &str) -> Result<Vec<Vec<u8>>, LookupError> {
        let lookup = self.0.txt_lookup(complete(name)?).await;
        let lookup = lookup.map_err(lookup_error)?;
        let records = lookup
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::TXT(txt) => Some(txt.txt_data.concat()),
                _ => None,
            });
        Ok(records.collect())
    }

    /// The records of a name as text, names without their final dot; empty where there are none.
    pub async fn lookup(&self, name: &str, kind: Kind) -> Result<Vec<String>, LookupError> {
        let name = match kind {
            Kind::Ptr => {
                let address: IpAddr = name.parse().map_err(|_| LookupError::NotFound)?;
                Name::from(address.to_canonical())
            }
            _ => complete(name)?,
        };
        let lookup = match self.0.lookup(name, kind.record_type()).await {
            Ok(lookup) => lookup,
            Err(error) => {
                return match lookup_error(error) {
                    LookupError::NotFound => Ok(Vec::new()),
                    error => Err(error),
                };
            }
        };
        let records = lookup.answers().iter();
        // Names on the way there (CNAME) are among them.
        Ok(records
            .filter(|record| record.record_type() == kind.record_type())
            .filter_map(|record| text(&record.data))
            .collect())
    }

    /// For a library that brings its own lookups.
    pub fn hickory(&self) -> &TokioResolver {
        &self.0
    }
}

/// A name as it stands in mail: it is complete, and its labels hold whatever they hold.
fn complete(text: &str) -> Result<Name, LookupError> {
    let name = if text.is_ascii() {
        let text = text.strip_suffix('.').unwrap_or(text);
        Name::from_labels(text.split('.').map(str::as_bytes))
    } else {
        Name::from_utf8(text)
    };
    let mut name = name.map_err(|_| LookupError::NotFound)?;
    name.set_fqdn(true);
    Ok(name)
}

/// Without its final dot, and without escapes where none are needed: `complete` reads none.
fn plain(name: &Name) -> String {
    let is_plain = |octet: &u8| octet.is_ascii_graphic() && !b".\\".contains(octet);
    let labels: Option<Vec<_>> = name
        .iter()
        .map(|label| std::str::from_utf8(label).ok())
        .collect();
    match labels {
        Some(labels) if name.iter().flatten().all(is_plain) => labels.join("."),
        _ => {
            let mut name = name.clone();
            name.set_fqdn(false);
            name.to_ascii()
        }
    }
}

fn text(data: &RData) -> Option<String> {
    Some(match data {
        RData::A(address) => address.0.to_string(),
        RData::AAAA(address) => address.0.to_string(),
        RData::MX(mx) => format!("{} {}", mx.preference, plain(&mx.exchange)),
        RData::TXT(txt) => String::from_utf8_lossy(&txt.txt_data.concat()).into_owned(),
        RData::PTR(name) => plain(&name.0),
        _ => return None,
    })
}

fn server(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    let connections = connections.map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

fn lookup_error(error: NetError) -> LookupError {
    match &error {
        NetError::Dns(AnswerError::NoRecordsFound(none))
            if matches!(
                none.response_code,
                ResponseCode::NoError | ResponseCode::NXDomain
            ) =>
        {
            LookupError::NotFound
        }
        _ => LookupError::Temporary(error.to_string()),
    }
}
