//! What a case expects: the table `[expect]`. Doesn't run anything.

mod compare;
mod observed;
mod write;

pub use compare::Difference;
pub use observed::Observed;

use super::recordings::KvValue;
use crate::mail::{Address, Verdict};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerdictName {
    #[default]
    Continue,
    Accept,
    Reject,
    Tempfail,
    Discard,
    Quarantine,
}

impl VerdictName {
    fn of(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Continue => Self::Continue,
            Verdict::Accept => Self::Accept,
            Verdict::Reject(_) => Self::Reject,
            Verdict::Tempfail(_) => Self::Tempfail,
            Verdict::Discard => Self::Discard,
            Verdict::Quarantine(_) => Self::Quarantine,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Accept => "accept",
            Self::Reject => "reject",
            Self::Tempfail => "tempfail",
            Self::Discard => "discard",
            Self::Quarantine => "quarantine",
        }
    }
}

/// One value, or several for a field that is added more than once.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
pub enum Values {
    One(String),
    Several(Vec<String>),
}

pub type Fields = BTreeMap<String, Values>;

/// What is not named is not looked at, but edits: those that are not named are differences.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expect {
    pub verdict: VerdictName,
    /// What the client is told, or why it is quarantined: `"550 5.7.1 no"`.
    pub reply: Option<String>,
    /// At `rcpt`, `deliver` or `relay`, by recipient; who is not named has `continue`.
    pub recipients: BTreeMap<Address, VerdictName>,
    /// Exactly these, in any order.
    pub symbols: Option<BTreeSet<String>>,
    pub symbols_include: BTreeSet<String>,
    pub symbols_exclude: BTreeSet<String>,
    pub score_at_least: Option<f32>,
    pub score_below: Option<f32>,
    /// Fields that the message has afterwards and had not before.
    pub header_added: Fields,
    /// Names of fields that it has no more.
    pub header_removed: BTreeSet<String>,
    /// Fields that the copy of a recipient has besides.
    pub header_added_for: BTreeMap<Address, Fields>,
    /// Exactly these, in order: `"replace"`, `"replace-part 2 text/plain"`, `"drop-part 2"`, each with `for` and recipients if not for all.
    pub body_edits: Vec<String>,
    /// Texts that are in a text part of the message afterwards, or in none.
    pub body_contains: Vec<String>,
    pub body_lacks: Vec<String>,
    /// The same, in the copy of a recipient.
    pub body_contains_for: BTreeMap<Address, Vec<String>>,
    /// Media types of all parts afterwards, in order.
    pub parts: Option<Vec<String>>,
    /// By recipient; who is not named has none.
    pub mailbox: BTreeMap<Address, String>,
    pub flags: BTreeMap<Address, BTreeSet<String>>,
    /// The reverse-path that it set.
    pub sender: Option<String>,
    pub recipients_added: BTreeSet<String>,
    pub recipients_removed: BTreeSet<String>,
    /// Exactly these.
    pub tags: Option<BTreeMap<String, String>>,
    /// Why it is held, by recipient; for who is not named it is not.
    pub hold: BTreeMap<Address, String>,
    /// The next hop that it asked for, by recipient; for who is not named it asked for none.
    pub via: BTreeMap<Address, String>,
    /// Exactly these keys with these values are kept afterwards.
    pub kv: Option<BTreeMap<String, KvValue>>,
}

impl Values {
    pub fn all(&self) -> &[String] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Several(values) => values,
        }
    }
}

impl Expect {
    /// Of those that a case names, so that a typing error doesn't pass for an expectation.
    pub(super) fn addresses(&self) -> impl Iterator<Item = &Address> {
        let recipients = self.recipients.keys().chain(self.mailbox.keys());
        recipients
            .chain(self.flags.keys())
            .chain(self.body_contains_for.keys())
            .chain(self.hold.keys())
            .chain(self.via.keys())
            .chain(self.header_added_for.keys())
    }
}
