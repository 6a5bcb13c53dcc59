//! The client's side of SMTP (RFC 5321) and LMTP (RFC 2033) as a state machine that is fed octets and says what the server answered.
//! Opens no connection, keeps no time, holds no message.
//!
//! [`Client`] waits for a reply: [`Client::next`] takes octets and ends in a [`Step`]. Between replies the machine is what can be done
//! next: a [`Ready`] can begin a transaction, an [`Open`] one takes recipients and then the message, [`Sending`] takes its octets. One
//! command is on its way at a time, so that each reply is to what was asked.
//!
//! Extensions that are used where they are offered: SIZE, 8BITMIME, SMTPUTF8, CHUNKING, BINARYMIME, DSN, STARTTLS, REQUIRETLS; XFORWARD and XCLIENT.

mod extensions;
mod facts;
mod machine;
mod reply;
mod stuffing;
#[cfg(test)]
mod tests;
mod unsaid;

pub use extensions::Extensions;
pub use facts::Facts;
pub use machine::{After, Awaiting, Client, Open, Ready, Sending, Step};
pub use unsaid::Unsaid;

/// What no server says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("a line of its reply has more than {} octets", reply::LINE_MAX)]
    LongLine,
    #[error("its reply has more than {} lines", reply::LINES_MAX)]
    LongReply,
    #[error("{0:?} is no reply")]
    NotAReply(String),
    #[error("the lines of its reply have different codes")]
    MixedCodes,
    #[error("it answered {0}, which means nothing there")]
    Unexpected(u16),
}
