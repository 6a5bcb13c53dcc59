//! Reads the text of a header field: unfolded (RFC 5322 §2.2.3), encoded words decoded (RFC 2047).
//! Looks for no structure in it.

use crate::mail::mime::{Charset, decode_base64};
use memchr::{memchr, memmem};
use std::ops::Range;

/// The most octets of an encoded word that are looked at; some programs write far longer ones than they may.
const LONGEST_READ: usize = 8 * 1024;

/// The value unfolded, trimmed, encoded words decoded. Octets that make no sense become U+FFFD, control characters blanks.
pub(in crate::mail) fn read(value: &[u8]) -> String {
    let value = unfold(value);
    let mut out = String::new();
    let mut rest = value.as_slice();
    // Of the encoded words before `rest` with nothing between: their charset and octets. Characters may be split between words.
    let mut pending: Option<(String, Vec<u8>)> = None;
    while let Some((at, word)) = next_encoded_word(rest) {
        let (before, after) = rest.split_at_checked(at.start).unwrap_or((rest, &[]));
        let is_adjacent = pending.is_some() && before.trim_ascii().is_empty();
        match &mut pending {
            Some((charset, octets)) if is_adjacent && *charset == word.charset => {
                octets.extend_from_slice(&word.octets);
            }
            _ => {
                flush(&mut pending, &mut out);
                if !is_adjacent {
                    out.push_str(&String::from_utf8_lossy(before));
                }
                pending = Some((word.charset, word.octets));
            }
        }
        rest = after.get(at.end - at.start..).unwrap_or_default();
    }
    flush(&mut pending, &mut out);
    out.push_str(&String::from_utf8_lossy(rest));
    let out = match out.contains(|c: char| c.is_control() && c != '\t') {
        true => out.replace(|c: char| c.is_control() && c != '\t', " "),
        false => out,
    };
    match out.trim() {
        trimmed if trimmed.len() == out.len() => out,
        trimmed => trimmed.to_owned(),
    }
}

fn flush(pending: &mut Option<(String, Vec<u8>)>, out: &mut String) {
    if let Some((charset, octets)) = pending.take() {
        Charset::new(Some(&charset)).push(&octets, true, out);
    }
}

/// Drops line ends. The tab that many folded with was a space once.
fn unfold(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut is_fold = false;
    for octet in value {
        match octet {
            b'\r' | b'\n' => is_fold = true,
            b'\t' if is_fold => {
                out.push(b' ');
                is_fold = false;
            }
            _ => {
                out.push(*octet);
                is_fold = false;
            }
        }
    }
    out
}

struct EncodedWord {
    /// In lower case.
    charset: String,
    octets: Vec<u8>,
}

/// Finds `=?charset?encoding?text?=`, wherever it stands: many write it where RFC 2047 §5 does not allow it.
fn next_encoded_word(text: &[u8]) -> Option<(Range<usize>, EncodedWord)> {
    memmem::find_iter(text, b"=?").find_map(|start| {
        let rest = text.get(start + 2..)?;
        // The charset and perhaps a language (RFC 2231 §5).
        let name = until(rest.get(..rest.len().min(80))?, b'?')?;
        let charset = name.split(|octet| *octet == b'*').next()?;
        if charset.is_empty() || !charset.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        let rest = rest.get(name.len() + 1..)?;
        let (encoding, rest) = rest.split_first()?;
        let rest = rest.strip_prefix(b"?")?;
        let length = memmem::find(rest.get(..LONGEST_READ).unwrap_or(rest), b"?=")?;
        let encoded = rest.get(..length)?;
        let octets = match encoding {
            b'B' | b'b' => decode_base64(encoded),
            b'Q' | b'q' => q_decoded(encoded),
            _ => return None,
        };
        let end = start + 2 + name.len() + 1 + 2 + length + 2;
        let charset = String::from_utf8_lossy(charset).to_ascii_lowercase();
        Some((start..end, EncodedWord { charset, octets }))
    })
}

fn until(text: &[u8], end: u8) -> Option<&[u8]> {
    text.get(..memchr(end, text)?)
}

/// RFC 2047 §4.2, leniently.
fn q_decoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((octet, after)) = rest.split_first() {
        rest = after;
        match octet {
            b'_' => out.push(b' '),
            b'=' => match after.split_at_checked(2).and_then(|(hex, after)| {
                let hex = std::str::from_utf8(hex).ok()?;
                Some((u8::from_str_radix(hex, 16).ok()?, after))
            }) {
                Some((octet, after)) => {
                    out.push(octet);
                    rest = after;
                }
                None => out.push(b'='),
            },
            _ => out.push(*octet),
        }
    }
    out
}
