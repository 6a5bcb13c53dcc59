//! A record by the grammar of RFC 7208 §12. Evaluates nothing.

use super::expand::DomainSpec;
use ipnet::IpNet;
use mail_auth::SpfResult;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

pub struct Record<'a> {
    /// What a match means, and what matches; the first one counts.
    pub(super) directives: Vec<(SpfResult, Mechanism<'a>)>,
    pub(super) redirect: Option<DomainSpec<'a>>,
}

pub(super) enum Mechanism<'a> {
    All,
    Include(DomainSpec<'a>),
    A(Target<'a>),
    Mx(Target<'a>),
    Ptr(Option<DomainSpec<'a>>),
    Ip(IpNet),
    Exists(DomainSpec<'a>),
}

/// Hosts and the size of the networks around them.
pub(super) struct Target<'a> {
    name: Option<DomainSpec<'a>>,
    pub(super) v4: u8,
    pub(super) v6: u8,
}

impl<'a> Record<'a> {
    /// Of a record whose version is right. An error anywhere in it makes all of it void (§4.6).
    pub fn parse(record: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(record).ok()?;
        if !text.bytes().all(|octet| (b' '..=b'~').contains(&octet)) {
            return None;
        }
        let mut directives = Vec::new();
        let (mut redirect, mut explanation) = (None, None);
        for term in text.split(' ').skip(1).filter(|term| !term.is_empty()) {
            let Some((name, value)) = modifier(term) else {
                directives.push(directive(term)?);
                continue;
            };
            let once = match name.to_ascii_lowercase().as_str() {
                "redirect" => &mut redirect,
                "exp" => &mut explanation,
                // Unknown ones are ignored (§6).
                _ => {
                    DomainSpec::macro_string(value)?;
                    continue;
                }
            };
            if once.replace(DomainSpec::parse(value)?).is_some() {
                return None;
            }
        }
        Some(Self {
            directives,
            redirect,
        })
    }
}

impl<'a> Mechanism<'a> {
    /// Counts for the limit of §4.6.4.
    pub(super) fn asks_dns(&self) -> bool {
        !matches!(self, Self::All | Self::Ip(_))
    }

    /// None: the domain whose record it stands in.
    pub(super) fn name(&self) -> Option<&DomainSpec<'a>> {
        match self {
            Self::All | Self::Ip(_) => None,
            Self::Include(name) | Self::Exists(name) => Some(name),
            Self::Ptr(name) => name.as_ref(),
            Self::A(target) | Self::Mx(target) => target.name.as_ref(),
        }
    }
}

/// name "=" value, where nothing before the "=" can be a mechanism's.
fn modifier(term: &str) -> Option<(&str, &str)> {
    let (name, value) = term.split_once('=')?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic());
    (starts && name.chars().all(fits)).then_some((name, value))
}

fn directive(term: &str) -> Option<(SpfResult, Mechanism<'_>)> {
    let (qualifier, mechanism) = match term.split_at_checked(1) {
        Some(("+", rest)) => (SpfResult::Pass, rest),
        Some(("-", rest)) => (SpfResult::Fail, rest),
        Some(("~", rest)) => (SpfResult::SoftFail, rest),
        Some(("?", rest)) => (SpfResult::Neutral, rest),
        _ => (SpfResult::Pass, term),
    };
    let end = mechanism.find([':', '/']).unwrap_or(mechanism.len());
    let (name, rest) = mechanism.split_at_checked(end)?;
    let value = rest.strip_prefix(':');
    let mechanism = match name.to_ascii_lowercase().as_str() {
        "all" if rest.is_empty() => Mechanism::All,
        "include" => Mechanism::Include(DomainSpec::parse(value?)?),
        "exists" => Mechanism::Exists(DomainSpec::parse(value?)?),
        "ptr" => Mechanism::Ptr(optional(rest)?),
        "a" => Mechanism::A(target(rest)?),
        "mx" => Mechanism::Mx(target(rest)?),
        "ip4" => Mechanism::Ip(network::<Ipv4Addr>(value?, 32)?),
        "ip6" => Mechanism::Ip(network::<Ipv6Addr>(value?, 128)?),
        _ => return None,
    };
    Some((qualifier, mechanism))
}

/// [ ":" domain-spec ]
fn optional(text: &str) -> Option<Option<DomainSpec<'_>>> {
    if text.is_empty() {
        return Some(None);
    }
    DomainSpec::parse(text.strip_prefix(':')?).map(Some)
}

/// [ ":" domain-spec ] [ dual-cidr-length ]
fn target(text: &str) -> Option<Target<'_>> {
    let (rest, v6) = without_length(text, "//", 128)?;
    let (rest, v4) = without_length(rest, "/", 32)?;
    let name = optional(rest)?;
    Some(Target { name, v4, v6 })
}

/// A name may have slashes too: only digits behind the last one are a length.
fn without_length<'a>(text: &'a str, sign: &str, most: u8) -> Option<(&'a str, u8)> {
    match text.rsplit_once(sign) {
        Some((before, digits)) if is_number(digits) => Some((before, length(digits, most)?)),
        _ => Some((text, most)),
    }
}

fn network<A: FromStr + Into<IpAddr>>(value: &str, most: u8) -> Option<IpNet> {
    let (address, length) = match value.split_once('/') {
        None => (value, most),
        Some((address, digits)) => (address, length(digits, most)?),
    };
    IpNet::new(address.parse::<A>().ok()?.into(), length).ok()
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit())
}

/// Of a prefix: no leading zero.
fn length(digits: &str, most: u8) -> Option<u8> {
    let is_plain = is_number(digits) && (digits == "0" || !digits.starts_with('0'));
    let length = digits.parse().ok().filter(|length| *length <= most);
    length.filter(|_| is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_of_rfc_7208() {
        for (terms, valid) in [
            ("", true),
            (" a mx -all", true),
            ("  A:Example.org/24//64   ~ALL ", true),
            (" a//0 mx/0 ip4:192.0.2.0/24 ip6:2001:db8::/32 ?all", true),
            (" include:_spf.%{d} exists:%{l1r-}.%{ir}.x.test", true),
            (" redirect=_spf.a.test exp=e.%{d2} other=", true),
            (" a:foo:bar/baz.example.com", true),
            (" a:a.test.", true),
            (" a:test", false),
            (" a:a.123", false),
            (" a:%%", true),
            (" a:a.test%_", true),
            (" a:a.test%", false),
            (" a:%{d", false),
            (" a:%{d}test", false),
            (" a/33", false),
            (" a//129", false),
            (" a/024", false),
            (" ip4:192.0.2", false),
            (" ip4:192.0.2.1/33", false),
            (" all/8", false),
            (" all.", false),
            (" include", false),
            (" redirect=a.test redirect=b.test", false),
            (" redirect=a", false),
            (" =x", false),
            (" exists:%{x}.a.test", false),
            (" exists:%{d0}.a.test", false),
            (" exists:%d.a.test", false),
            (" exists:%{c}.a.test", false),
            (" a\tmx", false),
            (" ip4:192.0.2.1\u{e9}", false),
        ] {
            let record = format!("v=spf1{terms}");
            let parsed = Record::parse(record.as_bytes());
            assert_eq!(parsed.is_some(), valid, "{record}");
        }
    }
}
