//! Where two versions of one plugin disagree, read from journals: a shadow against the active one call by call, a canary by its figures.
//! Reads no store.

use crate::mail::{BodyEdit, Edit, EnvelopeEdit, HeaderEdit, Journal, Mode, Turn};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// Transactions named for each change.
const SAMPLES: usize = 5;

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Diff {
    /// Transactions in which the plugin was asked.
    pub transactions: u64,
    /// Calls that both the active version and its shadow answered.
    pub compared: u64,
    /// Of these, those in which all was the same.
    pub same: u64,
    /// What was not, the most frequent first.
    pub changes: Vec<Change>,
    pub versions: Vec<Side>,
    #[serde(skip)]
    found: BTreeMap<(String, String, String), (u64, Vec<String>)>,
    #[serde(skip)]
    sides: BTreeMap<(bool, String, &'static str), Side>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Change {
    /// "verdict at message", "symbol CASINO" …
    pub what: String,
    pub active: String,
    pub shadow: String,
    pub count: u64,
    /// The first transactions in which it was so.
    pub samples: Vec<String>,
}

/// What one version did.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Side {
    pub version: String,
    pub mode: Mode,
    pub calls: u64,
    pub failures: u64,
    pub median: Duration,
    pub p99: Duration,
    /// How often each was answered.
    pub verdicts: BTreeMap<String, u64>,
    pub symbols: BTreeMap<String, u64>,
    #[serde(skip)]
    times: Vec<Duration>,
}

impl Diff {
    pub fn add(&mut self, plugin: &str, journal: &Journal) {
        let turns: Vec<_> = journal
            .turns
            .iter()
            .filter(|turn| turn.filter == plugin)
            .collect();
        self.transactions += u64::from(!turns.is_empty());
        for turn in &turns {
            self.count(turn);
        }
        for shadow in turns.iter().filter(|turn| turn.mode == Mode::Shadow) {
            let active = turns.iter().find(|turn| {
                turn.mode != Mode::Shadow
                    && turn.hook == shadow.hook
                    && turn.recipient == shadow.recipient
            });
            if let Some(active) = active {
                self.compare(journal.id.as_str(), active, shadow);
            }
        }
    }

    fn count(&mut self, turn: &Turn) {
        let mode = turn.mode.name();
        let key = (turn.mode != Mode::Active, turn.version.clone(), mode);
        let side = self.sides.entry(key).or_default();
        side.version.clone_from(&turn.version);
        side.mode = turn.mode;
        side.calls += 1;
        side.failures += u64::from(turn.result.is_err());
        side.times.push(turn.elapsed);
        *side.verdicts.entry(answer(turn)).or_default() += 1;
        for symbol in &turn.symbols {
            *side.symbols.entry(symbol.name.clone()).or_default() += 1;
        }
    }

    fn compare(&mut self, id: &str, active: &Turn, shadow: &Turn) {
        let changes = changes(active, shadow);
        self.compared += 1;
        self.same += u64::from(changes.is_empty());
        for change in changes {
            let (count, samples) = self.found.entry(change).or_default();
            *count += 1;
            if samples.len() < SAMPLES && samples.last().is_none_or(|last| last != id) {
                samples.push(id.to_owned());
            }
        }
    }

    /// When all journals have been added.
    pub fn end(mut self) -> Self {
        let found = std::mem::take(&mut self.found);
        let changes = found
            .into_iter()
            .map(|((what, active, shadow), (count, samples))| Change {
                what,
                active,
                shadow,
                count,
                samples,
            });
        self.changes = changes.collect();
        self.changes
            .sort_by_key(|change| std::cmp::Reverse(change.count));
        for mut side in std::mem::take(&mut self.sides).into_values() {
            side.times.sort();
            let at = |percent: usize| {
                let index = side.times.len().saturating_sub(1) * percent / 100;
                side.times.get(index).copied().unwrap_or_default()
            };
            (side.median, side.p99) = (at(50), at(99));
            self.versions.push(side);
        }
        self
    }
}

/// What differs between two turns at the same call: what it is, the one's, the other's.
pub fn changes(one: &Turn, other: &Turn) -> Vec<(String, String, String)> {
    let mut changes: Vec<(String, String, String)> = Vec::new();
    let answers = (answer(one), answer(other));
    if answers.0 != answers.1 {
        changes.push((format!("verdict at {}", one.hook), answers.0, answers.1));
    }
    differences("symbol", scores(one), scores(other), &mut changes);
    differences("edit", edits(one), edits(other), &mut changes);
    changes
}

fn scores(turn: &Turn) -> BTreeMap<String, String> {
    let scores = turn.symbols.iter();
    scores
        .map(|symbol| (symbol.name.clone(), format!("{:.1}", symbol.score)))
        .collect()
}

fn edits(turn: &Turn) -> BTreeMap<String, String> {
    let mut edits: BTreeMap<String, String> = BTreeMap::new();
    for scoped in &turn.edits {
        let (what, text) = edit(&scoped.edit);
        let texts = edits.entry(what).or_default();
        if !texts.is_empty() {
            texts.push_str(", ");
        }
        texts.push_str(&text);
        if !scoped.scope.is_all() {
            texts.push_str(" (for some)");
        }
    }
    edits
}

fn differences(
    what: &str,
    active: BTreeMap<String, String>,
    mut shadow: BTreeMap<String, String>,
    changes: &mut Vec<(String, String, String)>,
) {
    let none = || "-".to_owned();
    for (name, one) in active {
        let other = shadow.remove(&name).unwrap_or_else(none);
        if one != other {
            changes.push((format!("{what} {name}"), one, other));
        }
    }
    for (name, other) in shadow {
        changes.push((format!("{what} {name}"), none(), other));
    }
}

fn answer(turn: &Turn) -> String {
    match &turn.result {
        Ok(verdict) => verdict.name().to_owned(),
        Err(failure) => format!("failed ({})", failure.kind),
    }
}

/// What it changes, and to what. Long values are cut.
fn edit(edit: &Edit) -> (String, String) {
    let cut = |text: &str| text.chars().take(60).collect::<String>();
    match edit {
        Edit::Header(HeaderEdit::Add { name, value } | HeaderEdit::Insert { name, value, .. }) => {
            (format!("of {name}"), format!("add {}", cut(&value.text())))
        }
        Edit::Header(HeaderEdit::Change { name, value, .. }) => (
            format!("of {name}"),
            format!("change to {}", cut(&value.text())),
        ),
        Edit::Header(HeaderEdit::Remove { name, .. }) => {
            (format!("of {name}"), "remove".to_owned())
        }
        Edit::FileInto { mailbox, .. } => ("of mailbox".to_owned(), cut(mailbox)),
        Edit::AddFlag(flag) => ("of flags".to_owned(), cut(flag)),
        Edit::Body(BodyEdit::Replace { .. }) => ("of body".to_owned(), "replace".to_owned()),
        Edit::Body(BodyEdit::ReplacePart { path, .. }) => {
            (format!("of part {path}"), "replace".to_owned())
        }
        Edit::Body(BodyEdit::DropPart { path, .. }) => {
            (format!("of part {path}"), "drop".to_owned())
        }
        Edit::Envelope(EnvelopeEdit::SetSender { sender, .. }) => {
            ("of sender".to_owned(), sender.to_string())
        }
        Edit::Envelope(EnvelopeEdit::AddRecipient { address, .. }) => {
            ("of recipients".to_owned(), format!("add {address}"))
        }
        Edit::Envelope(EnvelopeEdit::RemoveRecipient { address }) => {
            ("of recipients".to_owned(), format!("remove {address}"))
        }
        Edit::Hold { .. } => ("of fate".to_owned(), "hold".to_owned()),
        Edit::Via(next_hop) => ("of route".to_owned(), cut(&next_hop.to_string())),
        Edit::Tag { key, value } => (format!("of tag {key}"), cut(value)),
    }
}
