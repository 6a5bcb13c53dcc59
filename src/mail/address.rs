//! Mail addresses (RFC 5321 §4.1.2, RFC 6531 §3.3) and the reverse-path.
//! Parses the mailbox of an envelope, not the address lists of header fields.

use super::TextError;
use serde::{Deserialize, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// RFC 5321 §4.5.3.1.1 says 64, and that no limit is better where there need be none: what mailing lists and forwarders make of an
/// address (VERP, SRS) is longer. This much has a place in a line of SMTP, beside any but the longest domains.
const LOCAL_PART_MAX: usize = 256;
/// RFC 5321 §4.5.3.1.2
const DOMAIN_MAX: usize = 255;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("there is no @")]
    NoAt,
    #[error("the local part is not valid (RFC 5321, section 4.1.2)")]
    LocalPart,
    #[error("the local part is longer than {LOCAL_PART_MAX} octets")]
    LocalPartTooLong,
    #[error("the domain is not valid (RFC 5321, section 4.1.2)")]
    Domain,
    #[error("the domain is longer than 255 octets")]
    DomainTooLong,
    #[error("{0}")]
    Text(#[from] TextError),
}

/// local-part@domain. The domain is kept in lower case; the local part as given, but without quotes that it doesn't need
/// (RFC 5321 §4.1.2: both spellings are the same address).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Address {
    local: String,
    domain: String,
}

impl Address {
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (local, given) = text.rsplit_once('@').ok_or(AddressError::NoAt)?;
        if local.len() > LOCAL_PART_MAX {
            return Err(AddressError::LocalPartTooLong);
        }
        let local = if is_dot_string(local) {
            local.to_owned()
        } else if is_quoted_string(local) {
            unquoted(local)
                .filter(|plain| is_dot_string(plain))
                .unwrap_or_else(|| local.to_owned())
        } else {
            return Err(AddressError::LocalPart);
        };
        // What is checked is what is kept: a letter's other case can be longer.
        let domain = given.to_lowercase();
        if domain.len() > DOMAIN_MAX {
            return Err(AddressError::DomainTooLong);
        }
        // The Kelvin sign's lower case is k, and what needs SMTPUTF8 would not show it any more.
        let stays = domain.is_ascii() == given.is_ascii();
        if !stays || !is_domain(&domain) && !is_address_literal(&domain) {
            return Err(AddressError::Domain);
        }
        Ok(Self { local, domain })
    }

    /// As a mail server says it that has taken it already: it may be odder than what a stranger may write. A local part with misplaced
    /// dots or specials is quoted, which is the same address (RFC 5321 §4.1.2); a source route (appendix C) and a dot behind the domain
    /// are left out.
    pub fn vouched(text: &str) -> Result<Self, AddressError> {
        if let Ok(address) = Self::parse(text) {
            return Ok(address);
        }
        let text = split_route(text).map_or(text, |(_, mailbox)| mailbox);
        let at = last_at(text)?.ok_or(AddressError::NoAt)?;
        let (local, domain) = text.split_at(at);
        let domain = domain.strip_prefix('@').unwrap_or(domain);
        let domain = domain.strip_suffix('.').unwrap_or(domain);
        let local = unquoted(local).filter(|_| !local.is_empty());
        let local = quoted(&local.ok_or(AddressError::LocalPart)?);
        Self::parse(&format!("{local}@{domain}"))
    }

    pub fn local(&self) -> &str {
        &self.local
    }

    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The same address, its domain's labels in Unicode: one spelling for all those of an internationalized domain (RFC 5890 §2.3.2.4).
    pub fn in_unicode(&self) -> Cow<'_, Self> {
        match domain_in_unicode(&self.domain) {
            Cow::Borrowed(_) => Cow::Borrowed(self),
            Cow::Owned(domain) => Cow::Owned(Self {
                local: self.local.clone(),
                domain,
            }),
        }
    }

    /// Whether it can be sent only with SMTPUTF8 (RFC 6531 §3.2).
    pub fn needs_utf8(&self) -> bool {
        !self.local.is_ascii() || !self.domain.is_ascii()
    }

    /// The same address without what follows the first `+` of its local part, and that detail (RFC 5233).
    pub fn without_detail(&self) -> (Self, Option<&str>) {
        match self.local.split_once('+') {
            Some((user, detail)) if !user.is_empty() && !user.starts_with('"') => (
                Self {
                    local: user.to_owned(),
                    domain: self.domain.clone(),
                },
                Some(detail),
            ),
            _ => (self.clone(), None),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;
    fn try_from(text: String) -> Result<Self, AddressError> {
        Self::parse(&text)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Who is told when a message cannot be delivered; nobody for bounces (RFC 5321 §4.5.5).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum ReversePath {
    #[default]
    Null,
    Address(Address),
}

impl ReversePath {
    /// See [`Address::needs_utf8`].
    pub fn needs_utf8(&self) -> bool {
        match self {
            Self::Null => false,
            Self::Address(address) => address.needs_utf8(),
        }
    }
}

impl fmt::Display for ReversePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Address(address) => address.fmt(f),
        }
    }
}

impl TryFrom<String> for ReversePath {
    type Error = AddressError;
    fn try_from(text: String) -> Result<Self, AddressError> {
        if text.is_empty() {
            Ok(Self::Null)
        } else {
            Address::parse(&text).map(Self::Address)
        }
    }
}

impl Serialize for ReversePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Its A-labels as U-labels (RFC 5890 §2.3.2.1). What is not in ASCII stays as it is: a look-alike is another domain.
pub fn domain_in_unicode(domain: &str) -> Cow<'_, str> {
    if !domain.is_ascii() || !domain.contains("xn--") {
        return Cow::Borrowed(domain);
    }
    match idna::domain_to_unicode(domain) {
        (unicode, Ok(())) => Cow::Owned(unicode),
        (_, Err(_)) => Cow::Borrowed(domain),
    }
}

/// The source route of a path (RFC 5321 appendix C), and the mailbox behind it: `@a,@b` and `user@c` of `@a,@b:user@c`.
pub fn split_route(path: &str) -> Option<(&str, &str)> {
    if !path.starts_with('@') {
        return None;
    }
    // An IPv6 literal in a route holds colons, and so may the local part: the route ends at the first colon outside of brackets.
    let mut is_literal = false;
    let colon = path.bytes().position(|octet| {
        match octet {
            b'[' => is_literal = true,
            b']' => is_literal = false,
            b':' => return !is_literal,
            _ => {}
        }
        false
    })?;
    let (route, rest) = path.split_at(colon);
    Some((route, rest.strip_prefix(':')?))
}

/// RFC 5322 §3.2.3 atext, and UTF-8 (RFC 6531 §3.3).
fn is_atext(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c) || is_utf8_non_ascii(c)
}

fn is_utf8_non_ascii(c: char) -> bool {
    !c.is_ascii() && !c.is_control()
}

fn is_dot_string(text: &str) -> bool {
    text.split('.')
        .all(|atom| !atom.is_empty() && atom.chars().all(is_atext))
}

fn is_quoted_string(text: &str) -> bool {
    let Some(inner) = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    else {
        return false;
    };
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        let fine = match c {
            '"' => false,
            '\\' => chars.next().is_some_and(|c| matches!(c, ' '..='~')),
            c => matches!(c, ' '..='~') || is_utf8_non_ascii(c),
        };
        if !fine {
            return false;
        }
    }
    true
}

/// What a local part stands for, whether all of it is quoted or some words.
fn unquoted(text: &str) -> Option<String> {
    let mut chars = text.chars();
    let mut plain = String::with_capacity(text.len());
    while let Some(c) = chars.next() {
        match c {
            '"' => {}
            '\\' => plain.push(chars.next()?),
            c => plain.push(c),
        }
    }
    Some(plain)
}

/// The local part that stands for it.
fn quoted(plain: &str) -> String {
    if is_dot_string(plain) {
        return plain.to_owned();
    }
    let escaped = plain.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{escaped}\"")
}

/// The `@` before the domain: the last one that no quoted string holds.
fn last_at(text: &str) -> Result<Option<usize>, AddressError> {
    let (mut at, mut is_quoted, mut is_escaped) = (None, false, false);
    for (index, octet) in text.bytes().enumerate() {
        match octet {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b'@' if !is_quoted => at = Some(index),
            _ => {}
        }
    }
    match is_quoted {
        true => Err(AddressError::LocalPart),
        false => Ok(at),
    }
}

fn is_domain(text: &str) -> bool {
    text.split('.').all(|label| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| {
                c.is_ascii_alphanumeric() || matches!(c, '-' | '_') || is_utf8_non_ascii(c)
            })
    })
}

/// RFC 5321 §4.1.3
fn is_address_literal(text: &str) -> bool {
    let Some(inner) = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    else {
        return false;
    };
    match inner.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("IPv6:") => inner
            .get(5..)
            .is_some_and(|rest| rest.parse::<Ipv6Addr>().is_ok()),
        _ => inner.parse::<Ipv4Addr>().is_ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn accepts_what_rfc_5321_allows() {
        for good in [
            "alice@example.test",
            "a.b+c@example.test",
            "\"odd one\"@example.test",
            "\"a\\\"b\"@example.test",
            "x@[192.0.2.1]",
            "x@[ipv6:2001:db8::1]",
            "грета@почта.example",
            "root@localhost",
            "\"a@b\"@example.test",
        ] {
            assert_eq!(Address::parse(good).unwrap().to_string(), good, "{good}");
        }
    }

    #[test]
    fn refuses_what_it_does_not() {
        let long = format!("{}@example.test", "x".repeat(257));
        for bad in [
            "",
            "alice",
            "@example.test",
            "alice@",
            "a..b@example.test",
            ".a@example.test",
            "a b@example.test",
            "a@b@example.test",
            "a@-example.test",
            "a@exam ple.test",
            "a@[300.0.0.1]",
            "a\r\n@example.test",
            "\"a\r\n\"@example.test",
            "a@example.test\0",
            "a@example..test",
            "<a@example.test>",
            &long,
        ] {
            assert!(Address::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_a_mail_server_has_taken_is_taken_here() {
        let long = format!("{}@example.test", "x".repeat(256));
        for (given, kept) in [
            ("Alice@EXAMPLE.test", "Alice@example.test"),
            (&long, &long),
            ("a..b@docomo.test", "\"a..b\"@docomo.test"),
            ("a.@docomo.test", "\"a.\"@docomo.test"),
            (".a@docomo.test", "\".a\"@docomo.test"),
            ("user@domain.test.", "user@domain.test"),
            ("@r1.test:u@x.test", "u@x.test"),
            ("@r1.test,@[IPv6:::1]:u@x.test.", "u@x.test"),
            ("a b@x.test", "\"a b\"@x.test"),
            ("a@b@c.test", "\"a@b\"@c.test"),
            ("\"a\".b@x.test", "a.b@x.test"),
            ("a\\\"b@x.test", "\"a\\\"b\"@x.test"),
            ("\"a\\ b\"@x.test", "\"a\\ b\"@x.test"),
        ] {
            let address = Address::vouched(given);
            let address = address.unwrap_or_else(|error| panic!("{given}: {error}"));
            assert_eq!(address.to_string(), kept, "{given}");
            // What is in a journal is read by the other way.
            assert_eq!(Address::parse(kept), Ok(address));
        }
    }

    #[test]
    fn what_cannot_be_an_address_is_none_whoever_says_it() {
        use AddressError::{Domain, LocalPart, LocalPartTooLong, NoAt};
        let long = format!("{}@example.test", "x".repeat(257));
        for (bad, why) in [
            ("", NoAt),
            ("alice", NoAt),
            ("\"a@b\"", NoAt),
            ("@example.test", LocalPart),
            ("@r.test:", NoAt),
            ("\"a@example.test", LocalPart),
            ("a\r\n@example.test", LocalPart),
            ("a\\", NoAt),
            ("a@example.test..", Domain),
            ("a@exam ple.test", Domain),
            ("a@", Domain),
            (&long, LocalPartTooLong),
        ] {
            assert_eq!(Address::vouched(bad), Err(why), "{bad:?}");
        }
    }

    #[test]
    fn what_is_kept_can_be_read_again() {
        // Ⱥ takes two octets, its lower case three.
        let grows = format!("x@{}.test", "Ⱥ".repeat(31));
        assert_eq!(Address::parse(&grows), Err(AddressError::Domain));
        let grows = format!("x@{}.test", "Ⱥ".repeat(21));
        let kept = Address::parse(&grows).unwrap();
        assert_eq!(Address::parse(&kept.to_string()).unwrap(), kept);
    }

    proptest! {
        #[test]
        fn any_address_can_be_read_again(text in "[\"a.\\\\ȺK]{1,9}@[aKⱭİ.ſ-]{1,30}|.{1,9}@\\PC{1,40}") {
            for kept in [Address::parse(&text), Address::vouched(&text)].into_iter().flatten() {
                prop_assert_eq!(Address::parse(&kept.to_string()), Ok(kept));
            }
        }
    }

    #[test]
    fn quotes_that_are_not_needed_make_no_other_address() {
        for (given, kept) in [
            ("\"alice\"@a.test", "alice@a.test"),
            ("\"al\\ice\"@a.test", "alice@a.test"),
            ("\"a.b\"@a.test", "a.b@a.test"),
            ("\"a b\"@a.test", "\"a b\"@a.test"),
            ("\"a@b\"@a.test", "\"a@b\"@a.test"),
            ("\".a\"@a.test", "\".a\"@a.test"),
            ("\"\"@a.test", "\"\"@a.test"),
        ] {
            assert_eq!(Address::parse(given).unwrap().to_string(), kept);
        }
    }

    #[test]
    fn a_letter_outside_ascii_does_not_become_one_of_it() {
        assert!(Address::parse("a@\u{212a}elvin.test").is_err());
    }

    #[test]
    fn an_internationalized_domain_has_one_spelling_in_unicode() {
        for (given, unicode) in [
            ("x@xn--80a1acny.test", "x@почта.test"),
            ("x@ПОЧТА.test", "x@почта.test"),
            ("x@plain.test", "x@plain.test"),
            ("x@\u{ff45}xample.test", "x@\u{ff45}xample.test"),
            ("x@xn--zzzzzzzz99999.test", "x@xn--zzzzzzzz99999.test"),
        ] {
            let address = Address::parse(given).unwrap();
            assert_eq!(address.in_unicode().to_string(), unicode, "{given}");
        }
    }

    #[test]
    fn domains_compare_without_case() {
        assert_eq!(
            Address::parse("Alice@EXAMPLE.test").unwrap(),
            Address::parse("Alice@example.TEST").unwrap()
        );
    }

    #[test]
    fn detail_is_split_off_at_the_first_plus() {
        let address = Address::parse("alice+a+b@example.test").unwrap();
        let (base, detail) = address.without_detail();
        assert_eq!(
            (base.to_string().as_str(), detail),
            ("alice@example.test", Some("a+b"))
        );
    }
}
