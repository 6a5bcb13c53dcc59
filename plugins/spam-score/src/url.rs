//! Addresses in text and HTML: which host they lead to, and whether they are written to be misread.
//! Fetches nothing.

/// The parts of an http or https URL that the rules look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url<'a> {
    /// As written, without port.
    pub host: &'a str,
    /// What stands before an "@" in the authority.
    pub user: Option<&'a str>,
    pub port: Option<&'a str>,
}

impl<'a> Url<'a> {
    /// An absolute URL; one without scheme only if it begins with "www.".
    pub fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim();
        let rest = match text.split_once("://") {
            Some((scheme, rest))
                if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https") =>
            {
                rest
            }
            Some(_) => return None,
            None if crate::text::starts_with(text, "www.") => text,
            None => return None,
        };
        let end = rest
            .find(|c: char| {
                matches!(
                    c,
                    '/' | '?' | '#' | '\\' | '"' | '<' | '>' | ')' | ']' | ',' | ';'
                ) || c.is_whitespace()
            })
            .unwrap_or(rest.len());
        let authority = rest.get(..end)?;
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let (host, port) = match host.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (host, None),
        };
        let host = host.trim_end_matches('.');
        (!host.is_empty()).then_some(Self { host, user, port })
    }

    /// 192.0.2.1, or the same as one number or in hexadecimal, which only those write who hide.
    pub fn is_ip(&self) -> bool {
        let number = |label: &str| {
            let hex = label
                .strip_prefix("0x")
                .or_else(|| label.strip_prefix("0X"));
            !label.is_empty()
                && match hex {
                    Some(hex) => !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit()),
                    None => label.bytes().all(|b| b.is_ascii_digit()),
                }
        };
        self.host.split('.').all(number)
    }

    /// Loopback and private networks (RFC 1918): a link for colleagues.
    pub fn is_private(&self) -> bool {
        self.host
            .parse::<std::net::Ipv4Addr>()
            .is_ok_and(|ip| ip.is_private() || ip.is_loopback())
    }

    pub fn is_punycode(&self) -> bool {
        self.host
            .split('.')
            .any(|label| crate::text::starts_with(label, "xn--"))
    }

    /// Percent-encoded host, user part, or a port that is none of the usual ones.
    pub fn is_odd(&self) -> bool {
        self.user.is_some()
            || self.host.contains('%')
            || self.port.is_some_and(|port| {
                !matches!(port, "" | "80" | "443" | "8080" | "8443" | "8000" | "8888")
            })
    }

    pub fn tld(&self) -> &'a str {
        self.host.rsplit_once('.').map_or("", |(_, tld)| tld)
    }
}

/// URLs in plain text: from "http://", "https://" or "www." to the next space.
pub fn in_text(text: &str) -> impl Iterator<Item = Url<'_>> {
    // Both have an octet that text seldom has.
    let marks = memchr::memchr2_iter(b':', b'.', text.as_bytes());
    marks.filter_map(move |at| {
        let (before, after) = text.split_at_checked(at)?;
        if after.starts_with("://") {
            let mut schemes = ["https", "http"].iter();
            let scheme = schemes.find(|scheme| ends_with(before, scheme))?;
            return Url::parse(first_word(text.get(at - scheme.len()..)?));
        }
        let before = before
            .strip_suffix("www")
            .filter(|_| after.starts_with('.'))?;
        if before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '@')) {
            return None;
        }
        Url::parse(first_word(text.get(before.len()..)?))
    })
}

fn ends_with(text: &str, suffix: &str) -> bool {
    let start = text.len().checked_sub(suffix.len());
    start
        .and_then(|start| text.get(start..))
        .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
}

fn first_word(text: &str) -> &str {
    let end = text
        .bytes()
        .take(300)
        .position(|b| b.is_ascii_whitespace() || matches!(b, b'>' | b'"' | b'<'));
    let end = end.unwrap_or(text.len());
    text.get(..end).unwrap_or_default()
}

/// The host that a link's text seems to name: "https://www.bank.example/login", "www.bank.example", "bank.com".
pub fn named_host(text: &str) -> Option<&str> {
    let text = text.trim();
    if text.contains(char::is_whitespace) || text.contains('@') {
        return None;
    }
    if let Some(url) = Url::parse(text) {
        return url.host.contains('.').then_some(url.host);
    }
    let host = text.split('/').next()?;
    let tld = host.rsplit_once('.')?.1;
    let plausible = matches!(tld, "com" | "org" | "net" | "info" | "biz" | "gov" | "edu")
        || (text.contains('/') && tld.len() == 2);
    let name = host
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'));
    (plausible && name).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (text, host, ip, odd) in [
            (
                "http://www.bank.example/login?x",
                "www.bank.example",
                false,
                false,
            ),
            ("HTTPS://bank.example.:443", "bank.example", false, false),
            (
                "http://bank.example@203.0.113.5/",
                "203.0.113.5",
                true,
                true,
            ),
            ("http://3405803781/x", "3405803781", true, false),
            (
                "http://0xCB.0x00.0x71.0x05/",
                "0xCB.0x00.0x71.0x05",
                true,
                false,
            ),
            (
                "http://www.%62ank.example/",
                "www.%62ank.example",
                false,
                true,
            ),
            ("http://bank.example:81/", "bank.example", false, true),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!(
                (url.host, url.is_ip(), url.is_odd()),
                (host, ip, odd),
                "{text}"
            );
        }
        for text in [
            "mailto:a@b.example",
            "ftp://a.example",
            "/relative",
            "",
            "http://",
            "cid:x",
        ] {
            assert_eq!(Url::parse(text), None, "{text}");
        }
    }

    #[test]
    fn urls_in_text() {
        let text = "see <http://a.example/x>, https://b.example and www.c.example. Not awww.d.example or http://www.e.example";
        let hosts: Vec<_> = in_text(text).map(|url| url.host).collect();
        assert_eq!(
            hosts,
            ["a.example", "b.example", "www.c.example", "www.e.example"]
        );
    }

    #[test]
    fn hosts_that_link_texts_name() {
        for (text, host) in [
            ("https://www.bank.example/login", Some("www.bank.example")),
            ("bank.com", Some("bank.com")),
            ("bank.de/login", Some("bank.de")),
            ("invoice.pdf", None),
            ("click here", None),
            ("tom@bank.com", None),
            ("e.g.", None),
        ] {
            assert_eq!(named_host(text), host, "{text}");
        }
    }
}
