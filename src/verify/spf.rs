//! SPF (RFC 7208) by the library, and what it does not see: how many records a name has. Doesn't say what a result leads to.

use super::answers::{Answers, Records};
use super::spf_record;
use crate::dns::Resolver;
use mail_auth::spf::verify::SpfParameters;
use mail_auth::{Error, MessageAuthenticator, Parameters, SpfOutput, Txt};
use std::net::IpAddr;

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
    let answers = Answers::default();
    let mut rounds = 0;
    loop {
        let parameters = SpfParameters::verify_mail_from(
            query.client,
            &query.helo,
            &query.server,
            &query.sender,
        );
        let output = library
            .verify_spf(Parameters::new(parameters).with_txt_cache(&answers))
            .await;
        rounds += 1;
        if rounds == ROUNDS || !answers.correct(resolver, |_| true, corrected).await {
            return output;
        }
    }
}

/// The library takes the first record that it understands; RFC 7208 §4.5 has two records, or one that cannot be parsed, be an error.
fn corrected(value: &Txt, records: Records) -> Option<Txt> {
    let records = records.unwrap_or_default();
    let policies: Vec<_> = records.iter().filter(|record| is_policy(record)).collect();
    let fits = match value {
        Txt::Spf(_) => matches!(policies.as_slice(), [one] if spf_record::is_valid(one)),
        Txt::Error(Error::ParseError) => true,
        Txt::Error(_) => policies.is_empty(),
        // Not a policy: an explanation.
        _ => true,
    };
    (!fits).then_some(Txt::Error(Error::ParseError))
}

/// RFC 7208 §4.5
fn is_policy(record: &[u8]) -> bool {
    record.split_at_checked(6).is_some_and(|(version, rest)| {
        version.eq_ignore_ascii_case(b"v=spf1") && matches!(rest.first(), None | Some(b' '))
    })
}
