//! The message in chunks: BDAT (RFC 3030 §2). A chunk's length is said before it, so nothing in it can end it.
//! Holds no chunk: what it gives out are slices of what it was given.
//!
//! What is refused is read to its end all the same, or its octets would be taken for commands. Once a chunk failed, those that
//! follow in the transaction get the same reply, for the client may have sent them already (RFC 2920).

use super::command;
use super::data::{Bad, Ended, Fault, Got, Piece, Receiving};
use super::server::{Next, Phase, Server, Step};
use super::{Config, Smuggling, refusal};
use crate::mail::{Body, Replies, Reply};
use memchr::memchr3;

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
    /// Octets of this line, and of the longest so far.
    line: u64,
    longest: u64,
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
    /// How many octets are sound, and what comes behind them if that isn't all. Goes on behind it as if it had been a line end, or nothing.
    fn pass(&mut self, octets: &[u8]) -> (usize, Option<Bad>) {
        let mut rest = octets;
        loop {
            let passed = octets.len() - rest.len();
            match (self.at, rest.split_first()) {
                (At::Anything, _) | (_, None) => return (octets.len(), None),
                (At::AfterCr { empty_line }, Some((b'\n', behind))) => {
                    self.line_end(empty_line);
                    rest = behind;
                }
                (At::AfterCr { empty_line }, _) => {
                    self.line_end(empty_line);
                    return (passed, Some(Bad::CrBefore));
                }
                (At::LineStart | At::Text, _) => {
                    let Some(found) = memchr3(b'\r', b'\n', 0, rest) else {
                        self.line += rest.len() as u64;
                        self.at = At::Text;
                        return (octets.len(), None);
                    };
                    let empty_line = self.at == At::LineStart && found == 0;
                    self.line += found as u64;
                    self.longest = self.longest.max(self.line);
                    match rest.get(found..).and_then(<[u8]>::split_first) {
                        Some((b'\r', behind)) => {
                            self.at = At::AfterCr { empty_line };
                            rest = behind;
                        }
                        Some((0, _)) => {
                            self.at = At::Text;
                            return (passed + found, Some(Bad::Nul));
                        }
                        _ => {
                            self.line_end(empty_line);
                            return (passed + found, Some(Bad::LineEnd));
                        }
                    }
                }
            }
        }
    }

    fn line_end(&mut self, empty_line: bool) {
        self.line = 0;
        self.at = if empty_line && self.header_only {
            At::Anything
        } else {
            At::LineStart
        };
    }

    fn longest(&self) -> u64 {
        self.longest.max(self.line)
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
    /// What goes out before more is looked at.
    pending: &'static [u8],
    fault: Option<Fault>,
}

impl Chunk {
    pub fn next<'i>(&mut self, input: &'i [u8], config: &Config) -> (usize, Got<'i>) {
        let mut used = 0;
        loop {
            if !self.pending.is_empty() {
                return (used, Got::Content(std::mem::take(&mut self.pending)));
            }
            let rest = input.get(used..).unwrap_or_default();
            let count = within(rest.len(), self.left);
            if count == 0 {
                if self.left > 0 {
                    return (used, Got::More);
                }
                // A CR at the very end has no LF to come.
                let lines = &mut self.progress.lines;
                if self.last
                    && let At::AfterCr { empty_line } = lines.at
                {
                    lines.line_end(empty_line);
                    self.bad(Bad::CrBefore, config);
                    continue;
                }
                return (used, Got::End);
            }
            let (octets, _) = rest.split_at(count);
            let (good, bad) = self.progress.lines.pass(octets);
            let taken = good + bad.map_or(0, Bad::len);
            self.left -= taken as u64;
            self.progress.size += taken as u64;
            used += taken;
            if let Some(bad) = bad {
                self.bad(bad, config);
            }
            if self.progress.lines.longest() > config.line {
                self.fault = self.fault.max(Some(Fault::LongLine));
            }
            if self.fault.is_none() && good > 0 {
                let (octets, _) = octets.split_at(good);
                return (used, Got::Content(octets));
            }
        }
    }

    fn bad(&mut self, bad: Bad, config: &Config) {
        match config.smuggling {
            Smuggling::Reject => self.fault = self.fault.max(Some(bad.fault())),
            Smuggling::Normalise => {
                self.pending = bad.normalised();
                self.progress.size += self.pending.len().saturating_sub(bad.len()) as u64;
            }
        }
    }

    pub fn end(self, server: Server) -> Piece<'static> {
        if let Some(fault) = self.fault {
            let reply = fault.reply(&server);
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
    pub fn next(mut self: Box<Self>, there: usize) -> (usize, Result<Box<Self>, Self>) {
        let count = within(there, self.left);
        self.left -= count as u64;
        match self.left {
            0 => (count, Err(*self)),
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
                line: 0,
                longest: 0,
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
            pending: b"",
            fault: None,
        })
    }

    /// Says what is to be said behind a chunk that nobody wanted.
    pub(super) fn drained(mut self, drained: Drain) -> Self {
        let Drain { last, reply, .. } = drained;
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
