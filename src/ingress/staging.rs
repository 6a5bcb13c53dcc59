//! A message on its way into the staging area, and what a client is told where there is no room or a fault of ours.
//! Knows no protocol.

use crate::mail::{ContentBuilder, EnhancedCode, Reply};
use std::io;

/// A message on its way in, or why it cannot be kept.
pub type Staged = Result<ContentBuilder, Reply>;

/// A message that cannot be kept is read to its end, for there is no other place to say so; what was kept of it is let go.
pub fn push(content: &mut Staged, octets: &[u8]) {
    if let Ok(builder) = content
        && let Err(error) = builder.push(octets)
    {
        *content = Err(cannot_store(&error));
    }
}

pub fn cannot_store(error: &io::Error) -> Reply {
    tracing::error!(%error, "cannot stage a message");
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Reply::new(
                452,
                EnhancedCode(4, 3, 1),
                "No room for the message; try again later",
            )
        }
        _ => local_error(),
    }
}

pub fn local_error() -> Reply {
    Reply::new(451, EnhancedCode(4, 3, 0), "Local error; try again later")
}
