//! DMARC (RFC 9989) by the library, which gives a record up for any tag that it cannot read. Doesn't say what a result leads to.

use super::answers::{Answers, Records};
use crate::dns::Resolver;
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::dmarc::Dmarc;
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::{DmarcOutput, DnsError, Error, MessageAuthenticator, Parameters, Txt};

pub async fn check<'a>(
    library: &MessageAuthenticator,
    resolver: &Resolver,
    parameters: impl Fn() -> DmarcParameters<'a>,
) -> DmarcOutput {
    let answers = Answers::default();
    loop {
        let parameters = Parameters::new(parameters()).with_txt_cache(&answers);
        let output = library.verify_dmarc(parameters).await;
        if !answers.correct(resolver, is_doubtful, mended).await {
            return output;
        }
    }
}

/// The library says of the last record that it can't read why not: a broken one may stand before one of something else.
fn is_doubtful(found: &Txt) -> bool {
    is_broken(found) || matches!(found, Txt::Error(Error::Dns(DnsError::InvalidRecordType)))
}

fn is_broken(found: &Txt) -> bool {
    matches!(found, Txt::Error(Error::ParseError))
}

fn mended(found: &Txt, records: Records) -> Option<Txt> {
    let error = match records {
        Ok(records) => match records.iter().find_map(|record| read(record)) {
            Some(record) => return Some(record.into()),
            None => DnsError::InvalidRecordType,
        },
        Err(error) => DnsError::Resolver(error.to_string()),
    };
    is_broken(found).then_some(Txt::Error(Error::Dns(error)))
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
