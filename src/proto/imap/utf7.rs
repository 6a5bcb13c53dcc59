//! Mailbox names between our UTF-8 and IMAP's modified UTF-7 (RFC 3501 §5.1.3).
//! Checks the encoding, not whether the name is a good one.

use base64::Engine;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_encode_padding(false)
    .with_decode_padding_mode(DecodePaddingMode::RequireNone);
const ENGINE: GeneralPurpose = GeneralPurpose::new(&IMAP_MUTF7, CONFIG);

/// `None` if it is not modified UTF-7. Bare UTF-8 is taken as it is: clients send it, and it is never modified UTF-7.
pub fn decode_mailbox(name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    let mut out = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((plain, shifted)) = rest.split_once('&') {
        out.push_str(plain);
        let (encoded, after) = shifted.split_once('-')?;
        if encoded.is_empty() {
            out.push('&');
        } else {
            let octets = ENGINE.decode(encoded).ok()?;
            let units: Vec<u16> = octets
                .chunks(2)
                .map(|unit| <[u8; 2]>::try_from(unit).map(u16::from_be_bytes))
                .collect::<Result<_, _>>()
                .ok()?;
            out.push_str(&String::from_utf16(&units).ok()?);
        }
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

pub fn encode_mailbox(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut shifted: Vec<u8> = Vec::new();
    let unshift = |shifted: &mut Vec<u8>, out: &mut String| {
        if !shifted.is_empty() {
            out.push('&');
            ENGINE.encode_string(&shifted, out);
            out.push('-');
            shifted.clear();
        }
    };
    for c in name.chars() {
        if matches!(c, ' '..='~') {
            unshift(&mut shifted, &mut out);
            out.push(c);
            if c == '&' {
                out.push('-');
            }
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                shifted.extend_from_slice(&unit.to_be_bytes());
            }
        }
    }
    unshift(&mut shifted, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_as_rfc_3501_writes_them() {
        for (utf7, utf8) in [
            ("INBOX", "INBOX"),
            ("~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"),
            ("&Jjo-!", "☺!"),
            ("&U,BTF2XlZyyKng-", "台北日本語"),
            ("a&-b", "a&b"),
            ("&AOQ-", "ä"),
            ("&2D3eAA-", "😀"),
            ("Entw&APw-rfe", "Entwürfe"),
        ] {
            assert_eq!(decode_mailbox(utf7.as_bytes()).as_deref(), Some(utf8));
            assert_eq!(encode_mailbox(utf8), utf7);
        }
    }

    #[test]
    fn what_is_not_modified_utf7() {
        for bad in ["&", "a&b", "&Jjo", "&A-", "&====-", "&2D0-", "&Jjo!-"] {
            assert_eq!(decode_mailbox(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(decode_mailbox(b"\xff"), None);
        assert_eq!(
            decode_mailbox("Entwürfe".as_bytes()).as_deref(),
            Some("Entwürfe")
        );
    }

    proptest! {
        #[test]
        fn every_name_comes_back(name in "\\PC{0,20}") {
            let utf7 = encode_mailbox(&name);
            prop_assert!(utf7.bytes().all(|b| (b' '..=b'~').contains(&b)));
            prop_assert_eq!(decode_mailbox(utf7.as_bytes()), Some(name));
        }
    }
}
