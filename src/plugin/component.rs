//! A plugin's bytes become something that can be run: compiled, its imports and exports checked against the contract, its start
//! image made. Knows nothing of directories or generations.

use super::abi;
use super::breaker::BreakerConfig;
use super::capability::{Grants, Lacking};
use super::compiler::Apart;
use super::digest::Digest;
use super::engine::{EngineConfig, EngineError, TickingEngine, Ticks};
use super::gate::Gate;
use super::guest::Guest;
use super::host_time::HostTime;
use super::images::Images;
use super::inspect;
use super::limits::Limits;
use super::manifest::Manifest;
use super::services::Services;
use super::snapshot;
use super::state::{Profile, State};
use super::unused::trapping;
use crate::mail::{Failure, FilterInfo, Hook, Hooks, Mode, Uses};
use crate::metrics::{Meter, Registry};
use arc_swap::ArcSwap;
use memchr::memmem;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    #[error("it is not WASM: a plugin is a WASM component (.wasm), this starts with {0}")]
    NotWasm(String),
    #[error(
        "it is a core WASM module without the section `component-type`, which says what its functions mean. wit-bindgen leaves it there, so \
         build it with its bindings and don't strip it: in Rust `cargo build --release --target wasm32-wasip2` (or wasip1), in C link \
         NAME_component_type.o; to a module without it `wasm-tools component embed WIT --world WORLD FILE.wasm -o FILE.wasm` adds it"
    )]
    CoreModule,
    #[error("it is a core WASM module, and cannot be made a component: {0}")]
    Componentize(String),
    #[error("it does not compile: {0}")]
    Compile(String),
    #[error(
        "it is made for contract {found}, this server speaks wasmilter:filter@{}: build it with the SDK of this version",
        abi::VERSIONS
    )]
    Version { found: String },
    #[error("it imports {0}, which this server does not offer")]
    Import(String),
    #[error("{0}")]
    NotGranted(Box<Lacking>),
    #[error("it cannot be linked: {0}")]
    Link(String),
    #[error("it exports {0}, which is no hook of the contract")]
    Export(String),
    #[error(
        "it exports no hook: it needs at least one of {}",
        Hook::ALL.map(|hook| format!("on-{hook}")).join(", ")
    )]
    NoHook,
    #[error("its hook {hook} has another signature than the contract's: {text}")]
    Signature { hook: String, text: String },
    #[error("it cannot be started: {0}")]
    Start(Failure),
    #[error("on-load says: {0}")]
    OnLoad(String),
    #[error("on-load failed: {0}")]
    OnLoadFailed(Failure),
    #[error("{0}")]
    Host(String),
}

/// What all plugins of a host share.
pub struct Runtime {
    // Before the engine's clock stops, nothing that runs may be left; the linker and plugins only refer to the engine.
    ticking: TickingEngine,
    pub linker: Linker<State>,
    /// One for each instance of the pool.
    pub permits: Arc<Semaphore>,
    pub defaults: Limits,
    pub most: Limits,
    /// Time for `on-load`.
    load: LoadTime,
    instances: u32,
    pub breaker: BreakerConfig,
    /// Where start images are kept. None: they are made anew at each start.
    pub images: Option<Images>,
    /// None: what is not in the cache is compiled by this process.
    pub apart: Option<Apart>,
    /// In force now.
    pub grants: ArcSwap<Grants>,
    /// What plugins reach.
    pub services: Services,
    pub host_time: Option<HostTime>,
    /// Where it was made: what takes long goes on there.
    pub home: Handle,
}

/// What `on-load` may take: it runs once, and may do more than a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoadTime {
    pub cpu: Duration,
    pub wall: Duration,
}

impl Default for LoadTime {
    fn default() -> Self {
        Self {
            cpu: Duration::from_secs(5),
            wall: Duration::from_secs(15),
        }
    }
}

impl Runtime {
    /// Within a runtime of tokio.
    pub fn new(
        config: &EngineConfig,
        defaults: Limits,
        load: LoadTime,
        services: Services,
    ) -> Result<Self, EngineError> {
        let ticking = TickingEngine::new(config)?;
        let linker = abi::linker(ticking.engine()).map_err(EngineError::Engine)?;
        Ok(Self {
            linker,
            permits: Arc::new(Semaphore::new(config.instances as usize)),
            defaults,
            most: config.most,
            load,
            instances: config.instances,
            breaker: BreakerConfig::default(),
            images: None,
            apart: None,
            grants: ArcSwap::default(),
            services,
            host_time: None,
            home: Handle::current(),
            ticking,
        })
    }

    /// Whether less than half of the pool is free.
    pub fn is_short(&self) -> bool {
        self.permits.available_permits() * 2 < self.instances as usize
    }

    pub fn engine(&self) -> &wasmtime::Engine {
        self.ticking.engine()
    }

    pub fn ticks(&self) -> &Ticks {
        self.ticking.ticks()
    }

    /// Compiles off the runtime's threads: it takes from 40 ms to many seconds.
    pub async fn compile(self: &Arc<Self>, bytes: Arc<[u8]>) -> Result<Component, LoadError> {
        let runtime = Arc::clone(self);
        let work = move || {
            if let Some(apart) = &runtime.apart {
                apart.compile(&bytes)?;
            }
            Component::from_binary(runtime.engine(), &bytes)
                .map_err(|error| LoadError::Compile(format!("{error:#}")))
        };
        let compiled = tokio::task::spawn_blocking(work).await;
        compiled
            .unwrap_or_else(|error| Err(LoadError::Host(format!("the compiler failed: {error}"))))
    }
}

/// What a component exports and imports of the contract.
#[derive(Debug, Default)]
pub struct Interface {
    load: Option<ComponentExportIndex>,
    hooks: BTreeMap<Hook, ComponentExportIndex>,
    /// Names of the interfaces that it imports, without `types`.
    pub abilities: Vec<String>,
}

impl Interface {
    pub fn read(component: &Component) -> Result<Self, LoadError> {
        let kind = component.component_type();
        let mut interface = Self::default();
        for (name, _) in kind.imports(component.engine()) {
            let Some(ability) = of_contract(name)? else {
                continue;
            };
            if !abi::ABILITIES.contains(&ability) {
                return Err(LoadError::Import(name.to_owned()));
            }
            if ability != "types" {
                interface.abilities.push(ability.to_owned());
            }
        }
        for (name, item) in kind.exports(component.engine()) {
            let Some(hook) = of_contract(name)? else {
                continue;
            };
            // The package's types may be exported too.
            if !matches!(item.ty, ComponentItem::ComponentInstance(_)) || hook == "types" {
                continue;
            }
            let known = hook.strip_prefix("on-").and_then(Hook::from_name);
            if known.is_none() && hook != "on-load" {
                return Err(LoadError::Export(name.to_owned()));
            }
            let handle = component
                .get_export_index(None, name)
                .and_then(|instance| component.get_export_index(Some(&instance), "handle"))
                .ok_or_else(|| LoadError::Signature {
                    hook: hook.to_owned(),
                    text: "it has no function `handle`".to_owned(),
                })?;
            match known {
                Some(hook) => drop(interface.hooks.insert(hook, handle)),
                None => interface.load = Some(handle),
            }
        }
        if interface.hooks().is_empty() {
            return Err(LoadError::NoHook);
        }
        Ok(interface)
    }

    pub fn hooks(&self) -> Hooks {
        self.hooks.keys().copied().collect()
    }

    pub fn hook(&self, hook: Hook) -> Option<&ComponentExportIndex> {
        self.hooks.get(&hook)
    }

    pub fn load(&self) -> Option<&ComponentExportIndex> {
        self.load.as_ref()
    }
}

/// The interface's name if it is one of the contract's, in a version that is served.
fn of_contract(name: &str) -> Result<Option<&str>, LoadError> {
    let Some(rest) = name
        .strip_prefix(abi::PACKAGE)
        .and_then(|rest| rest.strip_prefix('/'))
    else {
        return Ok(None);
    };
    let (interface, version) = rest.split_once('@').unwrap_or((rest, "without a version"));
    if !abi::serves(version) {
        return Err(LoadError::Version {
            found: format!("{}@{version}", abi::PACKAGE),
        });
    }
    Ok(Some(interface))
}

/// How instances of a plugin come by what `on-load` prepared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// There is no `on-load`.
    Plain,
    /// They begin with a copy-on-write image of the memory that it left.
    Image,
    /// It is called in each of them, because no image could be made.
    Each(String),
}

/// A plugin that can be run.
pub struct Plugin {
    pub info: FilterInfo,
    pub order: u32,
    pub digest: Digest,
    pub size: u64,
    pub interface: Interface,
    pub start: Start,
    pub profile: Arc<Profile>,
    pub gate: Gate,
    pub pre: InstancePre<State>,
    pub meter: Meter,
    pub runtime: Arc<Runtime>,
}

impl Plugin {
    /// `name` is for a manifest that gives none.
    pub async fn load(
        runtime: Arc<Runtime>,
        name: &str,
        manifest: &Manifest,
        bytes: Arc<[u8]>,
    ) -> Result<Self, LoadError> {
        let (found, bytes) = inspect::open(bytes).await?;
        if let Some(other) = found.contract.iter().find(|version| !abi::serves(version)) {
            return Err(LoadError::Version {
                found: format!("{}@{other}", abi::PACKAGE),
            });
        }
        let name = manifest.name.as_deref().unwrap_or(name);
        let asked = found.asked(manifest);
        // Before anything of it runs.
        let capabilities = runtime
            .grants
            .load()
            .capabilities(name, &asked)
            .map_err(|lacking| LoadError::NotGranted(Box::new(lacking)))?;
        let digest = found.digest;
        let limits = manifest.limits.within(runtime.defaults, runtime.most);
        let version = manifest.version.clone().unwrap_or_else(|| digest.short());
        let name = name.to_owned();
        let profile = Arc::new(Profile {
            version: version.clone(),
            config: manifest.config.clone(),
            // It was made from a table.
            settings: serde_json::from_str(&manifest.config).unwrap_or_default(),
            load: Limits {
                cpu: runtime.load.cpu,
                wall: runtime.load.wall,
                ..limits
            },
            mode: manifest.rollout.mode(),
            limits,
            asked,
            capabilities: ArcSwap::from_pointee(capabilities),
            services: match manifest.rollout.mode() {
                Mode::Active | Mode::Canary => runtime.services.clone(),
                // What it counts would count as the active version's.
                Mode::Shadow => Services {
                    metrics: Registry::default(),
                    ..runtime.services.clone()
                },
            },
            name,
        });
        // An export of that name has it in its bytes; without one there is nothing to prepare.
        let may_load = memmem::find(&bytes, b"wasmilter:filter/on-load@").is_some();
        let (component, start) = if may_load {
            snapshot::prepare(&runtime, &profile, Arc::clone(&bytes)).await?
        } else {
            (runtime.compile(Arc::clone(&bytes)).await?, Start::Plain)
        };
        let interface = Interface::read(&component)?;
        let pre = link(&runtime, &profile, &component)?;
        let version = manifest.version.clone().unwrap_or_else(|| digest.short());
        let plugin = Self {
            gate: Gate::new(
                &profile.name,
                &version,
                limits,
                runtime.instances,
                runtime.breaker,
                manifest.warm,
                runtime
                    .services
                    .metrics
                    .filters()
                    .versions()
                    .gate(&profile.name, profile.mode.name()),
            ),
            info: FilterInfo {
                name: profile.name.clone(),
                version,
                hooks: interface.hooks(),
                // What its manifest calls unused makes nobody send it a body.
                uses: Uses::of(profile.asked.abilities.iter().map(|ability| ability.name())),
                on_error: manifest.on_error,
            },
            order: manifest.order,
            digest,
            size: found.size,
            interface,
            start,
            meter: profile.services.metrics.filters().meter(&profile.name),
            profile,
            pre,
            runtime,
        };
        plugin.try_out().await?;
        Ok(plugin)
    }

    /// What the grants of now allow it, from its next instance on. An error if they no longer allow it to be in force.
    pub fn regrant(&self) -> Result<(), Lacking> {
        let grants = self.runtime.grants.load();
        let capabilities = grants.capabilities(&self.profile.name, &self.profile.asked)?;
        self.profile.capabilities.store(Arc::new(capabilities));
        Ok(())
    }

    /// Makes one instance and looks whether its hooks have the contract's signatures.
    async fn try_out(&self) -> Result<(), LoadError> {
        let limits = self.profile.load;
        let mut guest = Guest::start(&self.runtime, &self.profile, &self.pre, limits)
            .await
            .map_err(LoadError::Start)?;
        for hook in self.info.hooks.iter() {
            if let Some(index) = self.interface.hook(hook) {
                guest
                    .check(hook, index)
                    .map_err(|text| LoadError::Signature {
                        hook: format!("on-{hook}"),
                        text,
                    })?;
            }
        }
        match (&self.start, self.interface.load()) {
            (Start::Each(_), Some(load)) => guest.load(load, limits).await,
            _ => Ok(()),
        }
    }
}

/// Resolves imports; what is missing has a name.
pub fn link(
    runtime: &Runtime,
    profile: &Profile,
    component: &Component,
) -> Result<InstancePre<State>, LoadError> {
    let unused = &profile.asked.declared.unused;
    let pre = if unused.is_empty() {
        runtime.linker.instantiate_pre(component)
    } else {
        trapping(&runtime.linker, component, unused)
            .and_then(|linker| linker.instantiate_pre(component))
    };
    pre.map_err(|error| {
        let text = format!("{error:#}");
        let kind = component.component_type();
        let missing = kind
            .imports(component.engine())
            .map(|(name, _)| name)
            .find(|name| text.contains(&format!("`{name}`")));
        match missing {
            Some(name) => LoadError::Import(name.to_owned()),
            None => LoadError::Link(text),
        }
    })
}
