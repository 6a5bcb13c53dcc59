//! SPF (RFC 7208) by the library, and what it does not see: how many records a name has. Doesn't say what a result leads to.

use super::spf_record;
use crate::dns::Resolver;
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{Error, MessageAuthenticator, Parameters, ResolverCache, SpfOutput, Txt};
use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

pub struct Query {
    pub client: IpAddr,
    pub helo: String,
    /// Our name.
    pub server: String,
    /// local-part@domain
    pub sender: String,
}

/// A name is evaluated again for each record set that turns out to be wrong; includes are limited to ten (RFC 7208 §4.6.4).
const ROUNDS: usize = 12;

pub async fn check(
    library: &MessageAuthenticator,
    resolver: &Resolver,
    query: &Query,
) -> SpfOutput {
    // RFC 7208 §4.3: a literal or a single label is no domain that could publish anything.
    let domain = query
        .sender
        .rsplit_once('@')
        .map_or("", |(_, domain)| domain);
    if domain.starts_with('[') || !domain.trim_end_matches('.').contains('.') {
        return SpfOutput::new(domain.to_owned());
    }
    let policies = Policies::default();
    let mut rounds = 0;
    loop {
        let parameters = SpfParameters::verify_mail_from(
            query.client,
            &query.helo,
            &query.server,
            &query.sender,
        );
        let output = library
            .verify_spf(Parameters::new(parameters).with_txt_cache(&policies))
            .await;
        rounds += 1;
        if rounds == ROUNDS || !policies.correct(resolver).await {
            return output;
        }
    }
}

/// What was found under the names that one evaluation asked for. The library takes the first record that it understands;
/// RFC 7208 §4.5 has two records, or one that cannot be parsed, be an error.
#[derive(Default)]
struct Policies(Mutex<HashMap<Box<str>, Found>>);

struct Found {
    value: Txt,
    is_checked: bool,
}

impl Policies {
    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Found>> {
        // Nothing is half done in there.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True if something was wrong, and the evaluation has to be done again. All is in the resolver's cache by now.
    async fn correct(&self, resolver: &Resolver) -> bool {
        let unchecked: Vec<_> = self
            .lock()
            .iter()
            .filter(|(_, found)| !found.is_checked)
            .map(|(name, _)| name.clone())
            .collect();
        let mut is_wrong = false;
        for name in unchecked {
            let records = resolver.txt(&name).await.unwrap_or_default();
            let policies: Vec<_> = records.iter().filter(|record| is_policy(record)).collect();
            let mut known = self.lock();
            let Some(found) = known.get_mut(&name) else {
                continue;
            };
            found.is_checked = true;
            let fits = match found.value {
                Txt::Spf(_) => matches!(policies.as_slice(), [one] if spf_record::is_valid(one)),
                Txt::Error(Error::ParseError) => true,
                Txt::Error(_) => policies.is_empty(),
                // Not a policy: an explanation.
                _ => true,
            };
            if !fits {
                found.value = Txt::Error(Error::ParseError);
                is_wrong = true;
            }
        }
        is_wrong
    }
}

/// RFC 7208 §4.5
fn is_policy(record: &[u8]) -> bool {
    record.split_at_checked(6).is_some_and(|(version, rest)| {
        version.eq_ignore_ascii_case(b"v=spf1") && matches!(rest.first(), None | Some(b' '))
    })
}

impl ResolverCache<Box<str>, Txt> for Policies {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.lock().get(name).map(|found| found.value.clone())
    }

    fn remove<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.lock().remove(name).map(|found| found.value)
    }

    /// Only for as long as this evaluation.
    fn insert(&self, name: Box<str>, value: Txt, _: Instant) {
        let is_checked = false;
        self.lock().insert(name, Found { value, is_checked });
    }
}
