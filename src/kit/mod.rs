//! What the author of a filter works with: cases, the builder, the folder to start from. Prints nothing, and knows nothing of servers.

mod body;
mod build;
mod case;
mod empty;
mod expect;
mod junit;
mod measure;
mod messages;
mod new;
mod play;
mod recordings;
mod replay;
mod stage;
mod suite;

pub use body::{body_diff, body_edits};
pub use build::{BuildError, Built, build};
pub use case::{Case, CaseError};
pub use empty::empty;
pub use expect::{Difference, Expect, Observed};
pub use junit::junit;
pub use measure::{Cost, measure};
pub use messages::Messages;
pub use new::{NewError, create};
pub use play::{Done, Play, play};
pub use replay::{Changed, Originals, Replay, Table};
pub use stage::Stage;
pub use suite::{CaseEnd, CaseReport, Report, SuiteError, run_cases};

use crate::mail::Content;
use std::io;
use std::path::Path;

/// A message with CRLF line ends, as it has when it comes by SMTP.
pub fn read_message(path: &Path) -> io::Result<Content> {
    Ok(Content::from_bytes(with_crlf(&std::fs::read(path)?)))
}

fn with_crlf(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len());
    for line in octets.split_inclusive(|octet| *octet == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        out.extend_from_slice(text);
        out.extend_from_slice(b"\r\n");
    }
    out
}
