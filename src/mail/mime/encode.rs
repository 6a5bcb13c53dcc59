//! Writes transfer encodings (RFC 2045 §6). What comes out can stand in any multipart: no line of it looks like a boundary.
//! `transfer` reads them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use memchr::{memchr, memchr2};
use std::borrow::Cow;

/// Octets of a line without its CRLF (RFC 5322 §2.1.1).
const LINE: usize = 998;
/// Octets of an encoded line (RFC 2045 §6.7 (5), §6.8).
const ENCODED_LINE: usize = 76;

/// The Content-Transfer-Encoding that suits the octets best, and the octets in it. The line ends of text become CRLF.
pub fn encode(is_text: bool, octets: &[u8]) -> (&'static str, Bytes) {
    let octets = match is_text {
        true => crlf(octets),
        false => Cow::Borrowed(octets),
    };
    if stands_as_it_is(&octets) {
        return ("7bit", octets.into_owned().into());
    }
    let escapes = octets.iter().filter(|octet| !is_literal(**octet)).count();
    // Past one in six, base64 is the shorter one; up to one in four, what can be read without a program is worth more.
    if is_text && escapes <= octets.len() / 4 {
        ("quoted-printable", quoted_printable(&octets).into())
    } else {
        ("base64", base64(&octets).into())
    }
}

/// With CRLF for each LF or CR that stands alone.
pub fn crlf(octets: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Vec::new();
    let mut rest = octets;
    while let Some(at) = memchr2(b'\r', b'\n', rest) {
        let (line, end) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        let taken = if end.starts_with(b"\r\n") { 2 } else { 1 };
        if taken == 1 && out.is_empty() {
            // The first that stands alone; up to here all was right.
            let before = octets.len() - end.len();
            out.reserve(octets.len() + octets.len() / 16);
            out.extend_from_slice(octets.get(..before).unwrap_or_default());
            out.extend_from_slice(b"\r\n");
        } else if !out.is_empty() {
            out.extend_from_slice(line);
            out.extend_from_slice(b"\r\n");
        }
        rest = end.get(taken..).unwrap_or_default();
    }
    if out.is_empty() {
        return Cow::Borrowed(octets);
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

/// RFC 2045 §2.7, and no line that could be a boundary (RFC 2046 §5.1.1).
fn stands_as_it_is(octets: &[u8]) -> bool {
    let mut rest = octets;
    if !octets.is_ascii() || memchr(0, octets).is_some() {
        return false;
    }
    while !rest.is_empty() {
        let end = memchr(b'\n', rest).unwrap_or(rest.len());
        let line = rest.get(..end).unwrap_or(rest);
        let is_last = end == rest.len();
        let text = match line.strip_suffix(b"\r") {
            Some(text) if !is_last => text,
            None if is_last => line,
            _ => return false,
        };
        if text.len() > LINE || text.starts_with(b"--") || memchr(b'\r', text).is_some() {
            return false;
        }
        rest = rest.get(end + 1..).unwrap_or_default();
    }
    true
}

/// What quoted-printable leaves as it is, wherever it stands.
fn is_literal(octet: u8) -> bool {
    matches!(octet, b' '..=b'~' | b'\t' | b'\r' | b'\n') && octet != b'='
}

/// RFC 2045 §6.7, of text whose lines end in CRLF.
fn quoted_printable(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() + octets.len() / 4);
    let mut column = 0;
    let mut rest = octets;
    while let Some((&octet, after)) = rest.split_first() {
        if rest.starts_with(b"\r\n") {
            out.extend_from_slice(b"\r\n");
            column = 0;
            rest = after.get(1..).unwrap_or_default();
            continue;
        }
        let ends_line = after.is_empty() || after.starts_with(b"\r\n");
        let is_plain = |column: usize| match octet {
            // Rule 3: no blank at the end of a line.
            b' ' | b'\t' => !ends_line,
            b'-' => column > 0,
            b'\r' | b'\n' => false,
            _ => is_literal(octet),
        };
        let mut width = if is_plain(column) { 1 } else { 3 };
        // Room for the soft line break, unless the line ends here anyway.
        let room = ENCODED_LINE - usize::from(!ends_line);
        if column + width > room {
            out.extend_from_slice(b"=\r\n");
            column = 0;
            width = if is_plain(column) { 1 } else { 3 };
        }
        if width == 1 {
            out.push(octet);
        } else {
            out.extend_from_slice(format!("={octet:02X}").as_bytes());
        }
        column += width;
        rest = after;
    }
    out
}

/// RFC 2045 §6.8
fn base64(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() / 57 * 78 + 80);
    for (index, line) in octets.chunks(ENCODED_LINE / 4 * 3).enumerate() {
        if index > 0 {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(STANDARD.encode(line).as_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::TransferEncoding;
    use super::super::transfer::Transfer;
    use super::*;
    use proptest::prelude::*;

    fn decode(encoding: &str, octets: &[u8]) -> Vec<u8> {
        let mut transfer = Transfer::new(match encoding {
            "base64" => TransferEncoding::Base64,
            "quoted-printable" => TransferEncoding::QuotedPrintable,
            _ => TransferEncoding::Identity,
        });
        let mut out = Vec::new();
        transfer.push(octets, &mut out);
        transfer.finish(&mut out);
        out
    }

    #[test]
    fn the_encoding_suits_the_octets() {
        let long = "x".repeat(999);
        for (is_text, octets, encoding) in [
            (true, "plain\nlines\n", "7bit"),
            (
                true,
                "Grüße aus dem Süden, und ein paar Zeichen mehr",
                "quoted-printable",
            ),
            (true, "Привет", "base64"),
            (true, "a\n--b\nc", "quoted-printable"),
            (true, &long, "quoted-printable"),
            (false, "{\r\n}\r\n", "7bit"),
            (false, "{\n}\n", "base64"),
            (false, "\0", "base64"),
            (true, "", "7bit"),
        ] {
            assert_eq!(encode(is_text, octets.as_bytes()).0, encoding, "{octets:?}");
        }
    }

    #[test]
    fn lone_line_ends_become_crlf() {
        for (given, expected) in [
            ("a\nb\r\nc\rd", "a\r\nb\r\nc\r\nd"),
            ("\n", "\r\n"),
            ("\r\n\n\r", "\r\n\r\n\r\n"),
            ("a\r\nb", "a\r\nb"),
            ("", ""),
        ] {
            assert_eq!(&*crlf(given.as_bytes()), expected.as_bytes(), "{given:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_reads_back(octets in "[ -~\t\r\n=-]{0,300}|[ \\-=a\r\nü]{0,300}|\\PC{0,200}", is_text: bool) {
            let (encoding, encoded) = encode(is_text, octets.as_bytes());
            let expected = if is_text { crlf(octets.as_bytes()) } else { octets.as_bytes().into() };
            prop_assert_eq!(decode(encoding, &encoded), &*expected);
            for line in encoded.split(|octet| *octet == b'\n') {
                prop_assert!(!line.starts_with(b"--"));
                let most = if encoding == "7bit" { 999 } else { 77 };
                prop_assert!(line.len() <= most);
            }
            prop_assert!(encoded.is_ascii());
        }

        #[test]
        fn any_octets_read_back(octets: Vec<u8>) {
            let (encoding, encoded) = encode(false, &octets);
            prop_assert_eq!(decode(encoding, &encoded), octets);
        }
    }
}
