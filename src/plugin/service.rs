//! The host as others see it: it starts with what lies in the directory, follows what changes there, and hands out the generation in
//! force. Knows nothing of what filters are asked.

use super::breaker::BreakerConfig;
use super::capability::{Granting, GrantsFile};
use super::compiler::{Apart, Compiler};
use super::component::{LoadTime, Runtime};
use super::engine::{EngineConfig, EngineError};
use super::force::{self, Held};
use super::gate::Judged;
use super::generation::{self, Generation, PluginState, PluginStatus, Slot};
use super::history::{self, History};
use super::host_time::HostTime;
use super::images::Images;
use super::limits::Limits;
use super::loader::{self, Found, Source};
use super::pins::Pins;
use super::probation::ProbationConfig;
use super::services::Services;
use super::{versions, watch};
use crate::metrics::Versions;
use crate::private;
use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch as channel;
use tokio::sync::{Mutex, mpsc};
use tokio::task::AbortHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

/// The grants, where the configuration does not name another file.
pub(super) const GRANTS: &str = "grants.toml";
/// Looks at files that keep changing before they are left for later.
const MOST_LOOKS: u32 = 40;

#[derive(Debug, Clone)]
pub struct Config {
    pub directory: PathBuf,
    /// What each plugin may do.
    pub grants: Granting,
    /// Where compiled code is kept; who can write there can run code as this process.
    pub cache: Option<PathBuf>,
    /// What compiles, if there is a cache and a place for state. None: this process itself.
    pub compiler: Option<Compiler>,
    /// Where each reload writes what is loaded and what was kept out, as JSON.
    pub status_file: Option<PathBuf>,
    /// For what a manifest does not set.
    pub limits: Limits,
    /// What a manifest cannot exceed.
    pub most: Limits,
    /// What `on-load` may take.
    pub load: LoadTime,
    /// Instances at a time, of all plugins together.
    pub instances: u32,
    /// None: only [`Host::reload`] looks again.
    pub watch: Option<Watching>,
    /// Between the two looks that must see the same octets before a changed file is taken for whole.
    pub settle: Duration,
    /// Where former versions, pins and start images are kept, with the same care as the cache. None: there are no pins, nothing to go
    /// back to and so no probation.
    pub state: Option<PathBuf>,
    pub breaker: BreakerConfig,
    pub probation: ProbationConfig,
    /// What plugins reach beyond the message.
    pub services: Services,
    /// Where the time that plugins spend in the host is measured: it makes each call dearer.
    pub host_time: Option<HostTime>,
}

#[derive(Debug, Clone, Copy)]
pub struct Watching {
    /// How long the directory must have been quiet.
    pub debounce: Duration,
    /// How often it is looked at without being told: some file systems tell nothing.
    pub rescan: Duration,
}

impl Config {
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        let directory = directory.into();
        Self {
            grants: Granting::File(directory.join(GRANTS)),
            directory,
            cache: None,
            compiler: None,
            status_file: None,
            limits: Limits::default(),
            most: Limits::MOST,
            load: LoadTime::default(),
            instances: 1000,
            watch: Some(Watching {
                debounce: Duration::from_millis(200),
                rescan: Duration::from_secs(30),
            }),
            settle: Duration::from_millis(50),
            state: None,
            breaker: BreakerConfig::default(),
            probation: ProbationConfig::default(),
            services: Services::default(),
            host_time: None,
        }
    }

    fn apart(&self, stop: CancellationToken) -> Option<Apart> {
        Some(Apart {
            compiler: self.compiler.clone()?,
            cache: self.cache.clone()?,
            known: self.state.as_ref()?.join("compiled"),
            stop,
        })
    }

    pub(super) fn engine(&self) -> EngineConfig {
        EngineConfig {
            instances: self.instances,
            // What the configuration sets for all, it allows.
            most: self.most.max(self.limits),
            cache: self.cache.clone(),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the plugin directory {}: {error}", path.display())]
    Directory { path: PathBuf, error: io::Error },
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What [`Config::status_file`] holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusFile {
    pub generation: u64,
    pub plugins: Vec<PluginStatus>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl From<&Generation> for StatusFile {
    fn from(generation: &Generation) -> Self {
        Self {
            generation: generation.number,
            plugins: generation.plugins.clone(),
            problem: generation.problem.clone(),
        }
    }
}

impl StatusFile {
    pub fn read(path: &Path) -> io::Result<Self> {
        serde_json::from_slice(&std::fs::read(path)?).map_err(io::Error::from)
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        loader::write_whole(path, &serde_json::to_vec_pretty(self)?)
    }
}

/// Plugins at work. Dropping it ends the watch; generations that were handed out go on working.
pub struct Host {
    pub(super) shared: Arc<Shared>,
    watcher: Option<AbortHandle>,
    judge: AbortHandle,
    compiling: DropGuard,
}

pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) runtime: Arc<Runtime>,
    pub(super) current: ArcSwap<Generation>,
    pub(super) history: Option<History>,
    pub(super) pins: Option<Pins>,
    /// One change of the file of pins at a time.
    pub(super) pinning: Mutex<()>,
    /// One pin or rollback at a time, from what it goes by to what came of it.
    pub(super) holding: Mutex<()>,
    pub(super) judged: mpsc::UnboundedSender<Judged>,
    changed: channel::Sender<Arc<Generation>>,
    number: channel::Sender<u64>,
    /// One reload at a time.
    reloading: Mutex<()>,
    /// Locked while something comes into force, not while anything is compiled.
    seen: Mutex<Seen>,
}

struct Seen {
    grants: GrantsFile,
    /// Other grants are in force than when the directory was looked at last.
    regranted: bool,
    /// Why it could not be looked at.
    problem: Option<String>,
    slots: Vec<Slot>,
    held: BTreeMap<String, Held>,
    /// As of the last reload.
    scan: Vec<Found>,
}

impl Host {
    /// Loads what lies in the directory. A plugin that does not load is kept out, which is no error here.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let engine = config.engine();
        let (defaults, load) = (config.limits, config.load);
        let services = config.services.clone();
        let mut runtime =
            tokio::task::spawn_blocking(move || Runtime::new(&engine, defaults, load, services))
                .await
                .map_err(|error| StartError::Directory {
                    path: config.directory.clone(),
                    error: io::Error::other(error),
                })??;
        if let Some(state) = &config.state {
            private::close(state);
        }
        let state = |name: &str| config.state.as_ref().map(|state| state.join(name));
        runtime.breaker = config.breaker;
        runtime.images = state("images").map(Images::new);
        let stop = CancellationToken::new();
        runtime.apart = config.apart(stop.clone());
        // Whatever becomes of this start.
        let compiling = stop.drop_guard();
        let (judged, judgements) = mpsc::unbounded_channel();
        runtime.grants.store(Arc::new(config.grants.first()));
        let seen = Seen {
            grants: GrantsFile::new(&config.grants),
            regranted: false,
            problem: None,
            slots: Vec::new(),
            held: BTreeMap::new(),
            scan: Vec::new(),
        };
        let first = Arc::new(Generation::empty());
        let shared = Arc::new(Shared {
            runtime: Arc::new(runtime),
            current: ArcSwap::new(Arc::clone(&first)),
            changed: channel::Sender::new(first),
            number: channel::Sender::new(0),
            history: state(history::FOLDER).map(History::new),
            pins: state("pins.json").map(Pins::new),
            pinning: Mutex::default(),
            holding: Mutex::default(),
            judged,
            reloading: Mutex::default(),
            seen: Mutex::new(seen),
            config,
        });
        shared.look_at_grants(&mut *shared.seen.lock().await).await;
        shared
            .load(false)
            .await
            .map_err(|error| StartError::Directory {
                path: shared.config.directory.clone(),
                error,
            })?;
        let watcher = shared
            .config
            .watch
            .map(|watching| watch::start(Arc::clone(&shared), watching));
        let judge = tokio::spawn(versions::follow(Arc::clone(&shared), judgements));
        Ok(Self {
            shared,
            watcher,
            judge: judge.abort_handle(),
            compiling,
        })
    }

    /// The plugins in force. Take it once for a transaction.
    pub fn generation(&self) -> Arc<Generation> {
        self.shared.current.load_full()
    }

    /// Looks at the directory now. When it returns, what lay there is in force or listed with the reason why not.
    pub async fn reload(&self) -> Arc<Generation> {
        self.shared.reload_or_say_why().await;
        self.generation()
    }

    /// Who waits for what is being compiled has waited long enough: the server is to stop.
    pub fn stop_compiling(&self) {
        self.compiling.token().cancel();
    }

    /// Waits until what plugins keep is on the disk.
    pub async fn flush(&self) {
        let kv = Arc::clone(&self.shared.runtime.services.kv);
        // A panic in there would have been logged.
        let _ = tokio::task::spawn_blocking(move || kv.flush()).await;
    }

    /// The number of the generation in force, as it changes.
    pub fn subscribe(&self) -> channel::Receiver<u64> {
        self.shared.number.subscribe()
    }

    /// Changes with each generation, and when a plugin is kept out.
    pub fn changes(&self) -> channel::Receiver<Arc<Generation>> {
        self.shared.changed.subscribe()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.judge.abort();
        if let Some(watcher) = &self.watcher {
            watcher.abort();
        }
    }
}

impl Shared {
    pub(super) fn directory(&self) -> &Path {
        &self.config.directory
    }

    /// What is counted of them.
    pub(super) fn versions(&self) -> &Versions {
        self.config.services.metrics.filters().versions()
    }

    pub(super) fn grants(&self) -> Option<&Path> {
        self.config.grants.file()
    }

    /// Reloads if a file has been touched since the last time.
    pub(super) async fn reload_if_touched(&self) {
        let directory = self.config.directory.clone();
        let scan = blocking(move || loader::scan(&directory)).await;
        let touched = match scan {
            Ok(scan) => {
                let seen = self.seen.lock().await;
                scan != seen.scan || seen.regranted || seen.grants.is_touched().await
            }
            Err(_) => true,
        };
        if touched {
            self.reload_or_say_why().await;
        }
    }

    pub(super) async fn reload_or_say_why(&self) {
        let Err(error) = self.reload().await else {
            return;
        };
        self.versions().reloaded("failed");
        let problem = Some(format!("{}: {error}", self.config.directory.display()));
        let mut seen = self.seen.lock().await;
        if seen.problem != problem {
            let problem = problem.as_deref().unwrap_or_default();
            tracing::warn!("the plugins stay as they are: {problem}");
        }
        seen.problem = problem;
        self.conclude(&mut seen, false).await;
    }

    async fn reload(&self) -> io::Result<()> {
        let _one = self.reloading.lock().await;
        let settled = self.settle().await;
        self.load(settled).await
    }

    /// Puts grants and pins into force as they are now: that waits for no compiler. Whether anything changed.
    pub(super) async fn settle(&self) -> bool {
        let mut seen = self.seen.lock().await;
        let regranted = self.look_at_grants(&mut seen).await;
        if regranted {
            seen.slots.iter_mut().for_each(Slot::regrant);
        }
        self.conclude(&mut seen, regranted).await
    }

    async fn look_at_grants(&self, seen: &mut Seen) -> bool {
        let settle = self.config.settle;
        let regranted = seen.grants.look(settle, &self.runtime.grants).await;
        seen.regranted |= regranted;
        regranted
    }

    /// Loads what has changed in the directory. Others may settle grants and pins meanwhile. `settled`: that brought about a change before.
    async fn load(&self, settled: bool) -> io::Result<()> {
        let (before, regranted, grants) = {
            let seen = self.seen.lock().await;
            let grants = self.runtime.grants.load_full();
            (seen.slots.clone(), seen.regranted, grants)
        };
        let (scan, sources) = self.look(&before).await?;
        let mut slots = generation::load(&self.runtime, &before, sources, regranted).await;
        let mut seen = self.seen.lock().await;
        let regranted = !Arc::ptr_eq(&grants, &self.runtime.grants.load());
        if regranted {
            slots.iter_mut().for_each(Slot::regrant);
        }
        (seen.slots, seen.scan, seen.regranted) = (slots, scan, regranted);
        seen.problem = None;
        let result = match self.conclude(&mut seen, regranted).await || settled {
            true => "changed",
            false => "unchanged",
        };
        self.versions().reloaded(result);
        Ok(())
    }

    /// What has been seen comes into force. Whether that changed anything.
    async fn conclude(&self, seen: &mut Seen, regranted: bool) -> bool {
        seen.held = self.held(&seen.held, &seen.slots, regranted).await;
        let before = self.current.load_full();
        let (members, statuses) = force::in_force(&seen.slots, &seen.held, &before);
        let problem = seen.problem.as_ref().or(seen.grants.problem.as_ref());
        let next = Generation::next(&before, members, statuses, problem.cloned());
        let Some(next) = next else {
            return false;
        };
        self.enter(&before, &next).await;
        self.publish(next).await;
        true
    }

    /// Reads the directory until two looks see the same, unless nothing changed in the first place.
    async fn look(&self, before: &[Slot]) -> io::Result<(Vec<Found>, Vec<Source>)> {
        let (mut scan, mut sources) = self.read().await?;
        if before
            .iter()
            .map(Slot::state)
            .eq(sources.iter().map(Source::state))
        {
            return Ok((scan, sources));
        }
        for _ in 0..MOST_LOOKS {
            tokio::time::sleep(self.config.settle).await;
            let (next_scan, next) = self.read().await?;
            let same = next
                .iter()
                .map(Source::state)
                .eq(sources.iter().map(Source::state));
            (scan, sources) = (next_scan, next);
            if same {
                return Ok((scan, sources));
            }
        }
        Err(io::Error::other(
            "files in it keep changing; it is looked at again when they rest",
        ))
    }

    async fn read(&self) -> io::Result<(Vec<Found>, Vec<Source>)> {
        let directory = self.config.directory.clone();
        blocking(move || {
            let scan = loader::scan(&directory)?;
            let sources = scan.iter().cloned().map(loader::read).collect();
            Ok((scan, sources))
        })
        .await
    }

    async fn publish(&self, generation: Generation) {
        let generation = Arc::new(generation);
        let status = StatusFile::from(&*generation);
        self.current.store(Arc::clone(&generation));
        let metrics = &self.config.services.metrics;
        metrics.filters().generation(generation.number);
        let states = generation.plugins.iter().map(|status| &status.state);
        let is_out = |state: &&PluginState| **state != PluginState::Active;
        self.versions().kept_out(states.filter(is_out).count());
        if let Some(path) = self.config.status_file.clone() {
            let written = blocking(move || status.write(&path)).await;
            if let Err(error) = written {
                tracing::warn!("the status of the plugins cannot be written: {error}");
            }
        }
        self.number.send_if_modified(|number| {
            std::mem::replace(number, generation.number) != generation.number
        });
        self.changed.send_replace(generation);
    }
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}
