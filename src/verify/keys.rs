//! The public keys of a message's signatures (RFC 6376 §3.6), asked for all at once and for a part of the time that there is: a domain that
//! does not answer takes it from none of the others, nor from DMARC.

use crate::dns::{LookupError, Resolver};
use hickory_resolver::proto::op::ResponseCode;
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::{DomainKey, VerifySignature};
use mail_auth::{AuthenticatedMessage, DnsError, Error, ResolverCache, Txt};
use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

const DEADLINE: Duration = Duration::from_secs(10);

/// All that the library gets to know of the DNS while it verifies signatures.
pub struct Keys(HashMap<Box<str>, Txt>);

impl Keys {
    pub async fn fetch(resolver: &Resolver, message: &AuthenticatedMessage<'_>) -> Self {
        // The key of a signature over another body makes no difference.
        let is_over = |l: u64, bh: &[u8]| {
            let mut bodies = message.body_hashes.iter();
            bodies.any(|(_, _, length, hash)| *length == l && hash == bh)
        };
        let signatures = message.dkim_headers.iter().map(|field| &field.header);
        let signatures = signatures.filter(|signature| is_over(signature.l, &signature.bh));
        let mut names: HashSet<_> = signatures.map(VerifySignature::domain_key).collect();
        // Of a chain only the last signature is verified, and the seals if that one stands.
        let last = message.ams_headers.last().map(|field| &field.header);
        if let Some(last) = last.filter(|last| is_over(last.l, &last.bh)) {
            names.insert(last.domain_key());
            names.extend(
                message
                    .as_headers
                    .iter()
                    .map(|field| field.header.domain_key()),
            );
        }
        let mut lookups = JoinSet::new();
        for name in names {
            let resolver = resolver.clone();
            lookups.spawn(async move {
                let records = resolver.txt(&name).await;
                (name.into_boxed_str(), records)
            });
        }
        let deadline = Instant::now() + DEADLINE;
        let mut keys = HashMap::new();
        while let Ok(Some(done)) = timeout_at(deadline, lookups.join_next()).await {
            if let Ok((name, records)) = done {
                keys.insert(name, key(records));
            }
        }
        Self(keys)
    }
}

/// The first record that is one.
fn key(records: Result<Vec<Vec<u8>>, LookupError>) -> Txt {
    let error = match records {
        Ok(records) => {
            let mut error = Error::Dns(DnsError::InvalidRecordType);
            for record in records.iter().filter(|record| is_for_us(record)) {
                match DomainKey::parse(record) {
                    Ok(key) => return key.into(),
                    Err(other) => error = other,
                }
            }
            error
        }
        Err(LookupError::NotFound) => Error::Dns(DnsError::RecordNotFound(ResponseCode::NXDomain)),
        Err(LookupError::Temporary(why)) => Error::Dns(DnsError::Resolver(why)),
    };
    Txt::Error(error)
}

/// RFC 6376 §3.6.1: a key of another service (`s=`) or for other hashes (`h=`) is to be ignored.
fn is_for_us(record: &[u8]) -> bool {
    let record = String::from_utf8_lossy(record);
    let mut tags = record.split(';').filter_map(|tag| tag.split_once('='));
    tags.all(|(name, list)| {
        let wanted: &[&str] = match name.trim() {
            "s" => &["*", "email"],
            "h" => &["sha256"],
            _ => return true,
        };
        let mut items = list.split(':').map(str::trim);
        list.trim().is_empty() || items.any(|item| wanted.contains(&&*item.to_ascii_lowercase()))
    })
}

impl ResolverCache<Box<str>, Txt> for Keys {
    /// An answer for every name, so that nothing is asked for after the deadline.
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let late = || Txt::Error(Error::Dns(DnsError::Resolver("no answer in time".into())));
        Some(self.0.get(name).cloned().unwrap_or_else(late))
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: std::time::Instant) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_other_services_and_hashes_are_ignored() {
        for (record, fits) in [
            ("v=DKIM1; p=AAAA", true),
            ("p=AAAA; s=*; h=sha256", true),
            ("p=AAAA; s = other : Email ; h=sha1:SHA256", true),
            ("p=AAAA; s=; h=", true),
            ("p=AAAA; s=other", false),
            ("p=AAAA; h=sha1", false),
        ] {
            assert_eq!(is_for_us(record.as_bytes()), fits, "{record}");
        }
    }
}
