//! The server's side of SMTP (RFC 5321) and LMTP (RFC 2033) as a state machine that is fed octets and asks its caller.
//! Reads no sockets, keeps no time, stores no message.
//!
//! [`Server::next`] takes octets and ends in a [`Step`]: a question that only the caller can answer (each its own type, so that
//! it can be answered once and in no other way), or a request to send what is in `output` and read on.
//! Answering gives the machine back. Between `DATA` and its end, and in a chunk of `BDAT`, the machine is a [`Receiving`], which hands
//! the message out in slices of the very octets that it was fed. LMTP is the same machine with another [`Dialect`].
//!
//! Extensions: PIPELINING (RFC 2920), SIZE (RFC 1870), 8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531), ENHANCEDSTATUSCODES (RFC 2034),
//! STARTTLS (RFC 3207), CHUNKING and BINARYMIME (RFC 3030), DSN (RFC 3461), LIMITS (RFC 9422), REQUIRETLS (RFC 8689); XCLIENT and XFORWARD (Postfix).

pub mod arguments;
mod chunk;
pub mod client;
mod command;
mod data;
mod dsn;
mod handover;
mod line;
mod offer;
mod path;
mod server;

pub use chunk::Taken;
pub use command::{Hello, Mail};
pub use data::{Ended, Piece, Receiving};
pub use handover::{Told, Trust, Xclient, Xforward};
pub use server::{Asked, Data, Farewell, Security, Server, Step};

use crate::mail::{EnhancedCode, Reply};

/// What a server says of itself and how much it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub dialect: Dialect,
    /// In the greeting and the reply to EHLO.
    pub hostname: String,
    /// The domain of `RCPT TO:<postmaster>` (RFC 5321 §4.5.1).
    pub postmaster_domain: String,
    /// Largest message, in octets.
    pub size: u64,
    /// Recipients of one message; RFC 5321 §4.5.3.1.8 wants at least 100.
    pub recipients: usize,
    /// What becomes of a message that another server could read otherwise than we do.
    pub smuggling: Smuggling,
    /// Octets of the longest line of a message.
    pub line: u64,
    /// Refusals after which the client is sent away; a message that was taken sets these three counts back.
    pub errors: u32,
    pub blame: Blame,
    /// Commands after which it is.
    pub commands: u32,
    /// Commands after which it is, of those that bring no message: HELO, RSET, NOOP, VRFY, EXPN, HELP and their like.
    pub idle_commands: u32,
    /// Whether DSN (RFC 3461) is offered. Its parameters are taken either way.
    pub dsn: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            dialect: Dialect::Smtp,
            hostname: "localhost".to_owned(),
            postmaster_domain: "localhost".to_owned(),
            size: 50 * 1024 * 1024,
            recipients: 1000,
            smuggling: Smuggling::Reject,
            line: 1024 * 1024,
            errors: 20,
            blame: Blame::Refusals,
            commands: 10_000,
            idle_commands: 100,
            dsn: false,
        }
    }
}

/// A CR or LF that is not part of a CRLF, and a NUL, in a text message. None of them ever ends a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Smuggling {
    /// The message is refused.
    Reject,
    /// The message is taken with each such CR and LF made a CRLF, and each NUL left out.
    Normalise,
}

/// What counts as an error of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// All that is refused for good: who hears that over and over is guessing or broken.
    Refusals,
    /// Commands that are wrong as such. What the caller refuses is somebody else's word that a mail server is told of its mail.
    Faults,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Smtp,
    /// A reply for each recipient after the message (RFC 2033 §4.2), so that the sender needs no queue behind us.
    Lmtp,
}

impl Dialect {
    /// The word that opens a session with extensions.
    fn hello(self) -> &'static str {
        match self {
            Self::Smtp => "EHLO",
            Self::Lmtp => "LHLO",
        }
    }

    /// In the greeting.
    fn name(self) -> &'static str {
        match self {
            Self::Smtp => "ESMTP",
            Self::Lmtp => "LMTP",
        }
    }

    fn not_this(self) -> String {
        format!("This is {}: say {}", self.name(), self.hello())
    }
}

fn refusal(code: u16, (class, subject, detail): (u8, u16, u16), text: &str) -> Reply {
    Reply::new(code, EnhancedCode(class, subject, detail), text)
}

/// A fault in the wording of a command (RFC 5321 §4.3.2: 501).
fn syntax(text: &str) -> Reply {
    refusal(501, (5, 5, 4), text)
}

fn given_twice() -> Reply {
    syntax("Syntax error: a parameter is given twice")
}

/// RFC 5321 §4.1.1.11. A reply's line is no longer than 512 octets (§4.5.3.1.5), whatever the client said.
fn unknown_parameter(keyword: &str) -> Reply {
    let keyword: String = keyword.chars().take(64).collect();
    refusal(
        555,
        (5, 5, 4),
        &format!("Parameter {keyword} is not supported"),
    )
}

#[cfg(test)]
mod tests;
