//! The message in chunks: BDAT (RFC 3030 §2). A chunk's length is said before it, so nothing in it can end it.
//! Holds no chunk: what it gives out are slices of what it was given.
//!
//! What is refused is read to its end all the same, or its octets would be taken for commands. Once a chunk failed, those that
//! follow in the transaction get the same reply, for the client may have sent them already (RFC 2920).

use super::command;
use super::data::{Ended, Fault, Got, Piece, Receiving};
use super::refusal;
use super::server::{Next, Phase, Server, Step};
use crate::mail::{Body, Replies, Reply};
use memchr::memchr2;

/// How far a message has come by the chunks that were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Progress {
    /// Octets.
    size: u64,
    lines: LineEnds,
}

/// Sees to it that CR and LF stand only together, across chunks, which may end between the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LineEnds {
    at: At,
    /// Of BODY=BINARYMIME only the header has lines (RFC 3030 §3).
    header_only: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    LineStart,
    Text,
    AfterCr {
        empty_line: bool,
    },
    /// Behind the header of a message that may hold anything from there.
    Anything,
}

impl LineEnds {
    /// False if there is a CR or LF that stands alone.
    fn pass(&mut self, octets: &[u8]) -> bool {
        let mut rest = octets;
        loop {
            match (self.at, rest.split_first()) {
                (At::Anything, _) | (_, None) => return true,
                (At::AfterCr { empty_line }, Some((b'\n', behind))) => {
                    self.at = if empty_line && self.header_only {
                        At::Anything
                    } else {
                        At::LineStart
                    };
                    rest = behind;
                }
                (At::AfterCr { .. }, _) => return false,
                (At::LineStart | At::Text, _) => {
                    let Some(found) = memchr2(b'\r', b'\n', rest) else {
                        self.at = At::Text;
                        return true;
                    };
                    let empty_line = self.at == At::LineStart && found == 0;
                    match rest.get(found..).and_then(<[u8]>::split_first) {
                        Some((b'\r', behind)) => {
                            self.at = At::AfterCr { empty_line };
                            rest = behind;
                        }
                        _ => return false,
                    }
                }
            }
        }
    }
}

/// A chunk that is being read.
#[derive(Debug)]
pub(super) struct Chunk {
    /// Octets to come.
    left: u64,
    /// All of its octets.
    size: u64,
    last: bool,
    /// Of the message, this chunk included as far as it was read.
    progress: Progress,
    sound: bool,
}

impl Chunk {
    pub fn next<'i>(&mut self, input: &'i [u8]) -> (usize, Got<'i>) {
        let count = within(input.len(), self.left);
        let (octets, _) = input.split_at(count);
        self.left -= count as u64;
        if self.sound && count > 0 {
            self.progress.size += count as u64;
            self.sound = self.progress.lines.pass(octets);
            if self.sound {
                return (count, Got::Content(octets));
            }
        }
        match self.left {
            0 => (count, Got::End),
            _ => (count, Got::More),
        }
    }

    pub fn end(mut self, server: Server) -> Piece<'static> {
        // A CR at the very end has no LF to come.
        if self.last && matches!(self.progress.lines.at, At::AfterCr { .. }) {
            self.sound = false;
        }
        if !self.sound {
            let reply = Fault::BareLineEnd.reply(&server);
            Piece::Refused(server.chunk_failed(reply, self.last))
        } else if self.last {
            Piece::End(Ended::new(server))
        } else {
            Piece::Chunk(Taken {
                server,
                chunk: self,
            })
        }
    }
}

/// How many of `there` octets are among the `left`.
fn within(there: usize, left: u64) -> usize {
    usize::try_from(left).map_or(there, |left| left.min(there))
}

/// A chunk that isn't the last, read to its end, waits for its reply.
#[derive(Debug)]
pub struct Taken {
    server: Server,
    chunk: Chunk,
}

impl Taken {
    pub fn accept(self) -> Server {
        let mut server = self.server;
        if let Phase::Transaction(open) = &mut server.phase {
            open.chunks = Some(self.chunk.progress);
        }
        let text = format!("250 2.0.0 {} octets received\r\n", self.chunk.size);
        server.say(text.as_bytes());
        server
    }

    /// The message is refused with it.
    pub fn refuse(self, reply: Reply) -> Server {
        self.server.chunk_failed(reply, false)
    }
}

/// A chunk that is read for nothing, and what is said behind it.
#[derive(Debug)]
pub(super) struct Drain {
    left: u64,
    last: bool,
    reply: Reply,
}

impl Drain {
    /// How many of so many octets are used; what is left to drain, or else the drained chunk.
    pub fn next(mut self: Box<Self>, there: usize) -> (usize, Result<Box<Self>, Box<Self>>) {
        let count = within(there, self.left);
        self.left -= count as u64;
        match self.left {
            0 => (count, Err(self)),
            _ => (count, Ok(self)),
        }
    }
}

impl Server {
    pub(super) fn bdat(mut self, size: u64, last: Result<bool, Reply>) -> Next {
        match self.chunk(size, last) {
            Ok(chunk) => Next::Step(Step::Chunk(Receiving::chunk(self, chunk))),
            Err(drain) => {
                // The caller is told when a message that it holds a part of has failed.
                let told = self.failed.is_some()
                    || !matches!(self.phase, Phase::Transaction(open) if open.chunks.is_some());
                self.drain = Some(Box::new(drain));
                match told {
                    true => Next::Line(self),
                    false => Next::Step(Step::Reset(self)),
                }
            }
        }
    }

    /// Whether the chunk can be taken; if not, it is to be drained.
    fn chunk(&self, size: u64, last: Result<bool, Reply>) -> Result<Chunk, Drain> {
        let is_last = *last.as_ref().unwrap_or(&false);
        let drain = |reply| Drain {
            left: size,
            last: is_last,
            reply,
        };
        let Phase::Transaction(open) = self.phase else {
            return Err(drain(refusal(503, (5, 5, 1), "Say MAIL and RCPT first")));
        };
        if let Some(reply) = &self.failed {
            return Err(drain(Reply::clone(reply)));
        }
        if open.accepted == 0 {
            return Err(drain(self.no_recipients(open)));
        }
        let last = last.map_err(drain)?;
        let progress = open.chunks.unwrap_or(Progress {
            size: 0,
            lines: LineEnds {
                at: At::LineStart,
                header_only: open.body == Body::Binary,
            },
        });
        if progress.size.saturating_add(size) > self.config().size {
            return Err(drain(command::too_large(self.config())));
        }
        Ok(Chunk {
            left: size,
            size,
            last,
            progress,
            sound: true,
        })
    }

    /// Says what is to be said behind a chunk that nobody wanted.
    pub(super) fn drained(mut self, drained: Box<Drain>) -> Self {
        let Drain { last, reply, .. } = *drained;
        if let Phase::Transaction(_) = self.phase {
            return self.chunk_failed(reply, last);
        }
        self.refuse(&reply);
        self
    }

    /// The message is refused. The transaction stays open up to the last chunk, so that those on their way find it.
    pub(super) fn chunk_failed(mut self, reply: Reply, last: bool) -> Self {
        if last {
            return self.message_done(&Replies::All(reply));
        }
        match self.failed {
            None => self.refuse(&reply),
            // One fault is counted once.
            Some(_) => reply.write_to(&mut self.output),
        }
        self.failed = Some(Box::new(reply));
        self
    }
}
