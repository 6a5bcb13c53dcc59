//! Where what was expected and what was observed differ. Changes neither.

use super::{Expect, Fields, Observed, VerdictName};
use crate::kit::recordings::show;
use crate::mail::Address;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

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
        compare("not recorded", Vec::new(), observed.unrecorded.clone());
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
        if let Some(kv) = &self.kv {
            let line = |(key, value): (&String, String)| format!("{key} = {value}");
            let expected = kv.iter().map(|(key, value)| (key, value.to_string()));
            let found = observed.kv.iter().map(|(key, value)| (key, show(value)));
            compare(
                "kv",
                expected.map(line).collect(),
                found.map(line).collect(),
            );
        }
        all
    }
}
