//! Mail addresses (RFC 5321 §4.1.2, RFC 6531 §3.3) and the reverse-path.
//! Parses the mailbox of an envelope, not the address lists of header fields.

use super::TextError;
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// RFC 5321 §4.5.3.1.1
const LOCAL_PART_MAX: usize = 64;
/// RFC 5321 §4.5.3.1.2
const DOMAIN_MAX: usize = 255;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("there is no @")]
    NoAt,
    #[error("the local part is not valid (RFC 5321 §4.1.2)")]
    LocalPart,
    #[error("the local part is longer than 64 octets")]
    LocalPartTooLong,
    #[error("the domain is not valid (RFC 5321 §4.1.2)")]
    Domain,
    #[error("the domain is longer than 255 octets")]
    DomainTooLong,
    #[error("{0}")]
    Text(#[from] TextError),
}

/// local-part@domain. The domain is kept in lower case; the local part as given.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Address {
    local: String,
    domain: String,
}

impl Address {
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (local, domain) = text.rsplit_once('@').ok_or(AddressError::NoAt)?;
        if local.len() > LOCAL_PART_MAX {
            return Err(AddressError::LocalPartTooLong);
        }
        if domain.len() > DOMAIN_MAX {
            return Err(AddressError::DomainTooLong);
        }
        if !is_dot_string(local) && !is_quoted_string(local) {
            return Err(AddressError::LocalPart);
        }
        if !is_domain(domain) && !is_address_literal(domain) {
            return Err(AddressError::Domain);
        }
        Ok(Self {
            local: local.to_owned(),
            domain: domain.to_lowercase(),
        })
    }

    pub fn local(&self) -> &str {
        &self.local
    }

    pub fn domain(&self) -> &str {
        &self.domain
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
        let long = format!("{}@example.test", "x".repeat(65));
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
