//! Command lines out of octets as they come. Only CRLF ends a line (RFC 5321 §2.3.8).
//! Does not know what a line means.

use memchr::{memchr, memchr3};
use std::borrow::Cow;

/// Octets of a command line with its CRLF. RFC 5321 §4.5.3.1.4 says 512, and each extension adds to it
/// (DSN's ORCPT alone 500, AUTH's MAIL parameter 500, UTF-8 addresses): this holds all of them together.
pub(super) const LIMIT: usize = 2048;

/// Octets that are no command follow this one (RFC 3030 §2).
const VERB: &[u8] = b"BDAT";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    TooLong,
    /// CR or LF alone: taking it for a line end is how commands are smuggled.
    BareLineEnd,
    Nul,
    /// A BDAT with one of these in it: how many octets of a chunk follow cannot be told.
    Chunk,
}

impl Fault {
    /// Of a line that begins with these two pieces.
    fn of(self, line: [&[u8]; 2]) -> Read<'static> {
        let verb = line.into_iter().flatten().take(VERB.len());
        match verb.map(u8::to_ascii_uppercase).eq(VERB.iter().copied()) {
            true => Read::Fault(Self::Chunk),
            false => Read::Fault(self),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read<'i> {
    /// All octets are used and the line is not at its end.
    More,
    /// Without its CRLF.
    Line(Cow<'i, [u8]>),
    /// Told as soon as it is seen, so that a client that ends its lines otherwise learns why; the rest up to the next CRLF is
    /// passed over.
    Fault(Fault),
}

/// Holds at most one line.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
    /// In a faulty line; whether its last octet was a CR.
    skipping: Option<bool>,
}

impl Lines {
    /// How many octets were used, and what they gave.
    pub fn next<'i>(&mut self, input: &'i [u8]) -> (usize, Read<'i>) {
        let mut used = 0;
        if let Some(after_cr) = self.skipping {
            match skip(input, after_cr) {
                Ok(count) => {
                    self.skipping = None;
                    used = count;
                }
                Err(after_cr) => {
                    self.skipping = Some(after_cr);
                    return (input.len(), Read::More);
                }
            }
        }
        let rest = input.get(used..).unwrap_or_default();
        let Some(at) = memchr(b'\n', rest) else {
            return (input.len(), self.keep(rest));
        };
        let (head, _) = rest.split_at(at);
        used += at + 1;
        let after_cr = head.last().or(self.partial.last()) == Some(&b'\r');
        let length = self.partial.len() + head.len() + 1;
        let partial = std::mem::take(&mut self.partial);
        if length > LIMIT || !after_cr {
            if !after_cr {
                self.skipping = Some(false);
            }
            let fault = if length > LIMIT {
                Fault::TooLong
            } else {
                Fault::BareLineEnd
            };
            return (used, fault.of([&partial, head]));
        }
        let mut line = if partial.is_empty() {
            Cow::Borrowed(head)
        } else {
            let mut whole = partial;
            whole.extend_from_slice(head);
            Cow::Owned(whole)
        };
        match &mut line {
            Cow::Borrowed(line) => *line = line.strip_suffix(b"\r").unwrap_or(line),
            Cow::Owned(line) => {
                line.pop();
            }
        }
        let read = match memchr3(b'\r', b'\n', 0, &line).and_then(|at| line.get(at)) {
            None => Read::Line(line),
            Some(0) => Fault::Nul.of([&line, b""]),
            Some(_) => Fault::BareLineEnd.of([&line, b""]),
        };
        (used, read)
    }

    pub fn in_line(&self) -> bool {
        !self.partial.is_empty() || self.skipping.is_some()
    }

    fn keep(&mut self, octets: &[u8]) -> Read<'static> {
        if self.partial.len() + octets.len() >= LIMIT {
            let last = octets.last().or(self.partial.last());
            self.skipping = Some(last == Some(&b'\r'));
            let partial = std::mem::take(&mut self.partial);
            return Fault::TooLong.of([&partial, octets]);
        }
        self.partial.extend_from_slice(octets);
        Read::More
    }
}

/// To behind the next CRLF; or, if there is none, whether the last octet was a CR.
fn skip(input: &[u8], mut after_cr: bool) -> Result<usize, bool> {
    for at in memchr::memchr_iter(b'\n', input) {
        if let Some(before) = at.checked_sub(1) {
            after_cr = input.get(before) == Some(&b'\r');
        }
        if after_cr {
            return Ok(at + 1);
        }
    }
    Err(match input.last() {
        Some(last) => *last == b'\r',
        None => after_cr,
    })
}
