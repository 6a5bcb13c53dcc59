//! The immutable set of plugins in force, and how the next one comes out of the files: what loads replaces its forerunner, what does
//! not leaves it in force. Start and reload are the same step.

use super::component::{Plugin, Runtime, Start};
use super::digest::Digest;
use super::force::Member;
use super::loader::{Files, Fingerprint, Source};
use super::manifest::{Manifest, check_name};
use super::rollout::Rollout;
use crate::mail::{Filter, Hook, Mode};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// A transaction keeps the one that it began with.
pub struct Generation {
    /// From 1; a change of what is in force makes the next.
    pub number: u64,
    /// In the order of the chain.
    pub filters: Arc<[Arc<dyn Filter>]>,
    /// All that lie in the directory, those kept out too, by name.
    pub plugins: Vec<PluginStatus>,
    /// Why the directory could not be looked at the last time.
    pub problem: Option<String>,
    /// In the order of the chain.
    pub(super) members: Arc<[Member]>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PluginStatus {
    pub name: String,
    /// None if it never loaded.
    pub version: Option<String>,
    pub state: PluginState,
    /// The component's file.
    pub path: Option<PathBuf>,
    /// Of what is in force.
    pub digest: Option<Digest>,
    pub order: Option<u32>,
    pub hooks: Vec<Hook>,
    /// The interfaces that it imports: all that it can do.
    pub abilities: Vec<String>,
    /// What of it is in force: each with its patterns, and the verdicts.
    #[serde(default)]
    pub capabilities: Vec<String>,
    /// Octets of the component.
    pub size: Option<u64>,
    pub loaded_at: Option<Timestamp>,
    /// Set if `on-load` has to run in each instance, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_start_image: Option<String>,
    #[serde(default, skip_serializing_if = "Mode::is_active")]
    pub mode: Mode,
    /// Set if it is held to this version, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is", content = "why")]
pub enum PluginState {
    Active,
    KeptOut(String),
    /// What lies there now is broken; the version before it is at work.
    Previous(String),
}

/// What is known of one plugin of the directory.
#[derive(Clone)]
pub struct Slot {
    pub(super) key: String,
    path: Option<PathBuf>,
    /// What was tried last, or why it could not be read.
    tried: Result<Fingerprint, String>,
    pub(super) loaded: Option<Arc<Loaded>>,
    pub(super) problem: Option<String>,
}

/// A version of a plugin that loaded.
pub struct Loaded {
    pub plugin: Arc<Plugin>,
    pub rollout: Rollout,
    pub fingerprint: Fingerprint,
    /// The component's file.
    pub path: PathBuf,
    pub at: Timestamp,
    /// Until the history has them.
    files: Mutex<Option<Files>>,
}

impl Loaded {
    pub fn take_files(&self) -> Option<Files> {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.take()
    }
}

impl Slot {
    /// What is loaded goes by the grants of now, or goes.
    pub(super) fn regrant(&mut self) {
        if let Some(loaded) = &self.loaded
            && let Err(lacking) = loaded.plugin.regrant()
        {
            tracing::warn!("plugin {} is out of force: {lacking}", self.key);
            self.loaded = None;
            self.problem = Some(lacking.to_string());
        }
    }

    /// What lies there is what is loaded.
    fn is_as_tried(&self) -> bool {
        let tried = self.tried.as_ref().ok();
        let loaded = self.loaded.as_ref();
        loaded.is_some_and(|loaded| Some(&loaded.fingerprint) == tried)
    }

    /// As [`Source::state`].
    pub fn state(&self) -> (&str, Result<Fingerprint, &str>) {
        (
            &self.key,
            self.tried.as_ref().copied().map_err(String::as_str),
        )
    }
}

/// Loads what changed. Slots come out sorted by key, as the sources are. `regranted`: the grants are others than when it was done last.
pub async fn load(
    runtime: &Arc<Runtime>,
    before: &[Slot],
    sources: Vec<Source>,
    regranted: bool,
) -> Vec<Slot> {
    let mut known: HashMap<&str, &Slot> = before
        .iter()
        .map(|slot| (slot.key.as_str(), slot))
        .collect();
    let mut slots = Vec::new();
    let mut work = JoinSet::new();
    let metrics = runtime.services.metrics.filters().versions().clone();
    // Compiling takes all of a core for seconds.
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let lanes = Arc::new(Semaphore::new(cores));
    for source in sources {
        let former = known.remove(source.key.as_str());
        if let Some(former) = former
            && former.state() == source.state()
            // What was kept out may be granted what it lacked.
            && !(regranted && former.problem.is_some())
        {
            slots.push(former.clone());
            continue;
        }
        let slot = Slot {
            tried: source
                .files
                .as_ref()
                .map(|files| files.fingerprint)
                .map_err(Clone::clone),
            loaded: former.and_then(|former| former.loaded.clone()),
            problem: None,
            path: source.path.clone(),
            key: source.key.clone(),
        };
        // It was broken for a while. Loaded anew it would have a breaker and figures of its own, and grants that are in force for it would not
        // be in force for what is at work.
        if slot.is_as_tried() {
            slots.push(slot);
            continue;
        }
        let at = slots.len();
        slots.push(slot);
        let runtime = Arc::clone(runtime);
        let lanes = Arc::clone(&lanes);
        work.spawn(async move {
            // It is never closed.
            let _lane = lanes.acquire_owned().await;
            (at, load_one(runtime, source).await)
        });
    }
    while let Some(done) = work.join_next().await {
        let Ok((at, result)) = done else {
            continue;
        };
        let Some(slot) = slots.get_mut(at) else {
            continue;
        };
        match result {
            Ok(loaded) => {
                let info = &loaded.plugin.info;
                tracing::info!("plugin {} {} loaded", info.name, info.version);
                slot.loaded = Some(Arc::new(loaded));
                slot.problem = None;
            }
            Err(why) => {
                let former = if slot.loaded.is_some() {
                    "; the version before it stays in force"
                } else {
                    ""
                };
                tracing::warn!("plugin {} kept out: {why}{former}", slot.key);
                metrics.refused_load(&slot.key);
                slot.problem = Some(why);
            }
        }
    }
    for slot in &mut slots {
        if slot.problem.is_none() && !slot.is_as_tried() {
            slot.problem = Some("loading it ended in a panic of the host".to_owned());
        }
    }
    for gone in known.into_values() {
        tracing::info!("plugin {} removed", gone.key);
    }
    slots
}

pub async fn load_one(runtime: Arc<Runtime>, source: Source) -> Result<Loaded, String> {
    let files = source.files?;
    let manifest =
        Manifest::parse(&files.manifest).map_err(|error| format!("plugin.toml, {error}"))?;
    // NAME@ANYTHING is a further version of NAME.
    let name = source.key.split('@').next().unwrap_or_default();
    if manifest.name.is_none() {
        check_name(name)?;
    }
    let plugin = Plugin::load(runtime, name, &manifest, Arc::clone(&files.bytes))
        .await
        .map_err(|error| error.to_string())?;
    Ok(Loaded {
        plugin: Arc::new(plugin),
        fingerprint: files.fingerprint,
        path: source.path.unwrap_or_default(),
        at: Timestamp::now(),
        files: Mutex::new(Some(files).filter(|_| manifest.rollout == Rollout::Active)),
        rollout: manifest.rollout,
    })
}

impl Generation {
    pub fn empty() -> Self {
        Self {
            number: 0,
            filters: Arc::new([]),
            plugins: Vec::new(),
            problem: None,
            members: Arc::new([]),
        }
    }

    /// What is in force after `before`. None if nothing can be told apart from it. `problem`: why it is not what it should be.
    pub fn next(
        before: &Self,
        members: Vec<Member>,
        statuses: Vec<PluginStatus>,
        problem: Option<String>,
    ) -> Option<Self> {
        let changed = !same(&members, &before.members) || before.number == 0;
        if !changed && statuses == before.plugins && problem == before.problem {
            return None;
        }
        Some(Self {
            number: if changed {
                before.number + 1
            } else {
                before.number
            },
            filters: members.iter().filter_map(Member::filter).collect(),
            plugins: statuses,
            problem,
            members: members.into(),
        })
    }

    pub(super) fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    /// The filters with their places in the chain.
    pub fn ordered(&self) -> impl Iterator<Item = (u32, Arc<dyn Filter>)> {
        let orders = self.members.iter().map(Member::place);
        orders.zip(self.filters.iter().cloned())
    }
}

fn same(a: &[Member], b: &[Member]) -> bool {
    a.iter()
        .map(Member::identity)
        .eq(b.iter().map(Member::identity))
}

impl Slot {
    /// Of one that has a version at work.
    pub(super) fn working(&self) -> PluginState {
        match &self.problem {
            None => PluginState::Active,
            Some(why) => PluginState::Previous(why.clone()),
        }
    }

    /// What lies there now is what is loaded.
    pub(super) fn is_up_to_date(&self) -> bool {
        self.problem.is_none()
    }

    pub(super) fn status(&self, loaded: Option<&Arc<Loaded>>, state: PluginState) -> PluginStatus {
        match loaded {
            Some(loaded) => PluginStatus {
                state,
                path: self.path.clone(),
                loaded_at: Some(loaded.at),
                ..status_of(&loaded.plugin)
            },
            None => PluginStatus {
                name: self.key.clone(),
                version: None,
                state,
                path: self.path.clone(),
                digest: None,
                order: None,
                hooks: Vec::new(),
                abilities: Vec::new(),
                capabilities: Vec::new(),
                size: None,
                loaded_at: None,
                no_start_image: None,
                mode: Mode::Active,
                pinned: None,
            },
        }
    }
}

/// Of a plugin that has just been loaded from nowhere in particular.
pub fn status_of(plugin: &Plugin) -> PluginStatus {
    PluginStatus {
        name: plugin.info.name.clone(),
        version: Some(plugin.info.version.clone()),
        state: PluginState::Active,
        path: None,
        digest: Some(plugin.digest),
        order: Some(plugin.order),
        hooks: plugin.info.hooks.iter().collect(),
        abilities: plugin.interface.abilities.clone(),
        capabilities: plugin.profile.capabilities.load().describe(),
        size: Some(plugin.size),
        loaded_at: None,
        no_start_image: match &plugin.start {
            Start::Each(why) => Some(why.clone()),
            Start::Plain | Start::Image => None,
        },
        mode: plugin.profile.mode,
        pinned: None,
    }
}
