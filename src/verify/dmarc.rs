//! DMARC (RFC 9989) by the library, which gives a record up for any tag that it cannot read. Doesn't say what a result leads to.

use crate::dns::Resolver;
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::dmarc::Dmarc;
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::{
    DmarcOutput, DnsError, Error, MessageAuthenticator, Parameters, ResolverCache, Txt,
};
use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

pub async fn check<'a>(
    library: &MessageAuthenticator,
    resolver: &Resolver,
    parameters: impl Fn() -> DmarcParameters<'a>,
) -> DmarcOutput {
    let records = Records::default();
    loop {
        let parameters = Parameters::new(parameters()).with_txt_cache(&records);
        let output = library.verify_dmarc(parameters).await;
        if !records.mend(resolver).await {
            return output;
        }
    }
}

/// What was found under the names that one check asked for.
#[derive(Default)]
struct Records(Mutex<HashMap<Box<str>, Txt>>);

impl Records {
    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Txt>> {
        // Nothing is half done in there.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True if a record can be read now that could not, and the check has to be done again.
    async fn mend(&self, resolver: &Resolver) -> bool {
        let is_broken = |found: &Txt| matches!(found, Txt::Error(Error::ParseError));
        let broken: Vec<_> = self
            .lock()
            .iter()
            .filter(|(_, found)| is_broken(found))
            .map(|(name, _)| name.clone())
            .collect();
        let is_mended = !broken.is_empty();
        for name in broken {
            let found = match resolver.txt(&name).await {
                Ok(records) => records.iter().find_map(|record| read(record)).map_or_else(
                    || Txt::Error(Error::Dns(DnsError::InvalidRecordType)),
                    Txt::from,
                ),
                Err(error) => Txt::Error(Error::Dns(DnsError::Resolver(error.to_string()))),
            };
            self.lock().insert(name, found);
        }
        is_mended
    }
}

/// RFC 9989 §4.7: a tag that is malformed counts as absent.
fn read(record: &[u8]) -> Option<Dmarc> {
    let mut tags = record.split(|octet| *octet == b';');
    let mut whole = tags.next()?.to_vec();
    let version = whole.clone();
    for tag in tags {
        if Dmarc::parse(&[&version, tag].join(&b';')).is_ok() {
            whole.push(b';');
            whole.extend_from_slice(tag);
        }
    }
    Dmarc::parse(&whole).ok()
}

impl ResolverCache<Box<str>, Txt> for Records {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.lock().get(name).cloned()
    }

    fn remove<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.lock().remove(name)
    }

    /// Only for as long as this check.
    fn insert(&self, name: Box<str>, value: Txt, _: Instant) {
        self.lock().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mail_auth::dmarc::{Alignment, Policy};

    #[test]
    fn malformed_tags_count_as_absent() {
        for (record, expected) in [
            (
                "v=DMARC1; p=reject; fo=1,d",
                Some((Policy::Reject, Alignment::Relaxed)),
            ),
            (
                "v=DMARC1; adkim=relaxed; p=reject",
                Some((Policy::Reject, Alignment::Relaxed)),
            ),
            (
                "v=DMARC1; adkim=s; p=reject; sp=",
                Some((Policy::Reject, Alignment::Strict)),
            ),
            (
                "v=DMARC1; p=refuse; sp=reject",
                Some((Policy::Unspecified, Alignment::Relaxed)),
            ),
            ("v=DMARC2; p=reject", None),
            ("", None),
        ] {
            let found = read(record.as_bytes()).map(|found| (found.p, found.adkim));
            assert_eq!(found, expected, "{record}");
        }
    }
}
