//! Patterns in which `*` stands for any run of characters. What they are matched with is checked by others.

use super::Ability;
use crate::mail::MailboxName;
use std::fmt;

const MAX_OCTETS: usize = 255;

/// A pattern for what an ability is used on: a field name, a mailbox, a host with its port, a domain name, an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob {
    text: String,
    /// Field names, hosts and addresses are the same in either case, mailboxes are not.
    any_case: bool,
}

impl Glob {
    /// Or what to write in its place.
    pub fn new(ability: Ability, text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err(
                "an empty pattern matches nothing; for nothing at all, write []".to_owned(),
            );
        }
        if text.len() > MAX_OCTETS {
            return Err(format!(
                "a pattern of {} octets: the limit is {MAX_OCTETS}",
                text.len()
            ));
        }
        if !is_fine(ability, text) {
            let (what, example) = match ability {
                Ability::HeaderEdit => ("field names", "\"X-Spam-*\""),
                Ability::Filing => ("mailboxes", "\"Lists/*\""),
                Ability::Http => ("hosts with a port", "\"api.example.com:443\""),
                Ability::Dns => ("domain names", "\"*.zen.example\""),
                _ => ("addresses", "\"*@example.test\""),
            };
            return Err(format!(
                "{text:?} is no pattern for {what}: write one such as {example}; * stands for any run of characters"
            ));
        }
        Ok(Self {
            text: text.to_owned(),
            any_case: ability != Ability::Filing,
        })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn matches(&self, text: &str) -> bool {
        let (pattern, text) = (self.text.as_bytes(), text.as_bytes());
        let same = |a: u8, b: u8| a == b || self.any_case && a.eq_ignore_ascii_case(&b);
        let (mut p, mut t) = (0, 0);
        // The last star: what follows it in the pattern, and from where on the text was tried against that.
        let mut star: Option<(usize, usize)> = None;
        while let Some(&octet) = text.get(t) {
            match pattern.get(p) {
                Some(b'*') => {
                    p += 1;
                    star = Some((p, t));
                }
                Some(&wanted) if same(wanted, octet) => {
                    p += 1;
                    t += 1;
                }
                _ => {
                    let Some((after, from)) = star else {
                        return false;
                    };
                    (p, t) = (after, from + 1);
                    star = Some((after, t));
                }
            }
        }
        let rest = pattern.get(p..).unwrap_or_default();
        rest.iter().all(|&octet| octet == b'*')
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn is_fine(ability: Ability, text: &str) -> bool {
    let graphic = text.chars().all(|c| c.is_ascii_graphic());
    match ability {
        // RFC 5322 §3.6.8
        Ability::HeaderEdit => graphic && !text.contains(':'),
        Ability::Filing => MailboxName::new(&text.replace('*', "x")).is_ok(),
        Ability::Http => text.rsplit_once(':').is_some_and(|(host, port)| {
            let host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
                Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
                None => is_domain(host),
            };
            host && (port == "*" || port.parse::<u16>().is_ok_and(|port| port > 0))
        }),
        // A name or, for PTR, an address.
        Ability::Dns => is_domain(text) || text.parse::<std::net::IpAddr>().is_ok(),
        Ability::EnvelopeEdit => {
            let halves = text.rsplit_once('@');
            let whole =
                halves.is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
            text == "*" || whole && !text.chars().any(|c| c.is_control() || c.is_whitespace())
        }
        _ => false,
    }
}

fn is_domain(text: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.*".contains(c);
    !text.is_empty() && text.chars().all(fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_run_of_characters() {
        for (ability, pattern, text, matched) in [
            (Ability::HeaderEdit, "X-*", "X-Spam", true),
            (Ability::HeaderEdit, "x-*", "X-Spam", true),
            (Ability::HeaderEdit, "X-*", "X-", true),
            (Ability::HeaderEdit, "X-*", "Subject", false),
            (Ability::HeaderEdit, "X-*-Score", "X-Spam-Score", true),
            (Ability::HeaderEdit, "X-*-Score", "X-Score-Spam-Score", true),
            (Ability::HeaderEdit, "X-*-Score", "X-Spam-Scores", false),
            (Ability::HeaderEdit, "X-*-Score", "X-Score", false),
            (Ability::HeaderEdit, "*", "Subject", true),
            (Ability::HeaderEdit, "**", "Subject", true),
            (Ability::HeaderEdit, "Subject", "Subject", true),
            (Ability::HeaderEdit, "Subject", "Subjec", false),
            (Ability::HeaderEdit, "Subject", "Subject2", false),
            // Nothing else is special.
            (Ability::HeaderEdit, "X.Y", "X-Y", false),
            (Ability::HeaderEdit, "X?", "XY", false),
            (Ability::Filing, "Lists/*", "Lists/rust/dev", true),
            (Ability::Filing, "Lists/*", "Lists", false),
            (Ability::Filing, "Lists/*", "lists/rust", false),
            (Ability::Filing, "Grüße*", "Grüße aus", true),
            (
                Ability::Http,
                "api.example.com:443",
                "API.example.com:443",
                true,
            ),
            (
                Ability::Http,
                "api.example.com:443",
                "api.example.com:8443",
                false,
            ),
            (Ability::Http, "*.example.com:443", "example.com:443", false),
            (Ability::Http, "*.example.com:*", "a.b.example.com:80", true),
            (Ability::Dns, "*.zen.example", "2.0.0.127.zen.example", true),
            (Ability::Dns, "*.zen.example", "zen.example.net", false),
            (
                Ability::EnvelopeEdit,
                "*@example.test",
                "a@example.test",
                true,
            ),
            (
                Ability::EnvelopeEdit,
                "*@example.test",
                "a@example.test.evil",
                false,
            ),
        ] {
            let glob = Glob::new(ability, pattern).unwrap();
            assert_eq!(glob.matches(text), matched, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_take_no_longer_than_they_must() {
        let glob = Glob::new(Ability::HeaderEdit, &"*a".repeat(120)).unwrap();
        assert!(!glob.matches(&format!("{}b", "a".repeat(2000))));
    }

    #[test]
    fn what_can_match_nothing_is_refused_with_an_example() {
        let long = "x".repeat(256);
        for (ability, pattern, said) in [
            (Ability::HeaderEdit, "", "empty"),
            (Ability::HeaderEdit, "X Spam", "X-Spam-*"),
            (Ability::HeaderEdit, "Subject:", "X-Spam-*"),
            (Ability::HeaderEdit, "Betreff-ü", "X-Spam-*"),
            (Ability::HeaderEdit, "X\n", "X-Spam-*"),
            (Ability::HeaderEdit, &long, "256 octets"),
            (Ability::Filing, "a//b", "Lists/*"),
            (Ability::Http, "api.example.com", "api.example.com:443"),
            (
                Ability::Http,
                "https://api.example.com:443",
                "api.example.com:443",
            ),
            (Ability::Http, "api.example.com:0", "api.example.com:443"),
            (Ability::Http, "[::1:443", "api.example.com:443"),
            (Ability::Http, ":443", "api.example.com:443"),
            (Ability::Dns, "zen example", "*.zen.example"),
            (Ability::EnvelopeEdit, "example.test", "*@example.test"),
            (Ability::EnvelopeEdit, "a@", "*@example.test"),
        ] {
            let error = Glob::new(ability, pattern).unwrap_err();
            assert!(error.contains(said), "{pattern}: {error}");
        }
        assert!(Glob::new(Ability::Http, "[2001:db8::1]:443").is_ok());
    }
}
