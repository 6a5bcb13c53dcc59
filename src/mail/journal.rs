//! The journal of one transaction: who did what to it, when, and at what cost. It is stored with the message and explains it.

use super::{
    Address, AuthenticationResult, Departure, Envelope, Failure, Hook, Released, Scoped, Session,
    Symbol, TransactionId, Verdict,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    pub level: String,
    pub text: String,
}

/// One call of a service of the host: what was asked and what came of it, both cut short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostCall {
    /// "kv.get", "dns.lookup" …; "further calls" for those that are only counted.
    pub what: String,
    pub argument: String,
    pub result: String,
    pub elapsed: Duration,
}

/// One call of one hook of one filter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Turn {
    pub filter: String,
    pub version: String,
    pub hook: Hook,
    /// The recipient that the hook was called for, at `rcpt` and `deliver`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<Address>,
    /// What the filter answered, or how it failed.
    pub result: Result<Verdict, Failure>,
    /// The verdict that counted: its answer, or what its `on-error` made of the failure.
    pub verdict: Verdict,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub symbols: Vec<Symbol>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<Scoped>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<LogLine>,
    pub elapsed: Duration,
    /// Octets of linear memory when the hook returned.
    pub memory: u64,
    /// Calls into the host.
    pub host_calls: u32,
    /// Those of services: kv, dns, http, metrics.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<HostCall>,
}

/// Where the message went for one recipient.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Where {
    pub recipient: Address,
    pub disposition: Disposition,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disposition {
    /// In a mailbox, under this UID.
    Filed {
        mailbox: String,
        uid: u32,
        why: String,
    },
    Discarded {
        why: String,
    },
    Refused {
        reply: String,
    },
    /// Left to the mail server that asked, which does this with it.
    Passed {
        how: String,
    },
    /// Set aside under this number, and what became of it since.
    Quarantined {
        id: u64,
        why: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        then: Option<Departure>,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Journal {
    pub id: TransactionId,
    /// What the mail server that keeps the message calls it, where that is not this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_id: Option<String>,
    /// RFC 3339, UTC.
    pub at: String,
    /// If it goes on with a message that was in quarantine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<Released>,
    /// The generation of plugins that treated it.
    pub generation: u64,
    pub session: Session,
    pub envelope: Envelope,
    /// Message-ID of the header, without its angle brackets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Octets as received.
    pub size: u64,
    /// Of the sender; empty if it was not checked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authentication: Vec<AuthenticationResult>,
    pub turns: Vec<Turn>,
    /// The sum of all symbols' scores.
    pub score: f32,
    /// What became of the transaction after the policy.
    pub verdict: Verdict,
    pub dispositions: Vec<Where>,
    /// Time in the chain.
    pub elapsed: Duration,
}

impl Journal {
    pub fn symbols(&self) -> impl Iterator<Item = &Symbol> {
        self.turns.iter().flat_map(|turn| &turn.symbols)
    }
}
