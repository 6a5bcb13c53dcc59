//! What a case expects, what was observed, and where the two differ. Doesn't run anything.

use super::body::ObservedBody;
use super::play::Done;
use crate::mail::{Address, Edit, EnvelopeEdit, Message, Turn, Verdict};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

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
#[serde(untagged)]
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
}

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
    /// Hooks that failed and calls that were refused: never expected.
    pub failures: Vec<String>,
}

/// Lines that were expected and lines that were found, of one key of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    pub what: String,
    pub expected: Vec<String>,
    pub found: Vec<String>,
}

impl fmt::Display for Difference {
    /// `-` expected but not there, `+` there but not expected.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.what)?;
        for line in &self.expected {
            let sign = if self.found.contains(line) { ' ' } else { '-' };
            writeln!(f, "  {sign} {line}")?;
        }
        for line in &self.found {
            if !self.expected.contains(line) {
                writeln!(f, "  + {line}")?;
            }
        }
        Ok(())
    }
}

impl Observed {
    pub fn of(plugin: &str, recipients: &[Address], done: &Done) -> Self {
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
            let refused = turn.refused.iter();
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

impl Values {
    fn all(&self) -> &[String] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Several(values) => values,
        }
    }
}

fn field_lines(fields: &Fields) -> Vec<String> {
    let lines = fields.iter().flat_map(|(name, values)| {
        values
            .all()
            .iter()
            .map(move |value| format!("{name}: {value}"))
    });
    lines.collect()
}

fn lines<'a>(values: impl IntoIterator<Item = &'a String>) -> Vec<String> {
    values.into_iter().cloned().collect()
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

    pub fn differences(&self, observed: &Observed) -> Vec<Difference> {
        let mut all = Vec::new();
        let mut compare = |what: &str, expected: Vec<String>, found: Vec<String>| {
            if expected != found {
                all.push(Difference {
                    what: what.to_owned(),
                    expected,
                    found,
                });
            }
        };
        compare("failures", Vec::new(), observed.failures.clone());
        compare(
            "verdict",
            vec![self.verdict.name().to_owned()],
            vec![observed.verdict.name().to_owned()],
        );
        if self.reply.is_some() {
            compare("reply", lines(&self.reply), lines(&observed.reply));
        }
        let verdicts = |all: &BTreeMap<Address, VerdictName>| -> Vec<String> {
            let line = |(address, verdict): (&Address, &VerdictName)| {
                (*verdict != VerdictName::Continue)
                    .then(|| format!("{address}: {}", verdict.name()))
            };
            all.iter().filter_map(line).collect()
        };
        compare(
            "recipients",
            verdicts(&self.recipients),
            verdicts(&observed.recipients),
        );
        if let Some(symbols) = &self.symbols {
            compare("symbols", lines(symbols), lines(&observed.symbols));
        }
        let missing = self.symbols_include.difference(&observed.symbols);
        compare("symbols-include", lines(missing), Vec::new());
        let unwanted = self.symbols_exclude.intersection(&observed.symbols);
        compare("symbols-exclude", Vec::new(), lines(unwanted));
        let score = observed.score;
        if let Some(least) = self.score_at_least.filter(|least| score < *least) {
            compare(
                "score",
                vec![format!("at least {least:?}")],
                vec![format!("{score:?}")],
            );
        }
        if let Some(bound) = self.score_below.filter(|bound| score >= *bound) {
            compare(
                "score",
                vec![format!("below {bound:?}")],
                vec![format!("{score:?}")],
            );
        }
        compare(
            "header-added",
            field_lines(&self.header_added),
            field_lines(&observed.header_added),
        );
        compare(
            "header-removed",
            lines(&self.header_removed),
            lines(&observed.header_removed),
        );
        let own = |all: &BTreeMap<Address, Fields>| -> Vec<String> {
            let each = all.iter().flat_map(|(address, fields)| {
                field_lines(fields)
                    .into_iter()
                    .map(move |line| format!("{address}: {line}"))
            });
            each.collect()
        };
        compare(
            "header-added-for",
            own(&self.header_added_for),
            own(&observed.header_added_for),
        );
        compare(
            "body-edits",
            self.body_edits.clone(),
            observed.body.edits.clone(),
        );
        let body = &observed.body;
        let missing = |texts: &[String], of: Option<&Address>| -> Vec<String> {
            let missing = texts.iter().filter(|text| !body.contains(of, text));
            missing.cloned().collect()
        };
        compare(
            "body-contains",
            missing(&self.body_contains, None),
            Vec::new(),
        );
        for (address, texts) in &self.body_contains_for {
            let what = format!("body-contains-for {address}");
            compare(&what, missing(texts, Some(address)), Vec::new());
        }
        let unwanted = self
            .body_lacks
            .iter()
            .filter(|text| body.contains(None, text));
        compare("body-lacks", Vec::new(), lines(unwanted));
        if let Some(parts) = &self.parts {
            compare("parts", parts.clone(), body.parts.clone());
        }
        let filed = |all: &BTreeMap<Address, String>| -> Vec<String> {
            let each = all.iter();
            each.map(|(address, mailbox)| format!("{address}: {mailbox}"))
                .collect()
        };
        compare("mailbox", filed(&self.mailbox), filed(&observed.mailbox));
        let flagged = |all: &BTreeMap<Address, BTreeSet<String>>| -> Vec<String> {
            let line = |(address, flags): (&Address, &BTreeSet<String>)| {
                let flags: Vec<_> = flags.iter().map(String::as_str).collect();
                (!flags.is_empty()).then(|| format!("{address}: {}", flags.join(" ")))
            };
            all.iter().filter_map(line).collect()
        };
        compare("flags", flagged(&self.flags), flagged(&observed.flags));
        compare("sender", lines(&self.sender), lines(&observed.sender));
        compare(
            "recipients-added",
            lines(&self.recipients_added),
            lines(&observed.recipients_added),
        );
        compare(
            "recipients-removed",
            lines(&self.recipients_removed),
            lines(&observed.recipients_removed),
        );
        if let Some(tags) = &self.tags {
            let lines = |tags: &BTreeMap<String, String>| {
                let each = tags.iter().map(|(key, value)| format!("{key} = {value:?}"));
                each.collect()
            };
            compare("tags", lines(tags), lines(&observed.tags));
        }
        compare("hold", filed(&self.hold), filed(&observed.hold));
        compare("via", filed(&self.via), filed(&observed.via));
        all
    }

    /// Expectations of the same kind that hold for what was observed; what held stays as it was written.
    pub fn blessed(&self, observed: &Observed) -> Self {
        let Observed { symbols, score, .. } = observed;
        let names_symbols = self.symbols.is_some()
            || !self.symbols_include.is_empty()
            || !self.symbols_exclude.is_empty()
            || self.score_at_least.is_some()
            || self.score_below.is_some();
        let include = self.symbols_include.intersection(symbols);
        let exclude = self.symbols_exclude.difference(symbols);
        Self {
            verdict: observed.verdict,
            reply: self.reply.as_ref().and(observed.reply.clone()),
            recipients: observed.recipients.clone(),
            symbols: (self.symbols.is_some() || !names_symbols).then(|| symbols.clone()),
            symbols_include: include.cloned().collect(),
            symbols_exclude: exclude.cloned().collect(),
            score_at_least: self.score_at_least.map(|least| least.min(*score)),
            score_below: self.score_below.map(|bound| {
                if *score < bound {
                    bound
                } else {
                    score.floor() + 1.0
                }
            }),
            header_added: observed.header_added.clone(),
            header_removed: observed.header_removed.clone(),
            header_added_for: observed.header_added_for.clone(),
            body_edits: observed.body.edits.clone(),
            body_contains: {
                let held = self.body_contains.iter();
                held.filter(|text| observed.body.contains(None, text))
                    .cloned()
                    .collect()
            },
            body_lacks: {
                let held = self.body_lacks.iter();
                held.filter(|text| !observed.body.contains(None, text))
                    .cloned()
                    .collect()
            },
            body_contains_for: {
                let held = self.body_contains_for.iter().map(|(address, texts)| {
                    let held = texts
                        .iter()
                        .filter(|text| observed.body.contains(Some(address), text));
                    (address.clone(), held.cloned().collect::<Vec<_>>())
                });
                held.filter(|(_, texts)| !texts.is_empty()).collect()
            },
            parts: self.parts.as_ref().map(|_| observed.body.parts.clone()),
            mailbox: observed.mailbox.clone(),
            flags: observed.flags.clone(),
            sender: observed.sender.clone(),
            recipients_added: observed.recipients_added.clone(),
            recipients_removed: observed.recipients_removed.clone(),
            tags: self.tags.as_ref().map(|_| observed.tags.clone()),
            hold: observed.hold.clone(),
            via: observed.via.clone(),
        }
    }

    /// As a table `[expect]`.
    pub fn to_toml(&self) -> String {
        let mut out = String::from("[expect]\n");
        let mut key = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                out.push_str(&format!("{name} = {value}\n"));
            }
        };
        let list = |values: &BTreeSet<String>| {
            let values: Vec<_> = values.iter().map(|value| quoted(value)).collect();
            format!("[{}]", values.join(", "))
        };
        let some_list = |values: &BTreeSet<String>| (!values.is_empty()).then(|| list(values));
        key(
            "verdict",
            (self.verdict != VerdictName::Continue).then(|| quoted(self.verdict.name())),
        );
        key("reply", self.reply.as_deref().map(quoted));
        let verdict = |verdict: &VerdictName| quoted(verdict.name());
        key("recipients", table(&self.recipients, verdict));
        key("symbols", self.symbols.as_ref().map(list));
        key("symbols-include", some_list(&self.symbols_include));
        key("symbols-exclude", some_list(&self.symbols_exclude));
        key(
            "score-at-least",
            self.score_at_least.map(|least| format!("{least:?}")),
        );
        key(
            "score-below",
            self.score_below.map(|bound| format!("{bound:?}")),
        );
        let fields = |fields: &Fields| table(fields, values).unwrap_or_else(|| "{}".to_owned());
        key("header-added", table(&self.header_added, values));
        key("header-removed", some_list(&self.header_removed));
        key("header-added-for", table(&self.header_added_for, fields));
        let texts = |texts: &Vec<String>| {
            let texts: Vec<_> = texts.iter().map(|text| quoted(text)).collect();
            format!("[{}]", texts.join(", "))
        };
        let some_texts = |all: &Vec<String>| (!all.is_empty()).then(|| texts(all));
        key("body-edits", some_texts(&self.body_edits));
        key("body-contains", some_texts(&self.body_contains));
        key("body-lacks", some_texts(&self.body_lacks));
        key("body-contains-for", table(&self.body_contains_for, texts));
        key("parts", self.parts.as_ref().map(texts));
        key("mailbox", table(&self.mailbox, |name| quoted(name)));
        key("flags", table(&self.flags, list));
        key("sender", self.sender.as_deref().map(quoted));
        key("recipients-added", some_list(&self.recipients_added));
        key("recipients-removed", some_list(&self.recipients_removed));
        let tags = self.tags.as_ref();
        key(
            "tags",
            tags.map(|tags| table(tags, |value| quoted(value)).unwrap_or_else(|| "{}".to_owned())),
        );
        key("hold", table(&self.hold, |why| quoted(why)));
        key("via", table(&self.via, |next_hop| quoted(next_hop)));
        out
    }
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn values(values: &Values) -> String {
    match values {
        Values::One(value) => quoted(value),
        Values::Several(values) => {
            let values: Vec<_> = values.iter().map(|value| quoted(value)).collect();
            format!("[{}]", values.join(", "))
        }
    }
}

/// Inline, as people write it; None if it is empty.
fn table<K: fmt::Display, V>(
    entries: &BTreeMap<K, V>,
    value: impl Fn(&V) -> String,
) -> Option<String> {
    let entries: Vec<_> = entries
        .iter()
        .map(|(key, entry)| format!("{} = {}", quoted(&key.to_string()), value(entry)))
        .collect();
    (!entries.is_empty()).then(|| format!("{{ {} }}", entries.join(", ")))
}
