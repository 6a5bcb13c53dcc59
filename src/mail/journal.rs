//! The journal of one transaction: who did what to it, when, and at what cost. It is stored with the message and explains it.

use super::{
    Address, AuthenticationResult, Call, Departure, Edit, Envelope, Failure, FilterInfo, Hook,
    Mode, Outcome, Released, Scope, Scoped, Session, Symbol, Tags, TransactionId, Verdict,
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
    /// What a shadow said had no effect: its verdict, edits and symbols are what would have counted.
    #[serde(default, skip_serializing_if = "Mode::is_active")]
    pub mode: Mode,
    /// The recipient that the hook was called for, at `rcpt` and `deliver`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<Address>,
    /// What else was particular to the call: the name at `helo`, what became of the message, what a person did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
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

impl Turn {
    /// `info` is the filter's that was asked; where another version answered for it, the outcome has that one's.
    pub fn new(info: &FilterInfo, call: &Call, outcome: Outcome) -> Self {
        let info = outcome.by.as_deref().unwrap_or(info);
        let verdict = match &outcome.result {
            Ok(verdict) => verdict.clone(),
            Err(_) => info.on_error.verdict(&info.name, call.hook()),
        };
        Self {
            filter: info.name.clone(),
            version: info.version.clone(),
            hook: call.hook(),
            mode: outcome.mode,
            recipient: call.recipient().cloned(),
            about: call.about(),
            result: outcome.result,
            verdict,
            symbols: outcome.symbols,
            edits: outcome.edits,
            refused: outcome.refused,
            log: outcome.log,
            elapsed: outcome.elapsed,
            memory: outcome.memory,
            host_calls: outcome.host_calls,
            calls: outcome.calls,
        }
    }

    /// The next hops that the filter asked for, and for whom.
    pub fn ways(&self) -> impl Iterator<Item = (Scope, String)> {
        self.edits.iter().filter_map(|scoped| match &scoped.edit {
            Edit::Via(next_hop) => Some((scoped.scope.clone(), next_hop.clone())),
            _ => None,
        })
    }

    /// Sets the tags that the filter asked for.
    pub fn tag(&self, tags: &mut Tags) {
        for scoped in &self.edits {
            if let Edit::Tag { key, value } = &scoped.edit {
                tags.set(key, value, &self.filter);
            }
        }
    }
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
    /// Taken by this next hop.
    Relayed {
        next_hop: String,
        reply: String,
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
    /// As the client gave it; what filters changed of it stands in the turns.
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
    /// The turns that had an effect: not those of shadows.
    pub fn counted(&self) -> impl Iterator<Item = &Turn> {
        let counted = |turn: &&Turn| turn.mode != Mode::Shadow;
        self.turns.iter().filter(counted)
    }

    pub fn symbols(&self) -> impl Iterator<Item = &Symbol> {
        self.counted().flat_map(|turn| &turn.symbols)
    }

    /// All tags, as the last hook left them.
    pub fn tags(&self) -> Tags {
        let mut tags = self.session.tags.clone();
        for turn in self.counted() {
            turn.tag(&mut tags);
        }
        tags
    }
}
