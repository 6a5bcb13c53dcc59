//! Whether a record is one by the grammar of RFC 7208 §12, of which the library lets much pass. Evaluates nothing.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Of a record whose version is right.
pub fn is_valid(record: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(record) else {
        return false;
    };
    if !text.bytes().all(|octet| (b' '..=b'~').contains(&octet)) {
        return false;
    }
    let (mut redirects, mut explanations) = (0, 0);
    text.split(' ')
        .skip(1)
        .filter(|term| !term.is_empty())
        .all(|term| {
            let Some((name, value)) = modifier(term) else {
                return is_directive(term);
            };
            if name.eq_ignore_ascii_case("redirect") {
                redirects += 1;
                redirects == 1 && is_domain(value)
            } else if name.eq_ignore_ascii_case("exp") {
                explanations += 1;
                explanations == 1 && is_domain(value)
            } else {
                macro_end(value).is_some()
            }
        })
}

/// name "=" value, where nothing before the "=" can be a mechanism's.
fn modifier(term: &str) -> Option<(&str, &str)> {
    let (name, value) = term.split_once('=')?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic());
    (starts && name.chars().all(fits)).then_some((name, value))
}

fn is_directive(term: &str) -> bool {
    let mechanism = term.strip_prefix(['+', '-', '?', '~']).unwrap_or(term);
    let end = mechanism.find([':', '/']).unwrap_or(mechanism.len());
    let Some((name, rest)) = mechanism.split_at_checked(end) else {
        return false;
    };
    let value = rest.strip_prefix(':');
    match name.to_ascii_lowercase().as_str() {
        "all" => rest.is_empty(),
        "include" | "exists" => value.is_some_and(is_domain),
        "ptr" => rest.is_empty() || value.is_some_and(is_domain),
        "a" | "mx" => {
            let Some(rest) = without_lengths(rest) else {
                return false;
            };
            rest.is_empty() || rest.strip_prefix(':').is_some_and(is_domain)
        }
        "ip4" => {
            value.is_some_and(|value| is_network(value, 32, |ip| ip.parse::<Ipv4Addr>().is_ok()))
        }
        "ip6" => {
            value.is_some_and(|value| is_network(value, 128, |ip| ip.parse::<Ipv6Addr>().is_ok()))
        }
        _ => false,
    }
}

fn is_network(value: &str, most: u8, is_address: impl Fn(&str) -> bool) -> bool {
    match value.split_once('/') {
        None => is_address(value),
        Some((address, length)) => is_address(address) && is_length(length, most),
    }
}

/// A prefix length: no leading zero.
fn is_length(text: &str, most: u8) -> bool {
    let plain = text == "0" || !text.starts_with(['0', '+']);
    plain && text.parse::<u8>().is_ok_and(|length| length <= most)
}

/// Takes off a dual-cidr-length; None if it is wrong.
fn without_lengths(text: &str) -> Option<&str> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit());
    let mut rest = text;
    if let Some((before, length)) = rest.rsplit_once("//")
        && digits(length)
    {
        if !is_length(length, 128) {
            return None;
        }
        rest = before;
    }
    if let Some((before, length)) = rest.rsplit_once('/')
        && digits(length)
    {
        return is_length(length, 32).then_some(before);
    }
    Some(rest)
}

/// domain-spec: a macro-string that ends with a macro or with "." and a top label.
fn is_domain(text: &str) -> bool {
    let Some(tail) = macro_end(text) else {
        return false;
    };
    if tail.is_empty() {
        return !text.is_empty();
    }
    let tail = tail.strip_suffix('.').unwrap_or(tail);
    tail.rsplit_once('.').is_some_and(|(_, label)| {
        let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
        label.chars().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.contains(|c: char| c.is_ascii_alphabetic() || c == '-')
    })
}

/// What follows the last macro of a macro-string (§7.1); None if it is not one.
fn macro_end(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('%') {
        let mut letters = after.chars();
        rest = match letters.next()? {
            '%' | '_' | '-' => letters.as_str(),
            '{' => {
                let (inside, after) = letters.as_str().split_once('}')?;
                is_macro(inside).then_some(after)?
            }
            _ => return None,
        };
    }
    Some(rest)
}

fn is_macro(inside: &str) -> bool {
    let mut letters = inside.chars();
    // c, r and t have a meaning in explanations only (§7.2).
    let known = letters
        .next()
        .is_some_and(|c| "slodiphv".contains(c.to_ascii_lowercase()));
    let rest = letters.as_str();
    let count = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let Some((digits, rest)) = rest.split_at_checked(count) else {
        return false;
    };
    let rest = rest.strip_prefix(['r', 'R']).unwrap_or(rest);
    known
        && (digits.is_empty() || digits.bytes().any(|octet| octet != b'0'))
        && rest.chars().all(|c| ".-+,/_=".contains(c))
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
            assert_eq!(is_valid(record.as_bytes()), valid, "{record}");
        }
    }
}
