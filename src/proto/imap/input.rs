//! What a client sends, as events: commands with their literals, and the message of APPEND in pieces, never whole.
//! Decides nothing about sessions: who may send what, and when, is the caller's part.

use super::nesting;
use bytes::{Bytes, BytesMut};
use imap_codec::CommandCodec;
use imap_codec::decode::Decoder;
use imap_types::command::{Command, CommandBody};
use imap_types::datetime::DateTime;
use imap_types::extensions::binary::LiteralOrLiteral8;
use imap_types::flag::Flag;
use imap_types::mailbox::Mailbox;
use memchr::memchr;

/// The end of an over-long line that is kept, to see the literal that it may announce.
const TAIL: usize = 32;
/// Octets of a tag that are repeated in an answer.
const TAG_MAX: usize = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Octets of one command with its literals, without the message of APPEND.
    pub command: usize,
    /// Octets of a command or literal that is too large and is skipped to its end. Past that the connection ends (RFC 7888 §4).
    pub skip: u64,
}

/// What the next line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    Command,
    /// An answer to a continuation request: of AUTHENTICATE or IDLE.
    Answer,
}

/// APPEND up to its message. The caller says `accept` or `refuse` before anything else comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    pub tag: String,
    pub mailbox: Mailbox<'static>,
    pub flags: Vec<Flag<'static>>,
    pub date: Option<DateTime>,
    pub length: u64,
    /// The client waits for a continuation request.
    pub waits: bool,
}

/// A command that cannot be understood, and is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// `None` if not even that could be read.
    pub tag: Option<String>,
    pub reason: &'static str,
    /// It was too large, not wrong.
    pub too_large: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Command(Box<Command<'static>>),
    Answer(Vec<u8>),
    /// A literal was announced that may come: send a continuation request.
    Continue,
    Append(Append),
    /// Of the message of APPEND.
    Octets(Bytes),
    /// The message of APPEND is complete, and so is the command.
    AppendEnd,
    Invalid(Invalid),
    /// There is no way to go on: say BYE.
    Fatal(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Line,
    Literal(u64),
    /// Waits for `accept` or `refuse`.
    Appending {
        length: u64,
        waits: bool,
    },
    Message(u64),
    AfterMessage,
    Dead,
}

/// The rest of a command that is not to be used is skipped to its end.
#[derive(Debug)]
enum Skip {
    /// The client has its answer.
    Answered,
    Invalid(Invalid),
}

#[derive(Debug)]
pub struct Input {
    limits: Limits,
    unread: BytesMut,
    state: State,
    /// The command so far.
    command: Vec<u8>,
    skip: Option<Skip>,
    /// While skipping: the last octets of the line.
    tail: Vec<u8>,
    skipped: u64,
}

impl Input {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            unread: BytesMut::new(),
            state: State::Line,
            command: Vec::new(),
            skip: None,
            tail: Vec::new(),
            skipped: 0,
        }
    }

    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// To be called when `next` wants more: what is pushed is kept until it is asked for.
    pub fn push(&mut self, octets: &[u8]) {
        self.unread.extend_from_slice(octets);
    }

    /// `None`: more octets are needed.
    pub fn next(&mut self, expect: Expect) -> Option<Event> {
        loop {
            if self.skipped > self.limits.skip {
                self.state = State::Dead;
                self.skipped = 0;
                return Some(Event::Fatal("the command is too long"));
            }
            match self.state {
                State::Dead | State::Appending { .. } => return None,
                State::Message(0) => self.state = State::AfterMessage,
                State::Message(left) => {
                    let octets = self.take(left)?;
                    self.state = State::Message(left - octets.len() as u64);
                    return Some(Event::Octets(octets));
                }
                State::Literal(0) => self.state = State::Line,
                State::Literal(left) => {
                    let octets = self.take(left)?;
                    self.state = State::Literal(left - octets.len() as u64);
                    match self.skip {
                        None => self.command.extend_from_slice(&octets),
                        Some(_) => self.skipped += octets.len() as u64,
                    }
                }
                State::Line | State::AfterMessage => {
                    if self.unread.is_empty() {
                        // A session that waits keeps no buffer.
                        self.unread = BytesMut::new();
                        return None;
                    }
                    if self.read_line()
                        && let Some(event) = self.line(expect)
                    {
                        return Some(event);
                    }
                }
            }
        }
    }

    /// The message of APPEND may come.
    pub fn accept(&mut self) {
        if let State::Appending { length, .. } = self.state {
            self.state = State::Message(length);
            self.command.clear();
        }
    }

    /// The message of APPEND is not wanted, and the command is answered. What of it was sent unasked is skipped.
    pub fn refuse(&mut self) {
        if let State::Appending { length, waits } = self.state {
            self.command.clear();
            self.state = State::Line;
            if !waits {
                self.skip = Some(Skip::Answered);
                self.state = State::Literal(length);
            }
        }
    }

    fn take(&mut self, at_most: u64) -> Option<Bytes> {
        let length = at_most.min(self.unread.len() as u64) as usize;
        (length > 0).then(|| self.unread.split_to(length).freeze())
    }

    /// Moves one line, or what there is of it, to the command. Whether its end was seen.
    fn read_line(&mut self) -> bool {
        let end = memchr(b'\n', &self.unread);
        let length = end.map_or(self.unread.len(), |at| at + 1);
        let line = self.unread.split_to(length);
        if self.skip.is_none() {
            if self.command.len() + length <= self.limits.command {
                self.command.extend_from_slice(&line);
                return end.is_some();
            }
            let start = line.get(..line.len().min(TAG_MAX + 1)).unwrap_or_default();
            self.command.extend_from_slice(start);
            self.skip_command(tag(&self.command), "the command is too long", true);
        }
        self.skipped += length as u64;
        let tail = line.get(length.saturating_sub(TAIL)..).unwrap_or_default();
        self.tail.extend_from_slice(tail);
        let extra = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..extra);
        end.is_some()
    }

    fn skip_command(&mut self, tag: Option<String>, reason: &'static str, too_large: bool) {
        self.skip = Some(Skip::Invalid(Invalid {
            tag,
            reason,
            too_large,
        }));
        self.tail = std::mem::take(&mut self.command);
        let extra = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..extra);
    }

    /// At the end of a line.
    fn line(&mut self, expect: Expect) -> Option<Event> {
        if self.skip.is_none() {
            if self.state == State::AfterMessage {
                if self.command == b"\r\n" {
                    self.command.clear();
                    self.state = State::Line;
                    return Some(Event::AppendEnd);
                }
                // The line is the end of a command: no tag is in it.
                let reason = "APPEND takes one message, and ends with it";
                self.skip_command(None, reason, false);
            } else if expect == Expect::Answer {
                let mut answer = std::mem::take(&mut self.command);
                answer.truncate(answer.trim_ascii_end().len());
                return Some(Event::Answer(answer));
            }
        }
        let line = match self.skip {
            Some(_) => &self.tail,
            None => &self.command,
        };
        match (announced(line), &self.skip) {
            (Some((length, waits)), _) => self.literal(length, waits),
            (None, None) => Some(self.decode()),
            (None, Some(_)) => self.end_skipping(),
        }
    }

    fn end_skipping(&mut self) -> Option<Event> {
        self.state = State::Line;
        self.tail = Vec::new();
        self.skipped = 0;
        match self.skip.take() {
            Some(Skip::Invalid(invalid)) => Some(Event::Invalid(invalid)),
            Some(Skip::Answered) | None => None,
        }
    }

    fn literal(&mut self, length: u64, waits: bool) -> Option<Event> {
        if self.skip.is_none() {
            match self.append(length, waits) {
                Ok(Some(append)) => {
                    self.state = State::Appending { length, waits };
                    return Some(Event::Append(append));
                }
                Err(reason) => self.skip_command(tag(&self.command), reason, false),
                Ok(None) if self.command.len() as u64 + length <= self.limits.command as u64 => {
                    self.state = State::Literal(length);
                    return waits.then_some(Event::Continue);
                }
                Ok(None) => self.skip_command(tag(&self.command), "the literal is too large", true),
            }
        }
        if waits {
            // Without a continuation request the client does not send it, and the command is over (RFC 3501 §7.5).
            return self.end_skipping();
        }
        self.tail.clear();
        self.state = State::Literal(length);
        if length > self.limits.skip {
            self.state = State::Dead;
            return Some(Event::Fatal("the literal is too large"));
        }
        None
    }

    /// If the command so far is APPEND up to its message. It is read as if the message were empty and the command over.
    fn append(&self, length: u64, waits: bool) -> Result<Option<Append>, &'static str> {
        let is_append = word(&self.command, 1).is_some_and(|w| w.eq_ignore_ascii_case(b"APPEND"));
        let open = self.command.iter().rposition(|b| *b == b'{');
        let (true, Some(open)) = (is_append, open) else {
            return Ok(None);
        };
        let mut probe = self.command.get(..open).unwrap_or_default().to_vec();
        probe.extend_from_slice(b"{0}\r\n\r\n");
        match CommandCodec::default().decode_static(&probe) {
            Ok((_, command)) => match command.body {
                CommandBody::Append {
                    mailbox,
                    flags,
                    date,
                    message: LiteralOrLiteral8::Literal(_),
                } => Ok(Some(Append {
                    tag: command.tag.as_ref().to_owned(),
                    mailbox,
                    flags,
                    date,
                    length,
                    waits,
                })),
                _ => Err("this server has no BINARY (RFC 3516)"),
            },
            Err(_) => Ok(None),
        }
    }

    fn decode(&mut self) -> Event {
        let command = std::mem::take(&mut self.command);
        match CommandCodec::default().decode_static(&command) {
            Ok(([], command)) => Event::Command(Box::new(command)),
            _ if nesting::is_too_deep(&command) => Event::Invalid(Invalid {
                tag: tag(&command),
                reason: "the search keys are too deeply nested: eight levels of NOT, OR and parentheses are taken",
                too_large: true,
            }),
            _ => Event::Invalid(Invalid {
                tag: tag(&command),
                reason: complaint(&command),
                too_large: false,
            }),
        }
    }
}

/// The literal that a line ends with: its length and whether the client waits (RFC 3501 §4.3, RFC 7888).
fn announced(line: &[u8]) -> Option<(u64, bool)> {
    let line = line.strip_suffix(b"\r\n")?.strip_suffix(b"}")?;
    let (line, waits) = match line.strip_suffix(b"+") {
        Some(line) => (line, false),
        None => (line, true),
    };
    let open = line.iter().rposition(|b| *b == b'{')?;
    let digits = std::str::from_utf8(line.get(open + 1..)?).ok()?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some((digits.parse().ok()?, waits))
}

fn word(line: &[u8], nth: usize) -> Option<&[u8]> {
    let end = line.len() - usize::from(line.ends_with(b"\n"));
    line.get(..end)?
        .trim_ascii_end()
        .split(|b| *b == b' ')
        .nth(nth)
}

/// RFC 3501 §9: any ASTRING-CHAR but '+'.
fn tag(line: &[u8]) -> Option<String> {
    let tag = word(line, 0)?;
    let fine = |b: &u8| b.is_ascii_graphic() && !b"(){%*\"\\+".contains(b);
    (!tag.is_empty() && tag.len() <= TAG_MAX && tag.iter().all(fine))
        .then(|| String::from_utf8_lossy(tag).into_owned())
}

/// What to say of a command that could not be read. Nothing of it is repeated: it may hold a password.
fn complaint(line: &[u8]) -> &'static str {
    const KNOWN: [&str; 31] = [
        "APPEND",
        "AUTHENTICATE",
        "CAPABILITY",
        "CHECK",
        "CLOSE",
        "COPY",
        "CREATE",
        "DELETE",
        "ENABLE",
        "EXAMINE",
        "EXPUNGE",
        "FETCH",
        "ID",
        "IDLE",
        "LIST",
        "LOGIN",
        "LOGOUT",
        "LSUB",
        "MOVE",
        "NAMESPACE",
        "NOOP",
        "RENAME",
        "SEARCH",
        "SELECT",
        "STARTTLS",
        "STATUS",
        "STORE",
        "SUBSCRIBE",
        "UID",
        "UNSELECT",
        "UNSUBSCRIBE",
    ];
    if !line.ends_with(b"\r\n") {
        return "a line ends with CR and LF";
    }
    if line.contains(&0) {
        return "a NUL cannot stand in a command";
    }
    if tag(line).is_none() {
        return "a command starts with a tag";
    }
    let Some(name) = word(line, 1) else {
        return "a command follows the tag";
    };
    if KNOWN
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
    {
        "the arguments are not right (RFC 3501 section 9)"
    } else {
        "this server has no such command"
    }
}

#[cfg(test)]
#[path = "input_tests.rs"]
mod tests;
