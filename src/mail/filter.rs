//! What a filter is to the chain: something that is opened for a transaction and called at its hooks. WASM or built-in makes no difference here.

use super::{
    Address, AuthenticationResult, Envelope, LogLine, Message, Scoped, Session, Symbol,
    TransactionId, Verdict,
};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hook {
    Connect,
    Mail,
    Rcpt,
    Message,
    Deliver,
}

impl Hook {
    pub const ALL: [Self; 5] = [
        Self::Connect,
        Self::Mail,
        Self::Rcpt,
        Self::Message,
        Self::Deliver,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Message => "message",
            Self::Deliver => "deliver",
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The hooks that a filter wants to be asked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hooks(u8);

impl Hooks {
    pub fn contains(self, hook: Hook) -> bool {
        self.0 & (1 << hook as u8) != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = Hook> {
        Hook::ALL
            .into_iter()
            .filter(move |hook| self.contains(*hook))
    }
}

impl FromIterator<Hook> for Hooks {
    fn from_iter<I: IntoIterator<Item = Hook>>(hooks: I) -> Self {
        Self(hooks.into_iter().fold(0, |set, hook| set | 1 << hook as u8))
    }
}

/// A call of a hook, with what is particular to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    Connect,
    Mail,
    Rcpt(Address),
    Message,
    Deliver(Address),
}

impl Call {
    pub fn hook(&self) -> Hook {
        match self {
            Self::Connect => Hook::Connect,
            Self::Mail => Hook::Mail,
            Self::Rcpt(_) => Hook::Rcpt,
            Self::Message => Hook::Message,
            Self::Deliver(_) => Hook::Deliver,
        }
    }

    pub fn recipient(&self) -> Option<&Address> {
        match self {
            Self::Rcpt(address) | Self::Deliver(address) => Some(address),
            _ => None,
        }
    }
}

/// What a filter may look at during one call.
#[derive(Debug, Clone)]
pub struct View {
    /// None at `connect`.
    pub transaction: Option<TransactionId>,
    pub session: Arc<Session>,
    pub envelope: Arc<Envelope>,
    /// From `message` on. At `deliver`, as it stands for that recipient.
    pub message: Option<Message>,
    pub authentication: Arc<[AuthenticationResult]>,
    /// Given so far.
    pub symbols: Vec<Symbol>,
}

/// What came of one call.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    pub result: Result<Verdict, Failure>,
    /// In the order in which they were asked for. Empty if the filter failed.
    pub edits: Vec<Scoped>,
    pub symbols: Vec<Symbol>,
    /// Calls that the host refused, and why.
    pub refused: Vec<String>,
    pub log: Vec<LogLine>,
    pub elapsed: Duration,
    /// Octets of linear memory when the call ended.
    pub memory: u64,
    pub host_calls: u32,
}

/// How a filter failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{kind}: {text}")]
pub struct Failure {
    pub kind: FailureKind,
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    Trap,
    Timeout,
    OutOfMemory,
    /// It answered something that the contract does not allow.
    BadAnswer,
    /// The host could not run it.
    Host,
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trap => "trap",
            Self::Timeout => "timeout",
            Self::OutOfMemory => "out of memory",
            Self::BadAnswer => "bad answer",
            Self::Host => "host",
        })
    }
}

/// What a failure of a filter means for the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnError {
    /// The client is asked to try again later.
    #[default]
    Tempfail,
    /// As if the filter were not there.
    Skip,
    Reject,
    Quarantine,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterInfo {
    pub name: String,
    /// From its manifest, or the first digits of its digest.
    pub version: String,
    pub hooks: Hooks,
    pub on_error: OnError,
}

pub trait Filter: Send + Sync {
    fn info(&self) -> &FilterInfo;

    /// For one transaction (or one connection before its first). Costs nothing until it is called.
    fn open(&self) -> Box<dyn FilterRun>;
}

/// A filter at work on one transaction.
#[async_trait]
pub trait FilterRun: Send {
    /// Called only for hooks that the filter has, one at a time, never again once a call has failed.
    async fn call(&mut self, call: &Call, view: View) -> Outcome;
}
