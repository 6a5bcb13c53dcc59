//! Who a message is from in the eyes of those who read it here: our header and the parser behind IMAP's ENVELOPE. The library has a header
//! and a parser of its own, and what it did not see it has not checked.

use crate::mail::Header;
use crate::mail::address_list::{Entry, parse};
use mail_auth::AuthenticatedMessage;
use mail_auth::common::to_a_label;
use std::collections::BTreeSet;

/// Whether the library has the header end where we do.
pub fn is_read_alike(message: &AuthenticatedMessage<'_>, header: &Header) -> bool {
    let end = usize::try_from(header.end()).unwrap_or(usize::MAX);
    let after = message.raw_message().get(end..).unwrap_or_default();
    let empty_line = match after {
        [b'\r', b'\n', ..] => 2,
        [b'\n', ..] => 1,
        _ => 0,
    };
    message.body_offset() == end + empty_line
}

/// Why the author whose domain was checked need not be the one that readers see, if so.
pub fn doubt(header: &Header, checked: &str) -> Option<String> {
    // RFC 5322 §3.6 has exactly one.
    let fields = header.get("From").count();
    if fields > 1 {
        return Some(format!("{fields} From fields"));
    }
    let seen = domains(header);
    let checked = Some(checked).filter(|domain| !domain.is_empty());
    let is_same = seen.iter().map(String::as_str).eq(checked);
    (!is_same).then(|| {
        let seen: Vec<_> = seen.into_iter().collect();
        format!("From can be read in two ways: {}", seen.join(", "))
    })
}

/// The domains of all addresses in From, as the DNS has them.
fn domains(header: &Header) -> BTreeSet<String> {
    let entries = header.get("From").flat_map(|field| parse(field.value()));
    entries.filter_map(|entry| domain(&entry)).collect()
}

fn domain(entry: &Entry) -> Option<String> {
    let (local, domain) = match entry {
        Entry::Address { local, domain, .. } => (local, domain),
        // Its name is shown too.
        Entry::GroupStart(name) => (name, &Vec::new()),
        Entry::GroupEnd => return None,
    };
    let domain = if domain.is_empty() {
        // A quoted string, which reads as an address.
        let at = local.iter().rposition(|octet| *octet == b'@')?;
        local.get(at + 1..)?
    } else {
        domain
    };
    let domain = String::from_utf8_lossy(domain).trim().to_lowercase();
    let domain = domain.strip_suffix('.').unwrap_or(&domain);
    (!domain.is_empty()).then(|| to_a_label(domain).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn domains_are_those_that_readers_see() {
        for (value, expected) in [
            ("a@B.test", &["b.test"][..]),
            ("A <a@b.test>, c@b.test.", &["b.test"]),
            ("a@(c)b.test", &["b.test"]),
            ("a @ b . test", &["b.test"]),
            ("\"a\" <a@b.test> <c@d.test>", &["b.test"]),
            ("a@b.test, c@d.test", &["b.test", "d.test"]),
            ("a@b.test; c@d.test", &["b.test", "d.test"]),
            ("G: a@b.test;", &["b.test"]),
            ("c@d.test: a@b.test;", &["b.test", "d.test"]),
            ("\"a@b.test\"", &["b.test"]),
            ("\"c@d.test\" <a@b.test>", &["b.test"]),
            ("Doe, J. <a@b.test>", &["b.test"]),
            ("a@bücher.test", &["xn--bcher-kva.test"]),
            ("nobody", &[]),
            ("<>", &[]),
            ("a@", &[]),
            ("", &[]),
        ] {
            let header = Header::parse(&Bytes::from(format!("From: {value}\r\n\r\n")));
            let found: Vec<_> = domains(&header).into_iter().collect();
            assert_eq!(found, expected, "{value}");
        }
    }
}
