//! ARC (RFC 8617): what the library lets pass and the standard doesn't. Verifies no signature itself.

use super::dkim::NAMES;
use mail_auth::AuthenticatedMessage;
use std::collections::HashMap;

/// Tags of an ARC-Seal (RFC 8617 §4.1.3) and of an ARC-Message-Signature (§4.1.2; DKIM's but for `v`).
const SEAL: &[&str] = &["a", "b", "cv", "d", "i", "s"];
const SIGNATURE: &[&str] = &["a", "b", "bh", "d", "h", "i", "s"];

/// Why the chain of this message cannot be valid, if there is one.
pub fn fault(message: &AuthenticatedMessage<'_>) -> Option<&'static str> {
    let sets = message.ams_headers.len();
    if message.as_headers.len() != sets || message.aar_headers.len() != sets {
        return Some("a set of ARC fields is not complete");
    }
    // RFC 8617 §4.2.1
    if sets > 50 {
        return Some("the chain is too long");
    }
    let mut signatures = message.ams_headers.iter();
    if signatures.any(|field| field.header.h.len() > NAMES) {
        return Some("an ARC-Message-Signature names too many fields");
    }
    let seals = message.as_headers.iter().map(|field| (field.value, SEAL));
    let signatures = message
        .ams_headers
        .iter()
        .map(|field| (field.value, SIGNATURE));
    seals.chain(signatures).find_map(|(value, wanted)| {
        let value = String::from_utf8_lossy(value);
        let Some(tags) = tags(&value) else {
            return Some("an ARC field is not a list of tags");
        };
        if !wanted.iter().all(|name| tags.contains_key(name)) {
            return Some("an ARC field lacks a tag");
        }
        // RFC 8617 §4.1: DKIM's algorithms, of which RFC 8301 §3.1 has ended rsa-sha1.
        if !matches!(tags.get("a"), Some(&("rsa-sha256" | "ed25519-sha256"))) {
            return Some("an ARC field has an algorithm that is not to be used");
        }
        // §4.1.2
        let mut signed = tags.get("h").unwrap_or(&"").split(':');
        signed
            .any(|name| name.trim().eq_ignore_ascii_case("arc-seal"))
            .then_some("an ARC-Message-Signature covers an ARC-Seal")
    })
}

/// A list of tags as RFC 6376 §3.2 has it; None if it is not one, or has a tag twice.
fn tags(value: &str) -> Option<HashMap<&str, &str>> {
    let value = value.trim();
    let mut tags = HashMap::new();
    for tag in value.strip_suffix(';').unwrap_or(value).split(';') {
        let (name, value) = tag.split_once('=')?;
        let name = name.trim();
        let mut letters = name.chars();
        let fits = letters.next().is_some_and(|c| c.is_ascii_alphabetic())
            && letters.all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !fits || tags.insert(name, value.trim()).is_some() {
            return None;
        }
    }
    Some(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_as_rfc_6376_has_them() {
        let found = tags(" a=rsa-sha256; b = x=y ;\r\n\tcv=none; ").unwrap();
        assert_eq!(
            (found["a"], found["b"], found["cv"]),
            ("rsa-sha256", "x=y", "none")
        );
        for bad in ["", "a=1;;b=2", "a=1; a=2", "a", "1=a", "a-b=c", "=x"] {
            assert_eq!(tags(bad), None, "{bad}");
        }
    }
}
