//! What a plugin asks for: its imports, less those that its manifest calls unused, narrowed by what its manifest says.
//! Knows nothing of what is granted.

use super::narrowing::{self, Narrowing, VERDICTS};
use super::{Ability, Fault, RawTable};
use std::collections::BTreeSet;

/// The table `[capabilities]` of plugin.toml.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Declared {
    pub narrowing: Narrowing,
    /// Imported by the language's toolchain, never called.
    pub unused: BTreeSet<Ability>,
}

impl Declared {
    pub fn read(table: &RawTable) -> Result<Self, Fault> {
        let mut declared = Self::default();
        for (key, list) in table {
            narrowing::check_length(key, list)?;
            if key.get_ref() == "unused" {
                for item in list {
                    let ability = Ability::from_name(item.get_ref()).ok_or_else(|| Fault {
                        span: item.span(),
                        text: format!(
                            "nothing that needs a grant is called {:?}: write wasi:http, wasi:sockets, wasi:filesystem, or some of {}",
                            item.get_ref(),
                            Ability::names(|_| true)
                        ),
                    })?;
                    declared.unused.insert(ability);
                }
            } else if !declared.narrowing.read(key.get_ref(), list)? {
                return Err(Fault {
                    span: key.span(),
                    text: format!(
                        "[capabilities] cannot narrow {:?}: what it can is {}, and `unused` names imports that are never called",
                        key.get_ref(),
                        Narrowing::keys()
                    ),
                });
            }
        }
        Ok(declared)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    pub abilities: BTreeSet<Ability>,
    pub declared: Declared,
}

impl Asked {
    pub fn new<'a>(imports: impl IntoIterator<Item = &'a str>, declared: Declared) -> Self {
        let abilities = imports.into_iter().filter_map(Ability::of_import);
        Self {
            abilities: abilities
                .filter(|ability| !declared.unused.contains(ability))
                .collect(),
            declared,
        }
    }

    /// For people: each ability, with its patterns if it has any.
    pub fn describe(&self) -> Vec<String> {
        let narrowing = &self.declared.narrowing;
        let mut lines: Vec<String> = self
            .abilities
            .iter()
            .map(|&ability| match narrowing.patterns.get(&ability) {
                Some(globs) => format!("{} ({})", ability.name(), words(globs)),
                None if ability.is_empty() => format!("{} (empty here)", ability.name()),
                None => ability.name().to_owned(),
            })
            .collect();
        if let Some(verdicts) = &narrowing.verdicts {
            lines.push(format!("verdicts ({})", words(verdicts)));
        }
        lines
    }

    /// Verdicts that it names itself, or all that are granted without a word.
    pub fn verdicts(&self) -> BTreeSet<&'static str> {
        let named = self.declared.narrowing.verdicts.clone();
        named.unwrap_or_else(|| {
            VERDICTS
                .into_iter()
                .filter(|&name| name != "accept")
                .collect()
        })
    }
}

/// Words in a row, or that there are none.
pub fn words<T: ToString>(items: impl IntoIterator<Item = T>) -> String {
    let words: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    match words.is_empty() {
        true => "none".to_owned(),
        false => words.join(" "),
    }
}
