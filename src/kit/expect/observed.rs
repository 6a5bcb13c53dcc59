//! What one plugin did to one message, in the words of a case. Compares nothing.

use super::{Fields, Values, VerdictName};
use crate::kit::body::ObservedBody;
use crate::kit::play::Done;
use crate::kit::recordings::Scene;
use crate::mail::{Address, Edit, EnvelopeEdit, Message, Turn, Verdict};
use std::collections::{BTreeMap, BTreeSet};

/// What one plugin did to one message.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    pub verdict: VerdictName,
    pub reply: Option<String>,
    pub recipients: BTreeMap<Address, VerdictName>,
    pub symbols: BTreeSet<String>,
    pub score: f32,
    pub header_added: Fields,
    pub header_removed: BTreeSet<String>,
    pub header_added_for: BTreeMap<Address, Fields>,
    pub body: ObservedBody,
    pub mailbox: BTreeMap<Address, String>,
    pub flags: BTreeMap<Address, BTreeSet<String>>,
    pub sender: Option<String>,
    pub recipients_added: BTreeSet<String>,
    pub recipients_removed: BTreeSet<String>,
    pub tags: BTreeMap<String, String>,
    pub hold: BTreeMap<Address, String>,
    pub via: BTreeMap<Address, String>,
    /// What it keeps.
    pub kv: BTreeMap<String, Vec<u8>>,
    /// Calls that the case has no recording of, each with the line to add.
    pub unrecorded: Vec<String>,
    /// Hooks that failed and calls that were refused: never expected.
    pub failures: Vec<String>,
}

impl Observed {
    pub fn of(plugin: &str, recipients: &[Address], done: &Done, scene: &Scene) -> Self {
        let own = done.ended.symbols.iter().filter(|s| s.by == plugin);
        let (symbols, scores): (BTreeSet<_>, Vec<_>) = own
            .map(|symbol| (symbol.name.clone(), symbol.score))
            .unzip();
        let before = fields(&done.before);
        let after = fields(done.draft.message());
        let left: BTreeSet<&str> = after.iter().map(|(name, _)| name.as_str()).collect();
        let mut observed = Self {
            verdict: VerdictName::of(&done.verdict),
            reply: match &done.verdict {
                Verdict::Reject(reply) | Verdict::Tempfail(reply) => Some(reply.to_string()),
                Verdict::Quarantine(why) => Some(why.clone()),
                _ => None,
            },
            recipients: done
                .recipients
                .iter()
                .map(|(address, verdict)| (address.clone(), VerdictName::of(verdict)))
                .collect(),
            symbols,
            score: scores.iter().fold(0.0, |sum, score| sum + score),
            header_added: more(&before, &after),
            header_removed: before
                .iter()
                .map(|(name, _)| name.clone())
                .filter(|name| !left.contains(name.as_str()))
                .collect(),
            header_added_for: BTreeMap::new(),
            body: ObservedBody::of(plugin, recipients, done),
            mailbox: BTreeMap::new(),
            flags: BTreeMap::new(),
            sender: None,
            recipients_added: BTreeSet::new(),
            recipients_removed: BTreeSet::new(),
            tags: BTreeMap::new(),
            hold: BTreeMap::new(),
            via: BTreeMap::new(),
            kv: scene.kept(),
            unrecorded: scene.unrecorded(),
            failures: Vec::new(),
        };
        let left = done.envelope.recipients.iter().map(|left| &left.address);
        let added = left.filter(|left| !recipients.contains(left));
        for address in recipients.iter().chain(added) {
            let own = more(&after, &fields(&done.draft.message_for(address)));
            if !own.is_empty() {
                observed.header_added_for.insert(address.clone(), own);
            }
            let filing = done.draft.filing(address);
            if let Some((mailbox, _)) = filing.mailbox {
                observed.mailbox.insert(address.clone(), mailbox);
            }
            if !filing.flags.is_empty() {
                observed.flags.insert(address.clone(), filing.flags);
            }
            let edits = done.turns().flat_map(|turn| &turn.edits);
            for scoped in edits.filter(|scoped| scoped.scope.covers(address)) {
                match &scoped.edit {
                    Edit::Hold { why } => {
                        observed.hold.insert(address.clone(), why.clone());
                    }
                    Edit::Via(next_hop) => {
                        observed.via.insert(address.clone(), next_hop.clone());
                    }
                    _ => {}
                }
            }
        }
        for turn in done.turns() {
            observed.edits(turn);
            let hook = turn.hook;
            if let Err(failure) = &turn.result {
                observed.failures.push(format!("at {hook}: {failure}"));
            }
            let refused = turn.refused.iter().filter(|text| !scene.foresaw(text));
            observed.failures.extend(
                refused.map(|refused| format!("at {hook}, refused by the host: {refused}")),
            );
        }
        observed
    }
}

impl Observed {
    /// Those that are not of the message.
    fn edits(&mut self, turn: &Turn) {
        for scoped in &turn.edits {
            match &scoped.edit {
                Edit::Envelope(EnvelopeEdit::SetSender { sender, .. }) => {
                    self.sender = Some(sender.to_string());
                }
                Edit::Envelope(EnvelopeEdit::AddRecipient { address, .. }) => {
                    self.recipients_added.insert(address.to_string());
                }
                Edit::Envelope(EnvelopeEdit::RemoveRecipient { address }) => {
                    self.recipients_removed.insert(address.to_string());
                }
                Edit::Tag { key, value } => {
                    self.tags.insert(key.clone(), value.clone());
                }
                _ => {}
            }
        }
    }
}

/// Name and value of each field, the value unfolded.
fn fields(message: &Message) -> Vec<(String, String)> {
    let fields = message.header.fields().iter();
    fields
        .map(|field| (field.name().into_owned(), field.text()))
        .collect()
}

/// What `after` has more often than `before`.
fn more(before: &[(String, String)], after: &[(String, String)]) -> Fields {
    let mut before: Vec<_> = before.iter().collect();
    let mut added: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for field in after {
        match before.iter().position(|known| *known == field) {
            Some(at) => {
                before.swap_remove(at);
            }
            None => {
                let (name, value) = field.clone();
                added.entry(name).or_default().push(value);
            }
        }
    }
    let fold = |(name, mut values): (String, Vec<String>)| match values.len() {
        1 => (name, Values::One(values.remove(0))),
        _ => (name, Values::Several(values)),
    };
    added.into_iter().map(fold).collect()
}
