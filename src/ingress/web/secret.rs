//! The secret that a listener wants to be shown, as a password of Basic, a Bearer token (RFC 7617, RFC 6750) or the header field Password.
//! Keeps only its digest.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use sha2::{Digest, Sha256};
use std::fmt;

#[derive(Clone)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Shorter ones can be found by trying.
    pub const LEAST: usize = 16;

    pub fn new(text: &str) -> Self {
        Self(Sha256::digest(text.as_bytes()).into())
    }

    /// Whether a request shows it. Of Basic the user's name does not count.
    pub fn is_in(&self, headers: &HeaderMap) -> bool {
        let password = headers.get("password").map(|value| value.as_bytes());
        let authorization = headers.get(AUTHORIZATION).map(|value| value.as_bytes());
        let shown = authorization.and_then(credentials);
        shown.is_some_and(|shown| self.is(&shown)) || password.is_some_and(|shown| self.is(shown))
    }

    /// Takes the same time wherever they differ.
    fn is(&self, shown: &[u8]) -> bool {
        let shown = Sha256::digest(shown);
        let pairs = self.0.iter().zip(shown);
        pairs.fold(0, |differ, (ours, theirs)| differ | (ours ^ theirs)) == 0
    }
}

/// What an Authorization field has of a password.
fn credentials(value: &[u8]) -> Option<Vec<u8>> {
    let space = value.iter().position(|octet| *octet == b' ')?;
    let (scheme, rest) = value.split_at(space);
    let rest = rest.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some(rest.to_vec());
    }
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return None;
    }
    let pair = STANDARD.decode(rest).ok()?;
    let colon = pair.iter().position(|octet| *octet == b':')?;
    pair.get(colon + 1..).map(<[u8]>::to_vec)
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_shown_in_three_ways_and_in_no_other() {
        let secret = Secret::new("correct horse battery");
        let basic = |pair: &str| format!("Basic {}", STANDARD.encode(pair));
        for (name, value, is_right) in [
            (
                "authorization",
                "Bearer correct horse battery".to_owned(),
                true,
            ),
            (
                "authorization",
                "bearer  correct horse battery".to_owned(),
                true,
            ),
            (
                "authorization",
                basic("anybody:correct horse battery"),
                true,
            ),
            ("authorization", basic(":correct horse battery"), true),
            ("password", "correct horse battery".to_owned(), true),
            ("authorization", basic("correct horse battery"), false),
            ("authorization", basic("a:correct horse battery:"), false),
            ("authorization", "Bearer correct horse".to_owned(), false),
            ("authorization", "Bearer".to_owned(), false),
            ("authorization", "Basic %%%".to_owned(), false),
            (
                "authorization",
                "Digest correct horse battery".to_owned(),
                false,
            ),
            ("authorization", String::new(), false),
            ("password", String::new(), false),
            ("x-password", "correct horse battery".to_owned(), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            assert_eq!(secret.is_in(&headers), is_right, "{name}: {value}");
        }
        assert!(!secret.is_in(&HeaderMap::new()));
        assert_eq!(format!("{secret:?}"), "Secret");
    }
}
