//! `grants.toml`: what the operator grants to each plugin, and to all. Errors name line and column. Does not watch the file.

use super::narrowing::{self, Narrowing, VERDICTS};
use super::{Ability, Asked, Capabilities, Fault, RawTable};
use crate::plugin::manifest::{ManifestError, check_name, placed};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// The table for all plugins.
const ALL: &str = "*";

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Where the operator writes them.
    file: PathBuf,
    /// Whatever is asked for is granted: for plugins that run without a server.
    everything: bool,
    all: Table,
    own: BTreeMap<String, Table>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Table {
    abilities: Option<BTreeSet<Ability>>,
    narrowing: Narrowing,
}

impl Grants {
    /// Nothing but what all have.
    pub fn none(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            ..Self::default()
        }
    }

    pub fn everything() -> Self {
        Self {
            everything: true,
            ..Self::default()
        }
    }

    /// `file` is what messages name.
    pub fn parse(file: &Path, text: &str) -> Result<Self, ManifestError> {
        let raw: BTreeMap<Spanned<String>, RawTable> =
            toml::from_str(text).map_err(|error| placed(text, error.span(), error.message()))?;
        let mut grants = Self::none(file);
        let fault = |fault: Fault| placed(text, Some(fault.span), &fault.text);
        // The table for all first: what it grants may be narrowed in the others.
        for (name, table) in &raw {
            if name.get_ref() == ALL {
                grants.all = Table::read(table, &Ability::is_for_all).map_err(fault)?;
            }
        }
        for (name, table) in &raw {
            if name.get_ref() == ALL {
                continue;
            }
            check_name(name.get_ref()).map_err(|text| {
                fault(Fault {
                    span: name.span(),
                    text: format!("{text}; [\"*\"] is for all plugins"),
                })
            })?;
            let table = Table::read(table, &|ability| grants.is_for_all(ability)).map_err(fault)?;
            grants.own.insert(name.get_ref().clone(), table);
        }
        Ok(grants)
    }

    fn is_for_all(&self, ability: Ability) -> bool {
        match &self.all.abilities {
            Some(abilities) => abilities.contains(&ability),
            None => ability.is_for_all(),
        }
    }

    fn grants(&self, plugin: &str, ability: Ability) -> bool {
        let own = self.own.get(plugin);
        let own = own.and_then(|table| table.abilities.as_ref());
        self.everything
            || ability.is_empty()
            || self.is_for_all(ability)
            || own.is_some_and(|abilities| abilities.contains(&ability))
    }

    /// A key of the plugin's own table stands in place of the same one for all; only abilities add up.
    fn narrowing(&self, plugin: &str) -> Narrowing {
        if self.everything {
            return Narrowing::default();
        }
        let mut narrowing = self.all.narrowing.clone();
        if let Some(own) = self.own.get(plugin) {
            narrowing.patterns.extend(own.narrowing.patterns.clone());
            if own.narrowing.verdicts.is_some() {
                narrowing.verdicts.clone_from(&own.narrowing.verdicts);
            }
        }
        let unsaid = || {
            VERDICTS
                .into_iter()
                .filter(|&name| name != "accept")
                .collect()
        };
        narrowing.verdicts.get_or_insert_with(unsaid);
        narrowing
    }

    /// What the plugin may do, or what it asks for in vain.
    pub fn capabilities(&self, plugin: &str, asked: &Asked) -> Result<Capabilities, Lacking> {
        let lacking = asked
            .abilities
            .iter()
            .copied()
            .filter(|&ability| !self.grants(plugin, ability))
            .collect::<BTreeSet<_>>();
        if lacking.is_empty() {
            let mut abilities = asked.abilities.clone();
            // Nobody asks for it: it is for the operator to know which addresses are theirs.
            let private = Ability::HttpPrivate;
            if abilities.contains(&Ability::Http)
                && !self.everything
                && self.grants(plugin, private)
            {
                abilities.insert(private);
            }
            return Ok(Capabilities {
                plugin: plugin.to_owned(),
                abilities,
                own: asked.declared.narrowing.clone(),
                granted: self.narrowing(plugin),
            });
        }
        let own = self.own.get(plugin);
        let mut list = own
            .and_then(|table| table.abilities.clone())
            .unwrap_or_default();
        list.extend(&lacking);
        Err(Lacking {
            plugin: plugin.to_owned(),
            file: self.file.clone(),
            has_table: own.is_some(),
            abilities: lacking,
            list,
        })
    }

    /// Verdicts that the plugin asks for by name and is not granted.
    pub fn verdicts_lacking(&self, plugin: &str, asked: &Asked) -> BTreeSet<&'static str> {
        let granted = self.narrowing(plugin);
        let mut asked = asked.verdicts();
        asked.retain(|name| !granted.allows_verdict(name));
        asked
    }
}

impl Table {
    /// `is_for_all`: abilities that it needs not name to narrow them.
    fn read(table: &RawTable, is_for_all: &dyn Fn(Ability) -> bool) -> Result<Self, Fault> {
        let mut read = Self::default();
        for (key, list) in table {
            narrowing::check_length(key, list)?;
            if key.get_ref() == "abilities" {
                read.abilities = Some(abilities(list)?);
            } else if !read.narrowing.read(key.get_ref(), list)? {
                let is_ability = Ability::from_name(key.get_ref()).is_some();
                let hint = match is_ability {
                    true => format!(
                        "it has no patterns: write abilities = [{:?}]",
                        key.get_ref()
                    ),
                    false => format!("there are abilities, {}", Narrowing::keys()),
                };
                return Err(Fault {
                    span: key.span(),
                    text: format!("unknown key {:?}: {hint}", key.get_ref()),
                });
            }
        }
        for key in table.keys() {
            let Some(ability) = Ability::from_name(key.get_ref()) else {
                continue;
            };
            let named = read.abilities.as_ref();
            if !named.is_some_and(|named| named.contains(&ability)) && !is_for_all(ability) {
                let mut abilities = read.abilities.clone().unwrap_or_default();
                abilities.insert(ability);
                return Err(Fault {
                    span: key.span(),
                    text: format!(
                        "{} is narrowed here but not granted: write {} too",
                        ability.name(),
                        abilities_line(&abilities)
                    ),
                });
            }
        }
        Ok(read)
    }
}

fn abilities(list: &[Spanned<String>]) -> Result<BTreeSet<Ability>, Fault> {
    let mut abilities = BTreeSet::new();
    for item in list {
        if item.get_ref() == ALL {
            let private = |ability: &Ability| *ability == Ability::HttpPrivate;
            abilities.extend(Ability::ALL.into_iter().filter(|ability| !private(ability)));
            continue;
        }
        let ability = Ability::from_name(item.get_ref()).ok_or_else(|| Fault {
            span: item.span(),
            text: format!(
                "there is no ability {:?}: write some of {}",
                item.get_ref(),
                Ability::names(|ability| !ability.is_empty())
            ),
        })?;
        if ability.is_empty() {
            return Err(Fault {
                span: item.span(),
                text: format!(
                    "{} cannot be granted: plugins that import it find nothing in it; leave it out",
                    ability.name()
                ),
            });
        }
        abilities.insert(ability);
    }
    Ok(abilities)
}

/// As it stands in the file.
fn abilities_line(abilities: &BTreeSet<Ability>) -> String {
    let names: Vec<String> = abilities
        .iter()
        .map(|ability| format!("{:?}", ability.name()))
        .collect();
    format!("abilities = [{}]", names.join(", "))
}

/// What a plugin asks for and is not granted, with the line that would grant it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lacking {
    pub plugin: String,
    pub abilities: BTreeSet<Ability>,
    file: PathBuf,
    has_table: bool,
    /// What its list would be.
    list: BTreeSet<Ability>,
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self
            .abilities
            .iter()
            .map(|ability| ability.name())
            .collect();
        // A dot would make two tables of it.
        let header = match self.plugin.contains('.') {
            true => format!("[{:?}]", self.plugin),
            false => format!("[{}]", self.plugin),
        };
        let (file, line) = (self.file.display(), abilities_line(&self.list));
        write!(
            f,
            "{} asks for {}, which it is not granted: ",
            self.plugin,
            names.join(", ")
        )?;
        match self.has_table {
            true => write!(f, "under {header} in {file}, write\n{line}"),
            false => write!(f, "add to {file}:\n{header}\n{line}"),
        }
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
