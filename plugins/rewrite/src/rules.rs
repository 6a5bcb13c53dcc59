//! Rules: on which messages which fields change, worked out from what is known of the message.
//! Asks the host for nothing: the values of fields come from the function that it is given.

mod parts;

pub use parts::{Part, PartEdit, with_banner};

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// Names of fields that are removed from every message before the rules; a "*" at the end stands for any rest.
    pub remove: Vec<String>,
    /// Symbols that `{symbols}` leaves out: those with fewer points than this, either way.
    pub least: f32,
    /// Endings of file names, such as "exe": parts with such a name are replaced by a note.
    pub blocked_attachments: Vec<String>,
    /// `{name}` stands for the file's.
    pub blocked_note: Option<String>,
    pub rules: Vec<Rule>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rule {
    pub when: When,
    pub remove: Vec<String>,
    pub add: BTreeMap<String, String>,
    pub replace: BTreeMap<String, String>,
    pub subject_tag: Option<String>,
    /// Text in front of the message's text.
    pub banner: Option<String>,
}

/// All that is named must hold; nothing named holds always.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct When {
    pub score_at_least: Option<f32>,
    pub score_below: Option<f32>,
    /// One of these.
    pub symbols: Vec<String>,
    pub header: Option<String>,
    /// In the value of `header`, whatever the case. Without it the field need only be there.
    pub contains: Option<String>,
    /// Whether it comes from a client that has not logged in.
    pub external: Option<bool>,
}

#[derive(Debug, Default)]
pub struct Facts {
    /// Names and points.
    pub symbols: Vec<(String, f32)>,
    /// Names of all fields, in order.
    pub names: Vec<String>,
    /// The client has not logged in.
    pub external: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    Add {
        name: String,
        value: String,
    },
    Change {
        name: String,
        nth: u32,
        value: String,
    },
    Remove {
        name: String,
        nth: u32,
    },
}

impl Facts {
    fn score(&self) -> f32 {
        self.symbols.iter().map(|(_, points)| points).sum()
    }

    fn count(&self, name: &str) -> u32 {
        let count = self
            .names
            .iter()
            .filter(|other| other.eq_ignore_ascii_case(name))
            .count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }
}

impl Config {
    /// What serde cannot see: names that are no field names, rules that do nothing.
    pub fn check(&self) -> Result<(), String> {
        let name = |name: &String| {
            let bare = name.strip_suffix('*').unwrap_or(name);
            // RFC 5322 §2.2: printable, no colon.
            if name.is_empty()
                || bare
                    .bytes()
                    .any(|b| !b.is_ascii_graphic() || b == b':' || b == b'*')
            {
                return Err(format!("[config]: \"{name}\" is no name of a header field"));
            }
            Ok(())
        };
        self.remove.iter().try_for_each(name)?;
        for (index, rule) in self.rules.iter().enumerate() {
            let nth = index + 1;
            rule.remove
                .iter()
                .chain(rule.add.keys())
                .chain(rule.replace.keys())
                .try_for_each(name)?;
            if let Some(star) = rule
                .add
                .keys()
                .chain(rule.replace.keys())
                .find(|name| name.ends_with('*'))
            {
                return Err(format!(
                    "[[config.rules]], the {nth}. one: \"{star}\": only `remove` takes a *"
                ));
            }
            if rule.remove.is_empty()
                && rule.add.is_empty()
                && rule.replace.is_empty()
                && rule.subject_tag.is_none()
                && rule.banner.is_none()
            {
                return Err(format!(
                    "[[config.rules]], the {nth}. one changes nothing: it wants `add`, `replace`, `remove`, `subject-tag` or `banner`"
                ));
            }
            if rule.when.contains.is_some() && rule.when.header.is_none() {
                return Err(format!(
                    "[[config.rules]], the {nth}. one: `contains` wants `header`, the field to look into"
                ));
            }
        }
        Ok(())
    }

    /// The edits for a message. `get` gives the values of the fields of a name, decoded.
    pub fn edits(&self, facts: &Facts, get: &dyn Fn(&str) -> Vec<String>) -> Vec<Edit> {
        let mut edits = Vec::new();
        // Names, in lower case, that have been removed: not to be removed twice.
        let mut gone = BTreeSet::new();
        remove(&self.remove, facts, &mut gone, &mut edits);
        for rule in &self.rules {
            if !rule.when.holds(facts, get) {
                continue;
            }
            remove(&rule.remove, facts, &mut gone, &mut edits);
            for (name, value) in &rule.replace {
                let value = self.fill(value, facts);
                let there = facts.count(name) > 0 && !gone.contains(&name.to_ascii_lowercase());
                edits.push(if there {
                    Edit::Change {
                        name: name.clone(),
                        nth: 1,
                        value,
                    }
                } else {
                    Edit::Add {
                        name: name.clone(),
                        value,
                    }
                });
            }
            for (name, value) in &rule.add {
                edits.push(Edit::Add {
                    name: name.clone(),
                    value: self.fill(value, facts),
                });
            }
            if let Some(tag) = &rule.subject_tag {
                edits.extend(self.tag(tag, facts, get));
            }
        }
        edits
    }

    fn tag(&self, tag: &str, facts: &Facts, get: &dyn Fn(&str) -> Vec<String>) -> Option<Edit> {
        let tag = self.fill(tag, facts);
        let name = "Subject".to_owned();
        match get("Subject").into_iter().next() {
            // It has been here before, or answers one that has.
            Some(subject) if subject.contains(tag.trim()) => None,
            Some(subject) => Some(Edit::Change {
                name,
                nth: 1,
                value: format!("{} {subject}", tag.trim_end()),
            }),
            None => Some(Edit::Add {
                name,
                value: tag.trim_end().to_owned(),
            }),
        }
    }

    fn fill(&self, value: &str, facts: &Facts) -> String {
        if !value.contains('{') {
            return value.to_owned();
        }
        // No "-0.0".
        let score = format!("{:.1}", facts.score() + 0.0).replace("-0.0", "0.0");
        let named: Vec<String> = facts
            .symbols
            .iter()
            .filter(|(_, points)| points.abs() >= self.least)
            .map(|(name, points)| format!("{name}({points:.1})"))
            .collect();
        let symbols = if named.is_empty() {
            "none".to_owned()
        } else {
            named.join(", ")
        };
        value
            .replace("{score}", &score)
            .replace("{symbols}", &symbols)
    }
}

fn remove(patterns: &[String], facts: &Facts, gone: &mut BTreeSet<String>, edits: &mut Vec<Edit>) {
    // By name in lower case: a message may bring very many.
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    let mut order = Vec::new();
    for name in &facts.names {
        if !patterns.iter().any(|pattern| names(pattern, name)) {
            continue;
        }
        let key = name.to_ascii_lowercase();
        if gone.contains(&key) {
            continue;
        }
        let count = counts.entry(key.clone()).or_insert(0);
        if *count == 0 {
            order.push((key, name));
        }
        *count += 1;
    }
    for (key, name) in order {
        let count = counts.get(&key).copied().unwrap_or(0);
        // From the last on, so that each number still names the same field when its turn comes.
        edits.extend((1..=count).rev().map(|nth| Edit::Remove {
            name: name.clone(),
            nth,
        }));
        gone.insert(key);
    }
}

fn names(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name
            .get(..start.len())
            .is_some_and(|prefix| prefix.eq_ignore_ascii_case(start)),
        None => pattern.eq_ignore_ascii_case(name),
    }
}

impl When {
    fn holds(&self, facts: &Facts, get: &dyn Fn(&str) -> Vec<String>) -> bool {
        self.score_at_least
            .is_none_or(|least| facts.score() >= least)
            && self.score_below.is_none_or(|bound| facts.score() < bound)
            && self
                .external
                .is_none_or(|external| external == facts.external)
            && (self.symbols.is_empty()
                || facts
                    .symbols
                    .iter()
                    .any(|(name, _)| self.symbols.contains(name)))
            && self.header.as_deref().is_none_or(|name| {
                let wanted = self.contains.as_deref().unwrap_or_default().to_lowercase();
                facts.count(name) > 0
                    && get(name)
                        .iter()
                        .any(|value| value.to_lowercase().contains(&wanted))
            })
    }
}

#[cfg(test)]
mod tests;
