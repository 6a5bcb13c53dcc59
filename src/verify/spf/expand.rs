//! Names with macros in them (RFC 7208 §7), read and expanded. Asks the DNS for nothing.

use super::Query;
use std::borrow::Cow;
use std::net::IpAddr;

/// What a term means by a domain.
pub(super) struct DomainSpec<'a>(Vec<Piece<'a>>);

enum Piece<'a> {
    Text(&'a str),
    /// `%%`, `%_` and `%-`
    Escape(&'static str),
    Macro(Macro<'a>),
}

struct Macro<'a> {
    /// In lower case.
    letter: char,
    is_escaped: bool,
    /// Parts that are kept, from the right.
    parts: usize,
    is_reversed: bool,
    delimiters: &'a str,
}

/// What the letters stand for.
pub(super) struct Values<'a> {
    pub query: &'a Query,
    /// That whose record is evaluated.
    pub domain: &'a str,
    /// For `%{p}`
    pub client_name: &'a str,
}

impl<'a> DomainSpec<'a> {
    /// domain-spec: a macro-string that ends with a macro or with "." and a top label.
    pub fn parse(text: &'a str) -> Option<Self> {
        let spec = Self::macro_string(text)?;
        let is_complete = match spec.0.last()? {
            Piece::Text(end) => has_top_label(end),
            Piece::Escape(_) | Piece::Macro(_) => true,
        };
        is_complete.then_some(spec)
    }

    pub fn macro_string(text: &'a str) -> Option<Self> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            if !before.is_empty() {
                pieces.push(Piece::Text(before));
            }
            let mut letters = after.chars();
            pieces.push(match letters.next()? {
                '%' => Piece::Escape("%"),
                '_' => Piece::Escape(" "),
                '-' => Piece::Escape("%20"),
                '{' => {
                    let (inside, after) = letters.as_str().split_once('}')?;
                    letters = after.chars();
                    Piece::Macro(Macro::parse(inside)?)
                }
                _ => return None,
            });
            rest = letters.as_str();
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest));
        }
        Some(Self(pieces))
    }

    /// Whether one of these letters stands in it.
    pub fn has(&self, letters: &str) -> bool {
        self.0
            .iter()
            .any(|piece| matches!(piece, Piece::Macro(found) if letters.contains(found.letter)))
    }

    pub fn expand(&self, values: &Values<'_>) -> String {
        let mut name = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => name.push_str(text),
                Piece::Escape(text) => name.push_str(text),
                Piece::Macro(found) => found.expand(values, &mut name),
            }
        }
        // §7.3: what is too long loses labels on its left.
        let mut fitting = name.as_str();
        while fitting.len() > 253 {
            fitting = fitting.split_once('.').map_or("", |(_, rest)| rest);
        }
        fitting.to_owned()
    }
}

fn has_top_label(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    text.rsplit_once('.').is_some_and(|(_, label)| {
        let inner = |c: char| c.is_ascii_alphanumeric() || c == '-';
        label.chars().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.contains(|c: char| c.is_ascii_alphabetic() || c == '-')
    })
}

impl<'a> Macro<'a> {
    /// What stands between the braces.
    fn parse(inside: &'a str) -> Option<Self> {
        let mut letters = inside.chars();
        let letter = letters.next()?;
        // c, r and t have a meaning in explanations only (§7.2).
        if !"slodiphv".contains(letter.to_ascii_lowercase()) {
            return None;
        }
        let rest = letters.as_str();
        let delimiters = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let digits = rest.strip_suffix(delimiters)?;
        let parts = match digits.trim_start_matches('0') {
            "" if digits.is_empty() => usize::MAX,
            "" => return None,
            // More than there can be, if it is too long for a number.
            digits => digits.parse().unwrap_or(usize::MAX),
        };
        let kept = delimiters.strip_prefix(['r', 'R']);
        let is_reversed = kept.is_some();
        let delimiters = kept.unwrap_or(delimiters);
        let is_delimiter = |c: char| ".-+,/_=".contains(c);
        delimiters.chars().all(is_delimiter).then_some(Self {
            letter: letter.to_ascii_lowercase(),
            is_escaped: letter.is_ascii_uppercase(),
            parts,
            is_reversed,
            delimiters: if delimiters.is_empty() {
                "."
            } else {
                delimiters
            },
        })
    }

    fn expand(&self, values: &Values<'_>, name: &mut String) {
        let value = self.value(values);
        let mut parts: Vec<_> = value.split(|c| self.delimiters.contains(c)).collect();
        if self.is_reversed {
            parts.reverse();
        }
        let surplus = parts.len().saturating_sub(self.parts);
        let value = parts.split_off(surplus).join(".");
        if !self.is_escaped {
            return name.push_str(&value);
        }
        for octet in value.bytes() {
            match char::from(octet) {
                // RFC 3986 §2.3
                c if c.is_ascii_alphanumeric() || "-._~".contains(c) => name.push(c),
                _ => name.push_str(&format!("%{octet:02X}")),
            }
        }
    }

    fn value<'v>(&self, values: &Values<'v>) -> Cow<'v, str> {
        let query = values.query;
        match self.letter {
            's' => format!("{}@{}", query.sender_local, query.sender_domain).into(),
            'l' => query.sender_local.as_str().into(),
            'o' => query.sender_domain.as_str().into(),
            'd' => values.domain.into(),
            'i' => dotted(query.client).into(),
            'p' => values.client_name.into(),
            'h' => query.helo.as_str().into(),
            _ => match query.client {
                IpAddr::V4(_) => "in-addr".into(),
                IpAddr::V6(_) => "ip6".into(),
            },
        }
    }
}

/// IPv6 as its nibbles.
fn dotted(client: IpAddr) -> String {
    match client {
        IpAddr::V4(client) => client.to_string(),
        IpAddr::V6(client) => {
            let digits = format!("{:032x}", client.to_bits());
            let nibbles: Vec<_> = digits.chars().map(String::from).collect();
            nibbles.join(".")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_rfc_7208() {
        let expand = |client: &str, text: &str| {
            let query = Query {
                client: client.parse().unwrap(),
                helo: "mx.example.org".to_owned(),
                sender_local: "strong-bad".to_owned(),
                sender_domain: "email.example.com".to_owned(),
            };
            DomainSpec::macro_string(text).unwrap().expand(&Values {
                query: &query,
                domain: "email.example.com",
                client_name: "mx.example.org",
            })
        };
        // §7.4
        for (text, expected) in [
            ("%{s}", "strong-bad@email.example.com"),
            ("%{o}", "email.example.com"),
            ("%{d4}", "email.example.com"),
            ("%{d2}", "example.com"),
            ("%{d1}", "com"),
            ("%{dr}", "com.example.email"),
            ("%{d2r}", "example.email"),
            ("%{l}", "strong-bad"),
            ("%{l-}", "strong.bad"),
            ("%{lr-}", "bad.strong"),
            ("%{l1r-}", "strong"),
            (
                "%{ir}.%{v}._spf.%{d2}",
                "3.2.0.192.in-addr._spf.example.com",
            ),
            ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
            (
                "%{d2}.trusted-domains.example.net",
                "example.com.trusted-domains.example.net",
            ),
            (
                "%{S}|%%%_%-%{h}",
                "strong-bad%40email.example.com|% %20mx.example.org",
            ),
        ] {
            assert_eq!(expand("192.0.2.3", text), expected, "{text}");
        }
        assert_eq!(
            expand("2001:db8::cb01", "%{ir}.%{v}._spf.%{d2}"),
            "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.example.com"
        );
        let long = expand("192.0.2.3", &"%{d}.".repeat(20));
        assert!(
            long.len() <= 253 && long.starts_with("email.example.com.email"),
            "{long}"
        );
    }
}
