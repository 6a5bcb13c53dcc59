//! Lists of patterns and verdicts that narrow abilities, as they stand in plugin.toml and in grants.toml alike.
//! Knows nothing of what else stands there.

use super::{Ability, Glob};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use toml::Spanned;

/// Of one table; more is no list that a person reads.
const MAX_ENTRIES: usize = 200;

/// A table of either file: all its values are lists of texts.
pub type RawTable = BTreeMap<Spanned<String>, Vec<Spanned<String>>>;

/// What is wrong, and where in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub span: Range<usize>,
    pub text: String,
}

/// What a hook can answer besides `continue`, which all may.
pub const VERDICTS: [&str; 5] = ["accept", "discard", "quarantine", "reject", "tempfail"];

/// For each ability that is narrowed, what it may be used on. What has no list is not narrowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Narrowing {
    pub patterns: BTreeMap<Ability, Vec<Glob>>,
    pub verdicts: Option<BTreeSet<&'static str>>,
}

impl Narrowing {
    /// Reads a key if it is one of its own.
    pub fn read(&mut self, key: &str, list: &[Spanned<String>]) -> Result<bool, Fault> {
        if key == "verdicts" {
            self.verdicts = Some(verdicts(list)?);
            return Ok(true);
        }
        let ability = Ability::from_name(key).filter(|ability| ability.has_patterns());
        let Some(ability) = ability.filter(|ability| ability.name() == key) else {
            return Ok(false);
        };
        let globs = list.iter().map(|item| {
            Glob::new(ability, item.get_ref()).map_err(|text| Fault {
                span: item.span(),
                text,
            })
        });
        self.patterns
            .insert(ability, globs.collect::<Result<_, _>>()?);
        Ok(true)
    }

    /// Whether it leaves this.
    pub fn allows(&self, ability: Ability, text: &str) -> bool {
        let Some(globs) = self.patterns.get(&ability) else {
            return true;
        };
        globs.iter().any(|glob| glob.matches(text))
    }

    pub fn allows_verdict(&self, name: &str) -> bool {
        let Some(verdicts) = &self.verdicts else {
            return true;
        };
        verdicts.contains(name)
    }

    /// The names of its keys, for messages.
    pub fn keys() -> String {
        format!("{}, verdicts", Ability::names(Ability::has_patterns))
    }
}

/// Refuses a list that no person wrote.
pub fn check_length(key: &Spanned<String>, list: &[Spanned<String>]) -> Result<(), Fault> {
    if list.len() <= MAX_ENTRIES {
        return Ok(());
    }
    Err(Fault {
        span: key.span(),
        text: format!(
            "{} has {} entries: the limit is {MAX_ENTRIES}, and * stands for many",
            key.get_ref(),
            list.len()
        ),
    })
}

fn verdicts(list: &[Spanned<String>]) -> Result<BTreeSet<&'static str>, Fault> {
    let mut verdicts = BTreeSet::new();
    for item in list {
        if item.get_ref() == "*" {
            verdicts.extend(VERDICTS);
            continue;
        }
        let known = VERDICTS.iter().find(|&name| name == item.get_ref());
        verdicts.insert(*known.ok_or_else(|| Fault {
            span: item.span(),
            text: match item.get_ref().as_str() {
                "continue" => "every plugin may answer `continue`: leave it out".to_owned(),
                other => format!(
                    "there is no verdict {other:?}: write some of {}",
                    VERDICTS.join(", ")
                ),
            },
        })?);
    }
    Ok(verdicts)
}
