//! What one plugin may do now, and the refusals of what it may not: each names the plugin, the ability and what to write where.
//! Decides nothing about a message.

use super::asked::words;
use super::narrowing::Narrowing;
use super::{Ability, Asked};
use crate::mail::Verdict;
use std::collections::BTreeSet;

/// Of a list in a refusal.
const MAX_SHOWN: usize = 10;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    pub(super) plugin: String,
    pub(super) abilities: BTreeSet<Ability>,
    /// By its own manifest.
    pub(super) own: Narrowing,
    /// By the operator.
    pub(super) granted: Narrowing,
}

/// Where a narrowing stands: a plugin's own, or what the operator wrote of it.
fn place(granted_to: Option<&String>) -> String {
    match granted_to {
        None => "[capabilities] in its plugin.toml".to_owned(),
        Some(plugin) => format!("[{plugin}] in grants.toml"),
    }
}

impl Capabilities {
    /// All that it asks for.
    pub fn all_of(plugin: &str, asked: &Asked) -> Self {
        Self {
            plugin: plugin.to_owned(),
            abilities: asked.abilities.clone(),
            own: asked.declared.narrowing.clone(),
            granted: Narrowing::default(),
        }
    }

    /// Whether the ability may be used on this, a field name for instance. The text is for plugin and journal: it does not say where the
    /// operator's files lie.
    pub fn check(&self, ability: Ability, text: &str) -> Result<(), String> {
        let (plugin, name) = (&self.plugin, ability.name());
        if !self.abilities.contains(&ability) {
            return Err(format!(
                "{plugin} has no {name}: it neither asks for it nor is it granted"
            ));
        }
        let named = |narrowing: &Narrowing| narrowing.patterns.contains_key(&ability);
        if ability == Ability::Http && !named(&self.own) && !named(&self.granted) {
            return Err(format!(
                "{plugin} names no hosts that it talks to; under [capabilities] in its plugin.toml, write: {name} = [{text:?}]"
            ));
        }
        for (narrowing, granted_to) in [(&self.own, None), (&self.granted, Some(plugin))] {
            if !narrowing.allows(ability, text) {
                let place = place(granted_to);
                let globs = narrowing.patterns.get(&ability);
                let list = list(globs.into_iter().flatten().map(|glob| glob.as_str()), text);
                let may = shown(globs.into_iter().flatten().map(|glob| glob.as_str()));
                return Err(format!(
                    "{plugin} may use {name} on {may}, not on {text:?}; under {place}, write: {name} = {list}"
                ));
            }
        }
        Ok(())
    }

    pub fn check_verdict(&self, verdict: &Verdict) -> Result<(), String> {
        let (plugin, name) = (&self.plugin, verdict.name());
        if *verdict == Verdict::Continue {
            return Ok(());
        }
        for (narrowing, granted_to) in [(&self.own, None), (&self.granted, Some(plugin))] {
            if !narrowing.allows_verdict(name) {
                let place = place(granted_to);
                let verdicts = narrowing.verdicts.iter().flatten().copied();
                return Err(format!(
                    "{plugin} answered {name}, which it is not granted; under {place}, write: verdicts = {}",
                    list(verdicts, name)
                ));
            }
        }
        Ok(())
    }

    /// Whether the ability is there at all.
    pub fn has(&self, ability: Ability) -> bool {
        self.abilities.contains(&ability)
    }

    /// For people: each ability, with the patterns that all must agree to.
    pub fn describe(&self) -> Vec<String> {
        let both = [&self.own, &self.granted];
        let mut lines: Vec<String> = self
            .abilities
            .iter()
            .map(|ability| {
                let mut lists: Vec<String> = both
                    .iter()
                    .filter_map(|narrowing| narrowing.patterns.get(ability))
                    .map(words)
                    .collect();
                lists.dedup();
                match lists.is_empty() {
                    true => ability.name().to_owned(),
                    false => format!("{} ({})", ability.name(), lists.join(" and ")),
                }
            })
            .collect();
        let allowed = super::narrowing::VERDICTS
            .into_iter()
            .filter(|name| both.iter().all(|narrowing| narrowing.allows_verdict(name)));
        lines.push(format!("verdicts ({})", words(allowed)));
        lines
    }
}

/// The list with one more, as TOML.
fn list<'a>(items: impl Iterator<Item = &'a str>, one_more: &str) -> String {
    let mut items: Vec<String> = items.map(|item| format!("{item:?}")).collect();
    if items.len() > MAX_SHOWN {
        items.truncate(MAX_SHOWN);
        items.push("…".to_owned());
    }
    items.push(format!("{one_more:?}"));
    format!("[{}]", items.join(", "))
}

fn shown<'a>(items: impl Iterator<Item = &'a str>) -> String {
    let mut items: Vec<&str> = items.collect();
    if items.len() > MAX_SHOWN {
        items.truncate(MAX_SHOWN);
        items.push("…");
    }
    match items.is_empty() {
        true => "nothing".to_owned(),
        false => items.join(" "),
    }
}
