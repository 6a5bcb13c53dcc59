//! The message behind DATA: where it ends, its dots unstuffed (RFC 5321 §4.5.2), and nothing but CRLF as a line end.
//! Copies nothing and holds nothing back: what it gives out are slices of what it was given. Chunks are in `chunk`.
//!
//! A text line may be far longer than the 1000 octets of RFC 5321 §4.5.3.1.6, which allows more where the server can; Postfix takes
//! them too. Refusing them (or breaking lines, which breaks DKIM signatures) would cost mail that people want, so the limit is only
//! there for those behind us who hold a line in memory.

use super::chunk::{Chunk, Taken};
use super::server::Server;
use super::{Config, Smuggling, command, refusal};
use crate::mail::{Replies, Reply};
use memchr::memchr3;

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
    /// Octets since the last line end.
    line: u64,
    /// What goes out before more is looked at.
    pending: &'static [u8],
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
    LongLine,
    TooLarge,
    Nul,
    BareLineEnd,
}

/// What a text message must not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bad {
    /// A CR alone, the last of the octets before.
    CrBefore,
    /// A CR or LF alone.
    LineEnd,
    Nul,
}

impl Bad {
    pub fn fault(self) -> Fault {
        match self {
            Self::CrBefore | Self::LineEnd => Fault::BareLineEnd,
            Self::Nul => Fault::Nul,
        }
    }

    /// How many octets it is that have not gone out yet.
    pub fn len(self) -> usize {
        match self {
            Self::CrBefore => 0,
            Self::LineEnd | Self::Nul => 1,
        }
    }

    /// What goes out in its place.
    pub fn normalised(self) -> &'static [u8] {
        match self {
            Self::CrBefore => b"\n",
            Self::LineEnd => b"\r\n",
            Self::Nul => b"",
        }
    }
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
                line: 0,
                pending: b"",
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
        let config = self.server.config();
        let (used, got) = match &mut self.form {
            Form::Text(text) => text.next(input, config),
            Form::Chunk(chunk) => chunk.next(input, config),
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
            Self::LongLine => refusal(
                554,
                (5, 6, 0),
                &format!(
                    "The message holds a line of more than {} octets",
                    server.config().line
                ),
            )
            .about("line-length"),
            Self::Nul => refusal(554, (5, 6, 0), "The message holds a NUL (RFC 5322 2.2)"),
            Self::BareLineEnd => refusal(
                554,
                (5, 6, 0),
                "The message holds a CR or LF that is not part of a CRLF (RFC 5321 2.3.8)",
            ),
        }
    }
}

impl Text {
    fn next<'i>(&mut self, input: &'i [u8], config: &Config) -> (usize, Got<'i>) {
        let mut used = 0;
        loop {
            if !self.pending.is_empty() && self.fault.is_none() {
                return (used, Got::Content(std::mem::take(&mut self.pending)));
            }
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
                    // Dot, CR, and no LF. The CR was not given out.
                    self.bad(Bad::LineEnd, config);
                    self.at = At::Text;
                }
                _ => {
                    let (count, bad) = self.text(rest, config.line);
                    used += count;
                    self.size += count as u64;
                    let mut good = count;
                    if let Some(bad) = bad {
                        good -= bad.len();
                        self.bad(bad, config);
                    }
                    if self.size > config.size {
                        self.fault = self.fault.max(Some(Fault::TooLarge));
                    }
                    if self.fault.is_none() && good > 0 {
                        let (content, _) = rest.split_at(good);
                        return (used, Got::Content(content));
                    }
                }
            }
        }
    }

    fn bad(&mut self, bad: Bad, config: &Config) {
        self.line = 0;
        match config.smuggling {
            Smuggling::Reject => self.fault = self.fault.max(Some(bad.fault())),
            Smuggling::Normalise => {
                self.pending = bad.normalised();
                self.size += bad.normalised().len().saturating_sub(bad.len()) as u64;
            }
        }
    }

    fn long(&mut self, octets: usize, limit: u64) {
        self.line += octets as u64;
        if self.line > limit {
            self.fault = self.fault.max(Some(Fault::LongLine));
        }
    }

    /// How many octets can go out in one piece: up to a dot that begins a line, something bad, or the end of what is there.
    /// What is bad is the last of them.
    fn text(&mut self, octets: &[u8], limit: u64) -> (usize, Option<Bad>) {
        let mut from = 0;
        if self.at == At::AfterCr {
            if octets.first() != Some(&b'\n') {
                // The bare CR went out with the octets before. None of these is used yet.
                self.at = At::Text;
                return (0, Some(Bad::CrBefore));
            }
            self.at = At::LineStart;
            self.line = 0;
            from = 1;
            if octets.get(from) == Some(&b'.') {
                return (from, None);
            }
        }
        loop {
            let rest = octets.get(from..).unwrap_or_default();
            if rest.is_empty() {
                return (from, None);
            }
            self.at = At::Text;
            let Some(found) = memchr3(b'\r', b'\n', 0, rest) else {
                self.long(rest.len(), limit);
                return (octets.len(), None);
            };
            self.long(found, limit);
            let line_end = from + found;
            match (rest.get(found), rest.get(found + 1)) {
                (Some(b'\r'), Some(b'\n')) => {
                    self.at = At::LineStart;
                    self.line = 0;
                    from = line_end + 2;
                    if octets.get(from) == Some(&b'.') {
                        return (from, None);
                    }
                }
                (Some(b'\r'), None) => {
                    self.at = At::AfterCr;
                    return (octets.len(), None);
                }
                (Some(0), _) => return (line_end + 1, Some(Bad::Nul)),
                // A CR with something else behind it, or an LF with no CR before it.
                _ => return (line_end + 1, Some(Bad::LineEnd)),
            }
        }
    }
}
