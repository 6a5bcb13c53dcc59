//! The immutable set of plugins in force, and how the next one comes out of the files: what loads replaces its forerunner, what does
//! not leaves it in force. Start and reload are the same step.

use super::component::{Plugin, Runtime, Start};
use super::digest::Digest;
use super::filter::PluginFilter;
use super::loader::{Fingerprint, Source};
use super::manifest::{Manifest, check_name};
use crate::mail::{Filter, Hook};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
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
    key: String,
    path: Option<PathBuf>,
    /// What was tried last, or why it could not be read.
    tried: Result<Fingerprint, String>,
    loaded: Option<Arc<Loaded>>,
    problem: Option<String>,
}

struct Loaded {
    plugin: Arc<Plugin>,
    fingerprint: Fingerprint,
    at: Timestamp,
}

impl Slot {
    /// What is loaded goes by the grants of now, or goes.
    fn regrant(&mut self, regranted: bool) {
        if regranted
            && let Some(loaded) = &self.loaded
            && let Err(lacking) = loaded.plugin.regrant()
        {
            tracing::warn!("plugin {} is out of force: {lacking}", self.key);
            self.loaded = None;
            self.problem = Some(lacking.to_string());
        }
    }

    /// As [`Source::state`].
    pub fn state(&self) -> (&str, Result<Fingerprint, &str>) {
        (
            &self.key,
            self.tried.as_ref().copied().map_err(String::as_str),
        )
    }
}

/// Loads what changed. Slots come out sorted by key, as the sources are. `regranted`: the grants are others than before.
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
            let mut slot = former.clone();
            slot.regrant(regranted);
            slots.push(slot);
            continue;
        }
        let mut slot = Slot {
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
        slot.regrant(regranted);
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
            }
            Err(why) => {
                let former = if slot.loaded.is_some() {
                    "; the version before it stays in force"
                } else {
                    ""
                };
                tracing::warn!("plugin {} kept out: {why}{former}", slot.key);
                slot.problem = Some(why);
            }
        }
    }
    for slot in &mut slots {
        let tried = slot.tried.as_ref().ok();
        let as_tried = |loaded: &Arc<Loaded>| Some(&loaded.fingerprint) == tried;
        if slot.problem.is_none() && !slot.loaded.as_ref().is_some_and(as_tried) {
            slot.problem = Some("loading it ended in a panic of the host".to_owned());
        }
    }
    for gone in known.into_values() {
        tracing::info!("plugin {} removed", gone.key);
    }
    slots
}

async fn load_one(runtime: Arc<Runtime>, source: Source) -> Result<Loaded, String> {
    let files = source.files?;
    let manifest =
        Manifest::parse(&files.manifest).map_err(|error| format!("plugin.toml, {error}"))?;
    if manifest.name.is_none() {
        check_name(&source.key)?;
    }
    let plugin = Plugin::load(runtime, &source.key, &manifest, files.bytes)
        .await
        .map_err(|error| error.to_string())?;
    Ok(Loaded {
        plugin: Arc::new(plugin),
        fingerprint: files.fingerprint,
        at: Timestamp::now(),
    })
}

impl Generation {
    pub fn empty() -> Self {
        Self {
            number: 0,
            filters: Arc::new([]),
            plugins: Vec::new(),
            problem: None,
        }
    }

    /// What is in force after `before`. None if nothing can be told apart from it.
    pub fn next(before: &Self, slots: &[Slot], former: &[Slot]) -> Option<Self> {
        let (plugins, mut statuses) = in_force(slots);
        let changed = identity(&plugins) != identity(&in_force(former).0) || before.number == 0;
        statuses.sort_by(|a, b| a.name.cmp(&b.name));
        if !changed && statuses == before.plugins && before.problem.is_none() {
            return None;
        }
        Some(Self {
            number: if changed {
                before.number + 1
            } else {
                before.number
            },
            filters: plugins
                .into_iter()
                .map(|loaded| Arc::new(PluginFilter(Arc::clone(&loaded.plugin))) as Arc<dyn Filter>)
                .collect(),
            plugins: statuses,
            problem: None,
        })
    }

    /// The same, but for a directory that cannot be looked at.
    pub fn with_problem(&self, problem: String) -> Self {
        Self {
            number: self.number,
            filters: Arc::clone(&self.filters),
            plugins: self.plugins.clone(),
            problem: Some(problem),
        }
    }
}

fn identity(plugins: &[&Arc<Loaded>]) -> Vec<(String, Fingerprint)> {
    plugins
        .iter()
        .map(|loaded| (loaded.plugin.info.name.clone(), loaded.fingerprint))
        .collect()
}

/// The plugins of the chain in its order, and what is to be said of each slot.
fn in_force(slots: &[Slot]) -> (Vec<&Arc<Loaded>>, Vec<PluginStatus>) {
    let mut names: HashMap<&str, &str> = HashMap::new();
    let mut plugins = Vec::new();
    let mut statuses = Vec::new();
    for slot in slots {
        let taken = slot
            .loaded
            .as_ref()
            .and_then(|loaded| names.insert(&loaded.plugin.info.name, &slot.key));
        if let Some(other) = taken {
            let why =
                format!("{other} has the same name: give one of them another in its plugin.toml");
            statuses.push(slot.status(None, PluginState::KeptOut(why)));
            continue;
        }
        let state = match (&slot.loaded, &slot.problem) {
            (Some(_), None) => PluginState::Active,
            (Some(_), Some(why)) => PluginState::Previous(why.clone()),
            (None, why) => PluginState::KeptOut(why.clone().unwrap_or_default()),
        };
        statuses.push(slot.status(slot.loaded.as_ref(), state));
        plugins.extend(&slot.loaded);
    }
    plugins.sort_by_key(|loaded| (loaded.plugin.order, loaded.plugin.info.name.clone()));
    (plugins, statuses)
}

impl Slot {
    fn status(&self, loaded: Option<&Arc<Loaded>>, state: PluginState) -> PluginStatus {
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
    }
}
