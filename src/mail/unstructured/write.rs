//! Writes text as a header field, folded (RFC 5322 §2.2.3) and, what is not ASCII, in encoded words (RFC 2047).
//! Does not check what a field of that name may hold.

use std::iter;

/// Octets of a line, without its CRLF, that writing tries not to exceed (RFC 5322 §2.1.1).
const LINE: usize = 78;
/// An encoded word has no more octets (RFC 2047 §2).
const ENCODED_WORD: usize = 75;
/// A word that nothing can be folded in is encoded if it is longer: a line must not exceed 998 octets (RFC 5322 §2.1.1).
const LONG_WORD: usize = 900;
/// More blanks in a row than this are written as one.
const BLANKS: usize = 30;

/// `name: value` with its CRLF. ASCII stays as it is; of the rest, only the words that need it are encoded, so that in structured fields
/// addresses and the like stay readable for programs.
pub(in crate::mail) fn write(name: &str, value: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len() + value.len() + ": \r\n".len());
    out.extend_from_slice(name.as_bytes());
    out.push(b':');
    let mut writer = Writer {
        out,
        column: name.len() + 1,
        is_start: true,
    };
    let mut rest = words(value, is_address_field(name)).peekable();
    while let Some(word) = rest.next() {
        if !word.is_encoded {
            writer.plain(word.blanks, word.text);
            continue;
        }
        // What separates two encoded words is lost, so a run of words goes in together with its blanks.
        let mut run = word.text.to_owned();
        while let Some(next) = rest.next_if(|next| next.is_encoded) {
            run.push_str(next.blanks);
            run.push_str(next.text);
        }
        writer.encoded(word.blanks, &run);
    }
    if writer.is_start {
        writer.out.push(b' ');
    }
    writer.out.extend_from_slice(b"\r\n");
    writer.out
}

struct Word<'a> {
    /// Before it; never empty.
    blanks: &'a str,
    text: &'a str,
    is_encoded: bool,
}

fn words(value: &str, is_address_field: bool) -> impl Iterator<Item = Word<'_>> {
    let is_blank = |c: char| matches!(c, ' ' | '\t');
    let mut rest = value.trim_matches(is_blank);
    let mut blanks = " ";
    iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let quoted = match rest.strip_prefix('"') {
            Some(inside) if is_address_field => inside.find('"').map(|at| at + 2),
            _ => None,
        };
        let end = quoted.or_else(|| rest.find(is_blank));
        let (text, after) = rest
            .split_at_checked(end.unwrap_or(rest.len()))
            .unwrap_or((rest, ""));
        let is_encoded = match is_address_field && quoted.is_none() && text.contains('@') {
            true => false, // an address that needs SMTPUTF8 (RFC 6532)
            false => !text.is_ascii() || text.len() > LONG_WORD,
        };
        let word = Word {
            blanks,
            // An encoded word must not stand in a quoted-string (RFC 2047 §5), and needs none.
            text: match is_encoded && quoted.is_some() {
                true => text.trim_matches('"'),
                false => text,
            },
            is_encoded,
        };
        rest = after.trim_start_matches(is_blank);
        blanks = match after.len() - rest.len() {
            1..=BLANKS => after.get(..after.len() - rest.len()).unwrap_or(" "),
            _ => " ",
        };
        Some(word)
    })
}

fn is_address_field(name: &str) -> bool {
    let name = match name.split_at_checked("Resent-".len()) {
        Some((resent, name)) if resent.eq_ignore_ascii_case("Resent-") => name,
        _ => name,
    };
    let fields = ["From", "Sender", "Reply-To", "To", "Cc", "Bcc"];
    fields.iter().any(|field| field.eq_ignore_ascii_case(name))
}

struct Writer {
    out: Vec<u8>,
    column: usize,
    /// Nothing but the name has been written. No fold there: the first line would be a name and nothing else.
    is_start: bool,
}

impl Writer {
    fn put(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
        self.column += text.len();
        self.is_start = false;
    }

    fn fold(&mut self) {
        if !self.is_start {
            self.out.extend_from_slice(b"\r\n");
            self.column = 0;
        }
    }

    fn plain(&mut self, blanks: &str, text: &str) {
        if self.column + blanks.len() + text.len() > LINE {
            self.fold();
        }
        self.put(blanks);
        self.put(text);
    }

    fn encoded(&mut self, blanks: &str, run: &str) {
        let form = Form::shorter(run);
        let mut blanks = blanks;
        let mut rest = run;
        while !rest.is_empty() {
            let room = LINE.saturating_sub(self.column + blanks.len());
            let mut length = form.fitting(rest, room.min(ENCODED_WORD));
            // A few characters at the end of a line are not worth a word, unless they are all.
            if length < rest.len() && length < 8 {
                self.fold();
                let room = LINE.saturating_sub(self.column + blanks.len());
                length = form.fitting(rest, room.min(ENCODED_WORD));
            }
            // One character at least, wherever the line ends.
            let first = rest.chars().next().map_or(0, char::len_utf8);
            let (text, after) = rest
                .split_at_checked(length.max(first))
                .unwrap_or((rest, ""));
            self.put(blanks);
            self.put(&form.word(text));
            blanks = " ";
            rest = after;
        }
    }
}

/// RFC 2047 §4.
#[derive(Clone, Copy)]
enum Form {
    B,
    Q,
}

/// Octets of `=?utf-8?B?` and `?=`.
const AROUND: usize = 12;

impl Form {
    fn shorter(text: &str) -> Self {
        let q: usize = text.bytes().map(q_length).sum();
        match q <= text.len().div_ceil(3) * 4 {
            true => Self::Q,
            false => Self::B,
        }
    }

    /// Octets of the whole characters at the start of `text` that fit in a word of `room` octets.
    fn fitting(self, text: &str, room: usize) -> usize {
        let room = room.saturating_sub(AROUND);
        let mut used = 0;
        let mut fitting = 0;
        for c in text.chars() {
            let end = fitting + c.len_utf8();
            used = match self {
                Self::B => end.div_ceil(3) * 4,
                Self::Q => {
                    let mut octets = [0; 4];
                    used + c
                        .encode_utf8(&mut octets)
                        .bytes()
                        .map(q_length)
                        .sum::<usize>()
                }
            };
            if used > room {
                break;
            }
            fitting = end;
        }
        fitting
    }

    fn word(self, text: &str) -> String {
        use base64::Engine as _;
        match self {
            Self::B => {
                let text = base64::engine::general_purpose::STANDARD.encode(text);
                format!("=?utf-8?B?{text}?=")
            }
            Self::Q => {
                let mut word = "=?utf-8?Q?".to_owned();
                for octet in text.bytes() {
                    match octet {
                        b' ' => word.push('_'),
                        _ if q_length(octet) == 1 => word.push(char::from(octet)),
                        _ => word.push_str(&format!("={octet:02X}")),
                    }
                }
                word + "?="
            }
        }
    }
}

/// What Q makes of an octet, so that the word may stand in a phrase too (RFC 2047 §5 (3)).
fn q_length(octet: u8) -> usize {
    match octet {
        b'!' | b'*' | b'+' | b'-' | b'/' | b' ' => 1,
        _ if octet.is_ascii_alphanumeric() => 1,
        _ => 3,
    }
}
