//! SPF (RFC 7208): whether a client may use a domain in its mail. Doesn't say what a result leads to, and asks for no explanation of a
//! failure (§6.2), which would be a stranger's words in our replies.

mod expand;
mod record;

pub use record::Record;

use crate::dns::{Kind, LookupError, Resolver};
use expand::{DomainSpec, Values};
use ipnet::IpNet;
use mail_auth::SpfResult;
use record::{Mechanism, Target};
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;

/// Terms that ask the DNS, in all records of a check (§4.6.4).
const TERMS: usize = 10;
/// Questions to which there is no answer, of those (§4.6.4).
const VOID: usize = 2;
/// Names of mail servers, and of a client, that are looked at (§4.6.4).
const NAMES: usize = 10;

pub struct Query {
    pub client: IpAddr,
    pub helo: String,
    pub sender_local: String,
    /// In A-labels.
    pub sender_domain: String,
}

/// check_host() (§4) for the sender.
pub async fn check(resolver: &Resolver, query: &Query) -> SpfResult {
    let mut check = Check {
        resolver,
        query,
        terms: 0,
        void: 0,
        names: None,
    };
    match check.host(query.sender_domain.clone()).await {
        Ok(result) => result,
        Err(Failure::Temporary) => SpfResult::TempError,
        Err(Failure::Permanent) => SpfResult::PermError,
    }
}

/// Ends the whole check, however deep it is in includes.
enum Failure {
    Temporary,
    Permanent,
}

type Checking<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

struct Check<'a> {
    resolver: &'a Resolver,
    query: &'a Query,
    terms: usize,
    void: usize,
    /// The client's, once they were asked for.
    names: Option<Vec<String>>,
}

impl Check<'_> {
    /// How deep it goes is bounded by `TERMS`.
    fn host(&mut self, domain: String) -> Checking<'_, SpfResult> {
        Box::pin(async move {
            if !is_domain(&domain) {
                return Ok(SpfResult::None);
            }
            let records = match self.resolver.txt(&domain).await {
                Ok(records) => records,
                Err(LookupError::NotFound) => return Ok(SpfResult::None),
                Err(LookupError::Temporary(_)) => return Err(Failure::Temporary),
            };
            let policies: Vec<_> = records.iter().filter(|record| is_policy(record)).collect();
            let record = match policies.as_slice() {
                [] => return Ok(SpfResult::None),
                [one] => Record::parse(one).ok_or(Failure::Permanent)?,
                _ => return Err(Failure::Permanent),
            };
            for (qualifier, mechanism) in &record.directives {
                if self.is_match(mechanism, &domain).await? {
                    return Ok(*qualifier);
                }
            }
            match &record.redirect {
                None => Ok(SpfResult::Neutral),
                Some(target) => {
                    self.count()?;
                    let target = self.expand(target, &domain).await;
                    match self.host(target.unwrap_or_default()).await? {
                        SpfResult::None => Err(Failure::Permanent),
                        result => Ok(result),
                    }
                }
            }
        })
    }

    async fn is_match(&mut self, mechanism: &Mechanism<'_>, domain: &str) -> Result<bool, Failure> {
        let client = self.query.client;
        if mechanism.asks_dns() {
            self.count()?;
        }
        let name = match mechanism.name() {
            None => domain.to_owned(),
            Some(spec) => match self.expand(spec, domain).await {
                Some(name) => name,
                None => return Ok(false),
            },
        };
        match mechanism {
            Mechanism::All => Ok(true),
            Mechanism::Ip(network) => Ok(network.contains(&client)),
            Mechanism::Include(_) => match self.host(name).await? {
                SpfResult::Pass => Ok(true),
                SpfResult::None => Err(Failure::Permanent),
                _ => Ok(false),
            },
            Mechanism::A(target) => self.is_at(&name, target).await,
            Mechanism::Mx(target) => {
                let exchanges = self.lookup(&name, Kind::Mx).await?;
                if exchanges.len() > NAMES {
                    return Err(Failure::Permanent);
                }
                for exchange in exchanges {
                    let (_, host) = exchange.split_once(' ').unwrap_or_default();
                    if self.is_at(host, target).await? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Mechanism::Ptr(_) => {
                let names = self.names().await;
                Ok(names.iter().any(|found| is_within(found, &name)))
            }
            // Of IPv4, whatever the client is (§5.7).
            Mechanism::Exists(_) => Ok(!self.lookup(&name, Kind::A).await?.is_empty()),
        }
    }

    fn count(&mut self) -> Result<(), Failure> {
        self.terms += 1;
        if self.terms > TERMS {
            return Err(Failure::Permanent);
        }
        Ok(())
    }

    async fn lookup(&mut self, name: &str, kind: Kind) -> Result<Vec<String>, Failure> {
        match self.resolver.lookup(name, kind).await {
            Ok(records) => {
                self.void += usize::from(records.is_empty());
                if self.void > VOID {
                    return Err(Failure::Permanent);
                }
                Ok(records)
            }
            // A name that cannot be asked for is one that is not there (§4.8).
            Err(LookupError::NotFound) => Ok(Vec::new()),
            Err(LookupError::Temporary(_)) => Err(Failure::Temporary),
        }
    }

    /// Whether the client is in the network of one of a name's addresses.
    async fn is_at(&mut self, name: &str, target: &Target<'_>) -> Result<bool, Failure> {
        let client = self.query.client;
        let (kind, length) = match client {
            IpAddr::V4(_) => (Kind::A, target.v4),
            IpAddr::V6(_) => (Kind::Aaaa, target.v6),
        };
        let addresses = self.lookup(name, kind).await?;
        Ok(addresses.iter().any(|address| {
            let network = address.parse().ok();
            let network = network.and_then(|address| IpNet::new(address, length).ok());
            network.is_some_and(|network| network.contains(&client))
        }))
    }

    /// Names of the client that lead back to it (§5.5).
    async fn names(&mut self) -> &[String] {
        if self.names.is_none() {
            let client = self.query.client;
            let kind = match client {
                IpAddr::V4(_) => Kind::A,
                IpAddr::V6(_) => Kind::Aaaa,
            };
            // Whatever fails here is only no match.
            let names = self.resolver.lookup(&client.to_string(), Kind::Ptr).await;
            let mut found = Vec::new();
            for name in names.unwrap_or_default().into_iter().take(NAMES) {
                let addresses = self.resolver.lookup(&name, kind).await;
                let mut addresses = addresses.unwrap_or_default().into_iter();
                if addresses.any(|address| address.parse() == Ok(client)) {
                    found.push(name);
                }
            }
            self.names = Some(found);
        }
        self.names.as_deref().unwrap_or_default()
    }

    /// None where a local part would have to become a name and cannot (RFC 8616 §4).
    async fn expand(&mut self, spec: &DomainSpec<'_>, domain: &str) -> Option<String> {
        let query = self.query;
        if spec.has("sl") && !query.sender_local.is_ascii() {
            return None;
        }
        let client_name = if spec.has("p") {
            let names = self.names().await;
            // §7.3
            let by_nearness = [
                names.iter().find(|name| name.eq_ignore_ascii_case(domain)),
                names.iter().find(|name| is_within(name, domain)),
                names.first(),
            ];
            let name = by_nearness.into_iter().flatten().next();
            name.map_or("unknown", String::as_str).to_owned()
        } else {
            String::new()
        };
        Some(spec.expand(&Values {
            query,
            domain,
            client_name: &client_name,
        }))
    }
}

/// The name, or one below it.
fn is_within(name: &str, domain: &str) -> bool {
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    let start = name.len().checked_sub(domain.len());
    let parts = start.and_then(|start| name.split_at_checked(start));
    parts.is_some_and(|(before, end)| {
        end.eq_ignore_ascii_case(domain) && (before.is_empty() || before.ends_with('.'))
    })
}

/// §4.3: what is no name of two labels or more cannot have published anything, an address literal for one.
fn is_domain(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name.contains('.')
        && name.len() <= 253
        && !name.starts_with('[')
        && name.split('.').all(|label| (1..=63).contains(&label.len()))
}

/// §4.5
fn is_policy(record: &[u8]) -> bool {
    record.split_at_checked(6).is_some_and(|(version, rest)| {
        version.eq_ignore_ascii_case(b"v=spf1") && matches!(rest.first(), None | Some(b' '))
    })
}
