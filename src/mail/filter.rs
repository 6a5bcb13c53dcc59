//! What a filter is to the chain: something that is opened for a transaction and called at its hooks. WASM or built-in makes no difference here.

use super::{
    Address, AuthenticationResult, EnhancedCode, Envelope, HostCall, LogLine, Message, Reply,
    Scoped, Session, Symbol, Tags, TransactionId, Verdict,
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
    Helo,
    Mail,
    Rcpt,
    Message,
    Deliver,
    Relay,
    Outcome,
    Moved,
}

impl Hook {
    /// In the order in which a transaction comes to them.
    pub const ALL: [Self; 9] = [
        Self::Connect,
        Self::Helo,
        Self::Mail,
        Self::Rcpt,
        Self::Message,
        Self::Deliver,
        Self::Relay,
        Self::Outcome,
        Self::Moved,
    ];

    /// Whether somebody waits for a verdict there.
    pub fn is_answered(self) -> bool {
        !matches!(self, Self::Outcome | Self::Moved)
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|hook| hook.name() == name)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Helo => "helo",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Message => "message",
            Self::Deliver => "deliver",
            Self::Relay => "relay",
            Self::Outcome => "outcome",
            Self::Moved => "moved",
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
pub struct Hooks(u16);

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
    /// The name that the client gave.
    Helo(String),
    Mail,
    Rcpt(Address),
    Message,
    Deliver(Address),
    Relay {
        recipient: Address,
        next_hop: String,
    },
    Outcome(Became),
    Moved(Moved),
}

/// What became of a message for one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Became {
    pub recipient: Address,
    pub what: What,
    /// The mailbox or the next hop; empty where there is none.
    pub place: String,
    /// Why, or what the next hop said.
    pub detail: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Delivered,
    Deferred,
    Bounced,
    Quarantined,
    Discarded,
    Refused,
}

impl What {
    pub fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Deferred => "deferred",
            Self::Bounced => "bounced",
            Self::Quarantined => "quarantined",
            Self::Discarded => "discarded",
            Self::Refused => "refused",
        }
    }
}

impl fmt::Display for Became {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what.name())?;
        if !self.place.is_empty() {
            write!(f, " {}", self.place)?;
        }
        Ok(())
    }
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.account, self.from)?;
        if self.to != self.from {
            write!(f, " to {}", self.to)?;
        }
        for flag in &self.added {
            write!(f, " +{flag}")?;
        }
        for flag in &self.removed {
            write!(f, " -{flag}")?;
        }
        Ok(())
    }
}

/// What a person did with a message in a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    pub account: String,
    pub from: String,
    /// The same where only flags changed.
    pub to: String,
    pub added: Vec<String>,
    pub removed: Vec<String>,
}

impl Call {
    pub fn hook(&self) -> Hook {
        match self {
            Self::Connect => Hook::Connect,
            Self::Helo(_) => Hook::Helo,
            Self::Mail => Hook::Mail,
            Self::Rcpt(_) => Hook::Rcpt,
            Self::Message => Hook::Message,
            Self::Deliver(_) => Hook::Deliver,
            Self::Relay { .. } => Hook::Relay,
            Self::Outcome(_) => Hook::Outcome,
            Self::Moved(_) => Hook::Moved,
        }
    }

    /// The recipient that it is for.
    pub fn recipient(&self) -> Option<&Address> {
        match self {
            Self::Rcpt(address) | Self::Deliver(address) => Some(address),
            Self::Relay { recipient, .. } => Some(recipient),
            Self::Outcome(became) => Some(&became.recipient),
            Self::Connect | Self::Helo(_) | Self::Mail | Self::Message | Self::Moved(_) => None,
        }
    }

    /// What else is particular to it, for people to read.
    pub fn about(&self) -> Option<String> {
        match self {
            Self::Helo(name) => Some(name.clone()),
            Self::Relay { next_hop, .. } => Some(next_hop.clone()),
            Self::Outcome(became) => Some(became.to_string()),
            Self::Moved(moved) => Some(moved.to_string()),
            _ => None,
        }
    }
}

/// What a filter may look at during one call.
#[derive(Debug, Clone)]
pub struct View {
    /// None at `connect` and `helo`, and at `moved` for what did not come through here.
    pub transaction: Option<TransactionId>,
    pub session: Arc<Session>,
    pub envelope: Arc<Envelope>,
    /// From `message` on, but not at `outcome`. At `deliver`, as it stands for that recipient; at `moved`, the stored copy.
    pub message: Option<Message>,
    pub authentication: Arc<[AuthenticationResult]>,
    /// Given so far.
    pub symbols: Arc<Vec<Symbol>>,
    /// Of the connection and of the transaction.
    pub tags: Arc<Tags>,
    /// The names of those that it can be handed to; empty where messages go into mailboxes here, or are somebody else's.
    pub next_hops: Arc<[String]>,
}

/// How a version of a filter takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    #[default]
    Active,
    /// It runs beside the active one; what it says is journalled and has no effect.
    Shadow,
    /// It runs in place of the active one in some transactions.
    Canary,
}

impl Mode {
    pub fn is_active(&self) -> bool {
        *self == Self::Active
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Shadow => "shadow",
            Self::Canary => "canary",
        }
    }
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
    /// Those of services.
    pub calls: Vec<HostCall>,
    pub mode: Mode,
    /// Who answered, where that is another version than [`Filter::info`] tells of.
    pub by: Option<Arc<FilterInfo>>,
    /// What a shadow said to the same call.
    pub beside: Option<Box<Outcome>>,
}

impl Outcome {
    /// Nothing but an answer.
    pub fn new(result: Result<Verdict, Failure>) -> Self {
        Self {
            result,
            edits: Vec::new(),
            symbols: Vec::new(),
            refused: Vec::new(),
            log: Vec::new(),
            elapsed: Duration::ZERO,
            memory: 0,
            host_calls: 0,
            calls: Vec::new(),
            mode: Mode::Active,
            by: None,
            beside: None,
        }
    }
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
    /// It was not run: it failed too often lately.
    BreakerOpen,
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trap => "trap",
            Self::Timeout => "timeout",
            Self::OutOfMemory => "out of memory",
            Self::BadAnswer => "bad answer",
            Self::Host => "host",
            Self::BreakerOpen => "breaker open",
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

impl OnError {
    /// What the failure of this filter at this hook counts as. Where nobody waits, nothing.
    pub fn verdict(self, filter: &str, hook: Hook) -> Verdict {
        match self {
            _ if !hook.is_answered() => Verdict::Continue,
            Self::Skip => Verdict::Continue,
            Self::Tempfail => Verdict::Tempfail(Reply::new(
                451,
                EnhancedCode(4, 3, 0),
                "A filter failed; please try again later",
            )),
            Self::Reject => Verdict::Reject(Reply::new(
                554,
                EnhancedCode(5, 3, 0),
                "A filter failed; the message is refused",
            )),
            Self::Quarantine => Verdict::Quarantine(format!("filter {filter} failed at {hook}")),
        }
    }
}

/// What a filter can do that costs something to make possible, by what it imports. A protocol asks its peer for no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Uses {
    /// Reads or changes the body.
    pub body: bool,
    pub header_edit: bool,
    pub body_edit: bool,
    pub envelope_edit: bool,
}

impl Uses {
    /// By the names of the contract's interfaces.
    pub fn of<'a>(abilities: impl IntoIterator<Item = &'a str>) -> Self {
        let mut uses = Self::default();
        for ability in abilities {
            match ability {
                "body" => uses.body = true,
                "header-edit" => uses.header_edit = true,
                // An edit of a part needs the whole, and may change the header's MIME fields.
                "body-edit" => {
                    uses.body = true;
                    uses.body_edit = true;
                    uses.header_edit = true;
                }
                "envelope-edit" => uses.envelope_edit = true,
                _ => {}
            }
        }
        uses
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilterInfo {
    pub name: String,
    /// From its manifest, or the first digits of its digest.
    pub version: String,
    pub hooks: Hooks,
    pub uses: Uses,
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
