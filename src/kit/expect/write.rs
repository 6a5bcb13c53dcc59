//! Expectations as they are written: those that `--bless` makes of what was observed, and the table of them. Writes no file.

use super::{Expect, Fields, Observed, Values, VerdictName};
use crate::kit::recordings::KvValue;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

impl Expect {
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
            kv: self.kv.as_ref().map(|_| {
                let kept = observed.kv.iter();
                kept.map(|(key, value)| (key.clone(), KvValue::of(value)))
                    .collect()
            }),
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
        let kv = self.kv.as_ref();
        key(
            "kv",
            kv.map(|kv| table(kv, ToString::to_string).unwrap_or_else(|| "{}".to_owned())),
        );
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
