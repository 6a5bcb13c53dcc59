//! Verdicts and replies, and what a filter is told of what it asked for.

use crate::bindings::types::Scope;
use crate::{Refusal, Reply, Verdict};

impl Verdict {
    /// 550 5.7.1 with this text: refused for good, by policy (RFC 3463 §3.8).
    pub fn reject(text: impl Into<String>) -> Self {
        Self::Reject(Reply::new(550, (5, 7, 1), text))
    }

    /// 451 4.7.1 with this text: refused for now, the client tries again later.
    pub fn tempfail(text: impl Into<String>) -> Self {
        Self::Tempfail(Reply::new(451, (4, 7, 1), text))
    }

    /// Taken from the client and set aside.
    pub fn quarantine(reason: impl Into<String>) -> Self {
        Self::Quarantine(reason.into())
    }
}

impl Reply {
    /// `code` is 400 to 499 in a `Tempfail` and 500 to 599 in a `Reject`, and its first digit is that of `enhanced`
    /// (RFC 3463 §2); anything else counts as a failure of the filter. Each line of `text` becomes a line of the reply.
    pub fn new(code: u16, enhanced: (u8, u16, u16), text: impl Into<String>) -> Self {
        Self {
            code,
            enhanced,
            lines: text.into().lines().map(str::to_owned).collect(),
        }
    }
}

/// What the host said to something a filter asked for. It may be ignored: a refusal is in the journal either way.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked(Result<(), Refusal>);

impl Asked {
    pub fn is_granted(&self) -> bool {
        self.0.is_ok()
    }

    /// Why it was refused, if it was.
    pub fn refusal(&self) -> Option<&Refusal> {
        self.0.as_ref().err()
    }

    /// For `?`.
    pub fn result(self) -> Result<(), Refusal> {
        self.0
    }
}

impl From<Result<(), Refusal>> for Asked {
    fn from(result: Result<(), Refusal>) -> Self {
        Self(result)
    }
}

impl Refusal {
    /// What was wrong and what to change.
    pub fn text(&self) -> &str {
        match self {
            Self::NotGranted(text)
            | Self::TooMuch(text)
            | Self::BadValue(text)
            | Self::NoSuchThing(text)
            | Self::Failed(text) => text,
        }
    }
}

/// Those recipients only, as the envelope names them.
pub(crate) fn only(recipients: &[&str]) -> Scope {
    Scope::Only(
        recipients
            .iter()
            .map(|&recipient| recipient.to_owned())
            .collect(),
    )
}
