//! Mailboxes of header fields, as far as the rules want them: display name, address, domain (RFC 5322 §3.4).
//! Lenient, and no validator.

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mailbox {
    pub name: String,
    pub address: String,
}

impl Mailbox {
    /// The first mailbox of a decoded field value.
    pub fn parse(value: &str) -> Self {
        let value = value.trim();
        // The last "<": a quoted name may hold one.
        if let Some((name, rest)) = value.rsplit_once('<') {
            let address = rest.split('>').next().unwrap_or(rest);
            let name = name.trim().trim_matches(|c| c == '"' || c == '\'').trim();
            return Self {
                name: name.to_owned(),
                address: address.trim().to_owned(),
            };
        }
        // "address (name)", the old way.
        let (address, comment) = value.split_once('(').unwrap_or((value, ""));
        Self {
            name: comment.trim_end_matches(')').trim().to_owned(),
            address: address.trim().to_owned(),
        }
    }

    pub fn domain(&self) -> &str {
        self.address
            .rsplit_once('@')
            .map_or("", |(_, domain)| domain)
    }

    pub fn local_part(&self) -> &str {
        self.address
            .rsplit_once('@')
            .map_or(self.address.as_str(), |(local, _)| local)
    }
}

/// The part of a host name that its owner registered, by a rule of thumb: two labels, three below "co.uk" and its like.
/// No public suffix list: a wrong guess takes two hosts for the same site, never one for two.
pub fn site(host: &str) -> &str {
    let host = host.trim_end_matches('.');
    let mut dots = host.rmatch_indices('.').map(|(at, _)| at);
    let (last, second, third) = (dots.next(), dots.next(), dots.next());
    let country = last.is_some_and(|last| host.len() - last == 3);
    let short =
        |a: Option<usize>, b: Option<usize>| matches!((a, b), (Some(a), Some(b)) if a - b <= 4);
    let cut = if country && short(last, second) {
        third
    } else {
        second
    };
    cut.and_then(|at| host.get(at + 1..)).unwrap_or(host)
}

/// An address inside of text, such as a display name.
pub fn address_within(text: &str) -> Option<&str> {
    text.split(|c: char| {
        c.is_whitespace()
            || matches!(
                c,
                '"' | '\'' | '<' | '>' | '(' | ')' | ',' | ';' | ':' | '[' | ']'
            )
    })
    .find(|word| {
        word.rsplit_once('@').is_some_and(|(local, domain)| {
            !local.is_empty()
                && domain.contains('.')
                && !domain.starts_with('.')
                && !domain.ends_with('.')
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mailboxes() {
        for (value, name, address) in [
            (
                "Ines <ines@harbour.example>",
                "Ines",
                "ines@harbour.example",
            ),
            (
                "\"Okafor, Ines\" <ines@harbour.example>",
                "Okafor, Ines",
                "ines@harbour.example",
            ),
            ("ines@harbour.example", "", "ines@harbour.example"),
            (
                "ines@harbour.example (Ines)",
                "Ines",
                "ines@harbour.example",
            ),
            (
                "\"a <b@c.example>\" <d@e.example>",
                "a <b@c.example>",
                "d@e.example",
            ),
            ("", "", ""),
            ("<", "", ""),
        ] {
            let mailbox = Mailbox::parse(value);
            assert_eq!(
                (mailbox.name.as_str(), mailbox.address.as_str()),
                (name, address),
                "{value:?}"
            );
        }
    }

    #[test]
    fn sites() {
        for (host, expected) in [
            ("www.nordbank.example", "nordbank.example"),
            ("nordbank.example", "nordbank.example"),
            ("a.b.shop.co.uk", "shop.co.uk"),
            ("mail.shop.de", "shop.de"),
            ("localhost", "localhost"),
            ("", ""),
        ] {
            assert_eq!(site(host), expected);
        }
    }

    #[test]
    fn addresses_in_names() {
        assert_eq!(
            address_within("Bank service@bank.example"),
            Some("service@bank.example")
        );
        assert_eq!(address_within("Tom @ home"), None);
    }
}
