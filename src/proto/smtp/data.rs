//! The message behind DATA: where it ends, its dots unstuffed (RFC 5321 §4.5.2), and nothing but CRLF as a line end.
//! Copies nothing and holds nothing back: what it gives out are slices of what it was given. Chunks are in `chunk`.
//!
//! A text line may be of any length. RFC 5321 §4.5.3.1.6 allows 1000 octets and more where the server can; Postfix takes them
//! too. Nothing here is kept by the line, so a limit would save nothing, and refusing (or breaking lines, which breaks
//! DKIM signatures) would cost mail that people want.

use super::chunk::{Chunk, Taken};
use super::server::Server;
use super::{command, refusal};
use crate::mail::{Replies, Reply};
use memchr::memchr2;

/// Between the 354 and the end of the message, or in a chunk of it.
#[derive(Debug)]
pub struct Receiving {
    server: Server,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Text(Text),
    Chunk(Chunk),
}

/// What the next octets gave.
pub(super) enum Got<'i> {
    More,
    Content(&'i [u8]),
    End,
}

/// A message up to CRLF.CRLF.
#[derive(Debug)]
struct Text {
    at: At,
    /// Octets of the message so far.
    size: u64,
    /// Why it will be refused at its end. RFC 5321 knows no other place to refuse it.
    fault: Option<Fault>,
}

/// Where in the text the next octet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    LineStart,
    Text,
    AfterCr,
    /// Behind a dot that began a line.
    AfterDot,
    /// Behind a dot and a CR that began a line.
    AfterDotCr,
}

/// The later one weighs more, so that the reply doesn't depend on how the network cut the octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    TooLarge,
    BareLineEnd,
}

#[derive(Debug)]
pub enum Piece<'i> {
    /// All octets are used: send what is in `output` and read more.
    Read(Receiving),
    /// The next octets of the message.
    Content(Receiving, &'i [u8]),
    /// A chunk that isn't the last is here; it waits for its reply.
    Chunk(Taken),
    /// The message is complete; it waits for its reply.
    End(Ended),
    /// The message, or a chunk of it, came to its end and was refused: forget what was given out of all of it.
    Refused(Server),
}

/// A complete message that waits for its reply.
#[derive(Debug)]
pub struct Ended {
    server: Server,
}

impl Ended {
    pub(super) fn new(server: Server) -> Self {
        Self { server }
    }

    /// The reply to the message, positive or not. The transaction is over either way.
    pub fn reply(self, replies: &Replies) -> Server {
        self.server.message_done(replies)
    }
}

impl Receiving {
    pub(super) fn new(server: Server) -> Self {
        Self {
            server,
            form: Form::Text(Text {
                // The CRLF of the DATA line begins the first line (RFC 5321 §4.1.1.4): "." CRLF at once is an empty message.
                at: At::LineStart,
                size: 0,
                fault: None,
            }),
        }
    }

    pub(super) fn chunk(server: Server, chunk: Chunk) -> Self {
        Self {
            server,
            form: Form::Chunk(chunk),
        }
    }

    /// What is to be sent, left in place if the caller takes nothing.
    pub fn output(&mut self) -> &mut Vec<u8> {
        self.server.output()
    }

    /// Says that the connection ends now, in the middle of the message (RFC 5321 §3.8), and gives what is to be sent.
    pub fn close(self, reply: &Reply) -> Vec<u8> {
        self.server.close(reply)
    }

    /// How many octets were used, and what they gave.
    pub fn next<'i>(mut self, input: &'i [u8]) -> (usize, Piece<'i>) {
        let limit = self.server.config().size;
        let (used, got) = match &mut self.form {
            Form::Text(text) => text.next(input, limit),
            Form::Chunk(chunk) => chunk.next(input),
        };
        let piece = match got {
            Got::More => Piece::Read(self),
            Got::Content(octets) => Piece::Content(self, octets),
            Got::End => self.end(),
        };
        (used, piece)
    }

    fn end(self) -> Piece<'static> {
        let Self { server, form } = self;
        match form {
            Form::Chunk(chunk) => chunk.end(server),
            Form::Text(Text { fault: None, .. }) => Piece::End(Ended::new(server)),
            Form::Text(Text {
                fault: Some(fault), ..
            }) => {
                let reply = fault.reply(&server);
                Piece::Refused(server.message_done(&reply.into()))
            }
        }
    }
}

impl Fault {
    pub fn reply(self, server: &Server) -> Reply {
        match self {
            Self::TooLarge => command::too_large(server.config()),
            Self::BareLineEnd => refusal(
                554,
                (5, 6, 0),
                "The message holds a CR or LF that is not part of a CRLF (RFC 5321 2.3.8)",
            ),
        }
    }
}

impl Text {
    fn next<'i>(&mut self, input: &'i [u8], limit: u64) -> (usize, Got<'i>) {
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            let Some(first) = rest.first() else {
                return (used, Got::More);
            };
            match (self.at, first) {
                (At::LineStart, b'.') => {
                    self.at = At::AfterDot;
                    used += 1;
                }
                (At::AfterDot, b'\r') => {
                    self.at = At::AfterDotCr;
                    used += 1;
                }
                (At::AfterDotCr, b'\n') => return (used + 1, Got::End),
                (At::AfterDotCr, _) => {
                    // Dot, CR, and no LF. The CR was not given out, but nobody will get this message.
                    self.fault = self.fault.max(Some(Fault::BareLineEnd));
                    self.at = At::Text;
                }
                _ => {
                    let (count, sound) = self.text(rest);
                    used += count;
                    if !sound {
                        self.fault = self.fault.max(Some(Fault::BareLineEnd));
                    }
                    self.size += count as u64;
                    if self.size > limit {
                        self.fault = self.fault.max(Some(Fault::TooLarge));
                    }
                    if self.fault.is_none() && count > 0 {
                        let (content, _) = rest.split_at(count);
                        return (used, Got::Content(content));
                    }
                }
            }
        }
    }

    /// How many octets can go out in one piece: up to a dot that begins a line, a bare CR or LF, or the end of what is there.
    /// False if the last of them is a bare CR or LF.
    fn text(&mut self, octets: &[u8]) -> (usize, bool) {
        let mut from = 0;
        if self.at == At::AfterCr {
            if octets.first() != Some(&b'\n') {
                // The bare CR went out with the octets before. None of these is used yet.
                self.at = At::Text;
                return (0, false);
            }
            self.at = At::LineStart;
            from = 1;
            if octets.get(from) == Some(&b'.') {
                return (from, true);
            }
        }
        loop {
            let rest = octets.get(from..).unwrap_or_default();
            if rest.is_empty() {
                return (from, true);
            }
            self.at = At::Text;
            let Some(found) = memchr2(b'\r', b'\n', rest) else {
                return (octets.len(), true);
            };
            let line_end = from + found;
            match (rest.get(found), rest.get(found + 1)) {
                (Some(b'\r'), Some(b'\n')) => {
                    self.at = At::LineStart;
                    from = line_end + 2;
                    if octets.get(from) == Some(&b'.') {
                        return (from, true);
                    }
                }
                (Some(b'\r'), None) => {
                    self.at = At::AfterCr;
                    return (octets.len(), true);
                }
                // A CR with something else behind it, or an LF with no CR before it.
                _ => return (line_end + 1, false),
            }
        }
    }
}
