//! Which of the plugins that loaded are in force: one active version of each name, at most one that is tried beside it, and pins before
//! what lies in the directory. Loads nothing.

use super::component::Plugin;
use super::filter::PluginFilter;
use super::generation::{Generation, Loaded, PluginState, PluginStatus, Slot, status_of};
use super::pins::Pin;
use super::rollout::{Rollout, Share};
use super::staged::Staged;
use crate::mail::{Filter, Hook, Mode};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A name of the chain with its versions.
#[derive(Clone)]
pub struct Member {
    pub name: String,
    /// The slot of what lies in the directory for it.
    key: Option<String>,
    pub active: Option<Arc<Loaded>>,
    /// A shadow or a canary.
    pub candidate: Option<Arc<Loaded>>,
    pub pin: Option<Pin>,
}

/// A pin and the version that it holds a plugin to, or why that cannot be loaded.
pub type Held = (Pin, Result<Arc<Loaded>, String>);

/// What tells two line-ups apart: not what the versions are made of, but what was loaded. Grants, breaker and figures are its own.
type Identity<'a> = (&'a str, Option<*const Loaded>, Option<*const Loaded>);

impl Member {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            key: None,
            active: None,
            candidate: None,
            pin: None,
        }
    }

    pub fn identity(&self) -> Identity<'_> {
        let which = |loaded: &Option<Arc<Loaded>>| loaded.as_ref().map(Arc::as_ptr);
        (&self.name, which(&self.active), which(&self.candidate))
    }

    pub fn loaded(&self) -> impl Iterator<Item = &Arc<Loaded>> {
        self.active.iter().chain(&self.candidate)
    }

    /// Its `order`.
    pub fn place(&self) -> u32 {
        let order = self.loaded().next().map(|loaded| loaded.plugin.order);
        order.unwrap_or_default()
    }

    fn order(&self) -> (u32, &str) {
        (self.place(), &self.name)
    }

    pub fn filter(&self) -> Option<Arc<dyn Filter>> {
        let plugin = |loaded: &Arc<Loaded>| Arc::clone(&loaded.plugin);
        let active = self.active.as_ref().map(plugin);
        match &self.candidate {
            None => active.map(|active| Arc::new(PluginFilter(active)) as Arc<dyn Filter>),
            Some(candidate) => Some(Arc::new(Staged::new(
                active,
                plugin(candidate),
                candidate.rollout.clone(),
            ))),
        }
    }
}

/// In the order of the chain, and what is to be said of each slot and pin, by name.
pub fn in_force(
    slots: &[Slot],
    held: &BTreeMap<String, Held>,
    before: &Generation,
) -> (Vec<Member>, Vec<PluginStatus>) {
    let mut force = Force {
        keepers: keepers(slots, before),
        ..Force::default()
    };
    for slot in slots {
        match &slot.loaded {
            None => {
                let why = slot.problem.clone().unwrap_or_default();
                force.kept_out(slot, why);
            }
            Some(loaded) if loaded.rollout == Rollout::Active => {
                force.active(slot, loaded, before);
            }
            // When all that are active are known.
            Some(_) => {}
        }
    }
    for (name, (pin, version)) in held {
        force.hold(name, pin, version);
    }
    for slot in slots {
        if let Some(loaded) = &slot.loaded
            && loaded.rollout != Rollout::Active
        {
            force.candidate(slot, loaded);
        }
    }
    let mut members: Vec<_> = force.members.into_values().collect();
    members.sort_by(|a, b| a.order().cmp(&b.order()));
    let mut statuses = force.statuses;
    statuses
        .sort_by(|a, b| (&a.name, a.mode != Mode::Active).cmp(&(&b.name, b.mode != Mode::Active)));
    (members, statuses)
}

/// The slot that has each name, where several want it: that of the version in force, or the folder of that name. What comes later must not
/// take over another's grants and what it keeps.
fn keepers<'a>(slots: &'a [Slot], before: &Generation) -> BTreeMap<&'a str, &'a str> {
    let mut keepers = BTreeMap::new();
    for slot in slots {
        let loaded = slot.loaded.as_ref();
        let Some(loaded) = loaded.filter(|loaded| loaded.rollout == Rollout::Active) else {
            continue;
        };
        let name = loaded.plugin.info.name.as_str();
        let known = before.member(name).and_then(|member| member.key.as_deref());
        let right = |key: &str| (known == Some(key), key == name);
        let keeper = keepers.entry(name).or_insert(slot.key.as_str());
        if right(&slot.key) > right(keeper) {
            *keeper = &slot.key;
        }
    }
    keepers
}

#[derive(Default)]
struct Force<'a> {
    members: BTreeMap<String, Member>,
    keepers: BTreeMap<&'a str, &'a str>,
    statuses: Vec<PluginStatus>,
}

impl Force<'_> {
    fn kept_out(&mut self, slot: &Slot, why: String) {
        let status = slot.status(None, PluginState::KeptOut(why));
        self.statuses.push(status);
    }

    fn active(&mut self, slot: &Slot, loaded: &Arc<Loaded>, before: &Generation) {
        let name = &loaded.plugin.info.name;
        let keeper = self.keepers.get(name.as_str());
        if let Some(other) = keeper.filter(|keeper| **keeper != slot.key) {
            let why = format!(
                "{other} has the same name: give one of them another in its plugin.toml, or try this one beside it with mode = \"shadow\" or \"canary\""
            );
            let status = slot.status(None, PluginState::KeptOut(why.clone()));
            if !before.plugins.contains(&status) {
                tracing::warn!("plugin {} kept out: {why}", slot.key);
            }
            return self.statuses.push(status);
        }
        self.statuses
            .push(slot.status(Some(loaded), slot.working()));
        let member = Member {
            key: Some(slot.key.clone()),
            active: Some(Arc::clone(loaded)),
            ..Member::new(name)
        };
        self.members.insert(name.clone(), member);
    }

    fn hold(&mut self, name: &str, pin: &Pin, version: &Result<Arc<Loaded>, String>) {
        let said = self
            .statuses
            .iter_mut()
            .find(|status| status.name == name && !matches!(status.state, PluginState::KeptOut(_)));
        let loaded = match version {
            Ok(loaded) => loaded,
            Err(why) => {
                let why = format!("the pin to {} has no effect: {why}", pin.version);
                if let Some(status) = said {
                    status.pinned = Some(why);
                }
                return;
            }
        };
        let member = self.members.entry(name.to_owned());
        let member = member.or_insert_with(|| Member::new(name));
        member.active = Some(Arc::clone(loaded));
        member.pin = Some(pin.clone());
        let mut status = PluginStatus {
            path: Some(loaded.path.clone()),
            loaded_at: Some(loaded.at),
            pinned: Some(pin.why.clone()),
            ..status_of(&loaded.plugin)
        };
        match said {
            Some(said) => {
                let same = said.digest == status.digest && said.version == status.version;
                if let (Some(version), false) = (&said.version, same) {
                    status.pinned = Some(format!("{}; {version} lies in the directory", pin.why));
                }
                *said = status;
            }
            None => self.statuses.push(status),
        }
    }

    fn candidate(&mut self, slot: &Slot, loaded: &Arc<Loaded>) {
        let name = &loaded.plugin.info.name;
        let known = self.members.get(name);
        if let Err(why) = may_stand_beside(loaded, known) {
            return self.kept_out(slot, why);
        }
        self.statuses
            .push(slot.status(Some(loaded), slot.working()));
        let member = self.members.entry(name.clone());
        let member = member.or_insert_with(|| Member::new(name));
        member.candidate = Some(Arc::clone(loaded));
    }
}

fn may_stand_beside(loaded: &Loaded, member: Option<&Member>) -> Result<(), String> {
    let name = &loaded.plugin.info.name;
    if let Some(other) = member.and_then(|member| member.candidate.as_ref()) {
        return Err(format!(
            "{} {} is tried already: there can be one shadow or canary of a plugin",
            name, other.plugin.info.version
        ));
    }
    let Rollout::Canary(share) = &loaded.rollout else {
        return Ok(());
    };
    let Some(active) = member.and_then(|member| member.active.as_ref()) else {
        return Err(format!(
            "it is a canary, and there is no active {name} in whose place it could run: remove mode from its plugin.toml, or make it a shadow"
        ));
    };
    let early = |plugin: &Plugin| {
        let hooks = [Hook::Connect, Hook::Helo, Hook::Mail];
        hooks
            .into_iter()
            .find(|hook| plugin.info.hooks.contains(*hook))
    };
    let hook = early(&loaded.plugin).or(early(&active.plugin));
    match (share, hook) {
        (Share::Recipients(_), Some(hook)) => Err(format!(
            "it is a canary for some recipients, and on-{hook} is asked before there are any: use share in place of recipients"
        )),
        _ => Ok(()),
    }
}
