//! The milter protocol, versions 2 to 6: packets, commands, negotiation, the order of commands, replies and modifications.
//! `Server` speaks for the filter, `client` for the mail server. Knows no filter and decides nothing.
//!
//! There is no standard. The facts are those of Sendmail's libmilter documentation and of Postfix's MILTER_README.

mod client;
#[cfg(test)]
mod client_tests;
mod command;
mod frame;
mod macros;
mod options;
mod response;
mod said;
mod server;
#[cfg(test)]
mod tests;

pub use client::{Client, Heard, Next, Opening, Values, Waiting};
pub use command::{Command, Connect, Family, Path};
pub use frame::{Frames, Packet};
pub use macros::Macros;
pub use options::{Actions, Negotiated, Offer, Stage, Steps, Wants};
pub use response::{Answer, Modification};
pub use said::Said;
pub use server::{Event, Server};

/// Why a connection cannot go on. A mail server takes its end for a failure of the filter, and does what it is configured to do then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    #[error("a packet says that it is {0} octets long; from 1 to {max} are taken", max = frame::MAX)]
    Length(u32),
    #[error("packet {0:?} is not a command of the protocol")]
    Unknown(char),
    #[error("packet {command:?} is malformed: {what}")]
    Malformed { command: char, what: &'static str },
    #[error("packet {0:?} came out of order")]
    Order(char),
    #[error("packet {0:?} asks for what was not agreed on")]
    NotAgreed(char),
    #[error("packet {0:?} is not an answer of the protocol")]
    NotAnAnswer(char),
    #[error(
        "the other side speaks version {0} of the protocol; {oldest} to {newest} are understood",
        oldest = options::OLDEST,
        newest = options::VERSION
    )]
    Version(u32),
    #[error("more macros than a message can need")]
    Macros,
}
