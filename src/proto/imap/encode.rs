//! Strings, flags and dates of responses as octets (RFC 3501 §9). A string that cannot be quoted becomes a literal.
//! Knows no response as a whole.

use super::encode_mailbox;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::io::Write;

/// A quoted string longer than this is sent as a literal: some clients read lines into small buffers.
const QUOTED_MAX: usize = 1000;

pub fn string(out: &mut Vec<u8>, text: &[u8]) {
    let quotable =
        text.len() <= QUOTED_MAX && text.iter().all(|b| matches!(b, b'\t' | b' '..=b'~'));
    if quotable {
        out.push(b'"');
        for octet in text {
            if matches!(octet, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(*octet);
        }
        out.push(b'"');
    } else {
        literal_start(out, text.len() as u64);
        // A literal holds any octet but NUL (RFC 3501 §9 CHAR8).
        out.extend(text.iter().map(|b| if *b == 0 { 0x80 } else { *b }));
    }
}

pub fn nstring(out: &mut Vec<u8>, text: Option<&[u8]>) {
    match text {
        Some(text) => string(out, text),
        None => out.extend_from_slice(b"NIL"),
    }
}

/// The octets are to follow.
pub fn literal_start(out: &mut Vec<u8>, length: u64) {
    let _ = write!(out, "{{{length}}}\r\n");
}

/// In modified UTF-7, as a string.
pub fn mailbox_name(out: &mut Vec<u8>, name: &str) {
    string(out, encode_mailbox(name).as_bytes());
}

/// In parentheses.
pub fn flags<'a>(out: &mut Vec<u8>, flags: impl IntoIterator<Item = &'a str>) {
    out.push(b'(');
    for (index, flag) in flags.into_iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(flag.as_bytes());
    }
    out.push(b')');
}

/// RFC 3501 §9 date-time, in UTC.
pub fn date_time(out: &mut Vec<u8>, at: Timestamp) {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let at = TimeZone::UTC.to_datetime(at);
    let month = usize::try_from(at.month() - 1)
        .ok()
        .and_then(|month| MONTHS.get(month));
    let _ = write!(
        out,
        "\"{:2}-{}-{:04} {:02}:{:02}:{:02} +0000\"",
        at.day(),
        month.unwrap_or(&"Jan"),
        at.year().max(0),
        at.hour(),
        at.minute(),
        at.second()
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings() {
        for (text, expected) in [
            (&b"plain"[..], &b"\"plain\""[..]),
            (b"", b"\"\""),
            (b"a \"b\" \\", b"\"a \\\"b\\\" \\\\\""),
            (b"a\r\nb", b"{4}\r\na\r\nb"),
            ("ä".as_bytes(), b"{2}\r\n\xc3\xa4"),
            (b"a\0", b"{2}\r\na\x80"),
        ] {
            let mut out = Vec::new();
            string(&mut out, text);
            assert_eq!(out, expected, "{text:?}");
        }
    }

    #[test]
    fn dates() {
        let mut out = Vec::new();
        date_time(&mut out, "2026-02-03T04:05:06Z".parse().unwrap());
        assert_eq!(out, b"\" 3-Feb-2026 04:05:06 +0000\"");
    }
}
