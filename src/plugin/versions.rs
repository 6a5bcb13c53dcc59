//! Going back and holding still: what the host does with the versions that were in force. Judgements are made in `probation`, files are
//! kept by `history` and `pins`.

use super::breaker::BreakerState;
use super::digest::Digest;
use super::figures::Summary;
use super::force::{Held, Member};
use super::gate::{Judged, Probation};
use super::generation::{self, Generation, Loaded, PluginStatus, Slot};
use super::history::{History, Version};
use super::loader::Source;
use super::pins::{Pin, Pinned, Pins};
use super::probation::Judgement;
use super::rollout::Rollout;
use super::service::{Host, Shared, blocking};
use crate::mail::Mode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use tokio::sync::{MutexGuard, mpsc};
use tokio::time::Instant;

/// How a plugin fares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Health {
    pub name: String,
    /// Those at work, and those kept out, with the reason.
    pub versions: Vec<VersionHealth>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Pin>,
    /// What it can go back to, the latest first.
    pub history: Vec<Version>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct VersionHealth {
    pub status: PluginStatus,
    /// Of one that is at work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<Work>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Work {
    /// As in the history.
    pub id: Digest,
    pub breaker: BreakerState,
    /// Instances that it may have at a time.
    pub concurrency: u32,
    /// For so many seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_probation: Option<u64>,
    pub figures: Summary,
}

const NO_STATE: &str = "this server keeps no former versions of plugins";

impl Host {
    /// Of all plugins, or of one by its name.
    pub async fn health(&self, name: Option<&str>) -> Vec<Health> {
        let generation = self.generation();
        let wanted = |of: &str| name.is_none_or(|name| name == of);
        let mut all: BTreeMap<String, Health> = BTreeMap::new();
        for status in generation
            .plugins
            .iter()
            .filter(|status| wanted(&status.name))
        {
            let health = all.entry(status.name.clone()).or_insert_with(|| Health {
                name: status.name.clone(),
                versions: Vec::new(),
                pin: None,
                history: Vec::new(),
            });
            let member = generation.member(&status.name);
            let loaded = member.and_then(|member| match status.mode {
                _ if status.digest.is_none() => None,
                Mode::Active => member.active.as_ref(),
                Mode::Shadow | Mode::Canary => member.candidate.as_ref(),
            });
            health.pin = member.and_then(|member| member.pin.clone());
            health.versions.push(VersionHealth {
                status: status.clone(),
                work: loaded.map(|loaded| work(loaded)),
            });
        }
        if let Some(history) = self.shared.history.clone() {
            let filled = blocking(move || {
                for health in all.values_mut() {
                    health.history = history.of(&health.name);
                }
                Ok(all)
            });
            return filled.await.unwrap_or_default().into_values().collect();
        }
        all.into_values().collect()
    }

    /// Back to what was in force before, or to a certain version, and held there.
    pub async fn rollback(&self, name: &str, to: Option<&str>) -> Result<Pin, String> {
        let one = self.shared.holding.lock().await;
        let now = self.in_force(name)?;
        let id = now.fingerprint.id();
        let target = match to {
            Some(to) => self.shared.find(name, to).await?,
            None => self.shared.previous(name, id).await?,
        };
        if target.id == id {
            return Err(format!("{name} {} is in force", target.version));
        }
        let why = format!("rolled back from {} by command", now.plugin.info.version);
        let pin = self.shared.hold(&one, name, target, why, None).await?;
        self.shared.versions().rolled_back(name, "command");
        Ok(pin)
    }

    /// Holds a plugin to a version, or to the one in force.
    pub async fn pin(&self, name: &str, version: Option<&str>) -> Result<Pin, String> {
        let one = self.shared.holding.lock().await;
        let target = match version {
            Some(version) => self.shared.find(name, version).await?,
            None => {
                let id = self.in_force(name)?.fingerprint.id();
                self.shared.find(name, &id.to_string()).await?
            }
        };
        self.shared
            .hold(&one, name, target, "pinned by command".to_owned(), None)
            .await
    }

    /// What lies in the directory is in force again.
    pub async fn unpin(&self, name: &str) -> Result<Pin, String> {
        let _one = self.shared.holding.lock().await;
        let pin = self.shared.change_pins(|pins| pins.remove(name)).await?;
        let pin = pin.ok_or_else(|| format!("{name} is not pinned"))?;
        self.shared.settle().await;
        Ok(pin)
    }

    fn in_force(&self, name: &str) -> Result<Arc<Loaded>, String> {
        let generation = self.generation();
        let active = generation
            .member(name)
            .and_then(|member| member.active.clone());
        active.ok_or_else(|| format!("no plugin {name} is in force"))
    }
}

fn work(loaded: &Loaded) -> Work {
    let gate = &loaded.plugin.gate;
    Work {
        id: loaded.fingerprint.id(),
        breaker: gate.breaker(),
        concurrency: gate.concurrency(),
        on_probation: gate.on_probation().map(|since| since.as_secs()),
        figures: gate.summary(),
    }
}

impl Shared {
    /// What was in force right before.
    async fn previous(&self, name: &str, id: Digest) -> Result<Version, String> {
        let current = self.current.load_full();
        if let Some(pin) = current.member(name).and_then(|member| member.pin.clone()) {
            // Before it was the version that was gone back from.
            return Err(format!(
                "{name} is held to {} ({}); say with --to which version is to be in force",
                pin.version, pin.why
            ));
        }
        let history = self.history.clone().ok_or(NO_STATE)?;
        let of = name.to_owned();
        let known = blocking(move || Ok(history.of(&of))).await;
        let known = known.map_err(|error| error.to_string())?;
        let former = known.into_iter().find(|known| known.id != id);
        former.ok_or_else(|| format!("there is no former version of {name}"))
    }

    async fn find(&self, name: &str, version: &str) -> Result<Version, String> {
        let history = self.history.clone().ok_or(NO_STATE)?;
        let (name, version) = (name.to_owned(), version.to_owned());
        let found = blocking(move || Ok(history.find(&name, &version))).await;
        found.map_err(|error| error.to_string())?
    }

    /// Pins, and makes it so; or says why not, and all is as it was.
    async fn hold(
        &self,
        _one: &MutexGuard<'_, ()>,
        name: &str,
        target: Version,
        why: String,
        against: Option<Digest>,
    ) -> Result<Pin, String> {
        let pin = Pin {
            id: target.id,
            version: target.version,
            at: Timestamp::now(),
            why,
            against,
        };
        let former = self
            .change_pins(|pins| pins.insert(name.to_owned(), pin.clone()))
            .await?;
        self.settle().await;
        let current = self.current.load_full();
        let active = current
            .member(name)
            .and_then(|member| member.active.as_ref());
        if active.is_some_and(|active| active.fingerprint.id() == pin.id) {
            return Ok(pin);
        }
        let said = current.plugins.iter().find(|status| status.name == name);
        let problem = said.and_then(|status| status.pinned.clone());
        self.change_pins(|pins| match former {
            // It has ended meanwhile.
            _ if pins.get(name) != Some(&pin) => None,
            Some(former) => pins.insert(name.to_owned(), former),
            None => pins.remove(name),
        })
        .await?;
        self.settle().await;
        Err(problem.unwrap_or_else(|| format!("{name} {} cannot be loaded", pin.version)))
    }

    async fn change_pins<T>(&self, change: impl FnOnce(&mut Pinned) -> T) -> Result<T, String> {
        let pins = self.pins.clone().ok_or(NO_STATE)?;
        let _one = self.pinning.lock().await;
        let changed = async {
            let mut pinned = read(&pins).await?;
            let result = change(&mut pinned);
            blocking(move || pins.write(&pinned)).await?;
            Ok::<_, io::Error>(result)
        };
        changed.await.map_err(|error| format!("the pins: {error}"))
    }

    /// The pinned versions, loaded. A pin that has done its work is dropped.
    pub(super) async fn held(
        &self,
        before: &BTreeMap<String, Held>,
        slots: &[Slot],
        regranted: bool,
    ) -> BTreeMap<String, Held> {
        let Some(pins) = &self.pins else {
            return BTreeMap::new();
        };
        let mut pinned = match read(pins).await {
            Ok(pinned) => pinned,
            Err(error) => {
                tracing::error!("the pins of plugins stay as they are: {error}");
                return before.clone();
            }
        };
        let over: Vec<String> = pinned
            .iter()
            .filter(|(name, pin)| is_over(name, pin, slots))
            .map(|(name, _)| name.clone())
            .collect();
        for name in &over {
            tracing::info!("plugin {name}: another version is there, the pin ends");
            pinned.remove(name);
        }
        if !over.is_empty() {
            let changed = self
                .change_pins(|pins| over.iter().for_each(|name| drop(pins.remove(name))))
                .await;
            if let Err(error) = changed {
                tracing::warn!("{error}");
            }
        }
        let mut held = BTreeMap::new();
        for (name, pin) in pinned {
            let version = match before.get(&name) {
                Some((former, Ok(loaded))) if former.id == pin.id => Ok(Arc::clone(loaded)),
                // Nothing that it depends on has changed; what lies in the directory by now is there at no cost.
                Some((former, Err(why)))
                    if former.id == pin.id && !regranted && !lies_there(pin.id, slots) =>
                {
                    Err(why.clone())
                }
                _ => self.former(&name, pin.id, slots).await,
            };
            // It goes by the grants of now, as what lies in the directory does.
            let version = match version {
                Ok(loaded) if regranted => match loaded.plugin.regrant() {
                    Ok(()) => Ok(loaded),
                    Err(lacking) => Err(lacking.to_string()),
                },
                version => version,
            };
            let known = before
                .get(&name)
                .and_then(|(_, known)| known.as_ref().err());
            if let Err(why) = &version
                && known != Some(why)
            {
                tracing::error!(
                    "plugin {name}: the pin to {} has no effect: {why}",
                    pin.version
                );
            }
            held.insert(name, (pin, version));
        }
        held
    }

    /// Loads a version of the history.
    async fn former(&self, name: &str, id: Digest, slots: &[Slot]) -> Result<Arc<Loaded>, String> {
        // It may be at work, or lie in the directory.
        let current = self.current.load_full();
        let active = current
            .member(name)
            .and_then(|member| member.active.as_ref());
        let mut loaded = active.into_iter().chain(slots.iter().filter_map(|slot| {
            let loaded = slot.loaded.as_ref()?;
            (loaded.plugin.info.name == name).then_some(loaded)
        }));
        if let Some(known) = loaded.find(|loaded| loaded.fingerprint.id() == id) {
            return Ok(Arc::clone(known));
        }
        let history = self.history.clone().ok_or(NO_STATE)?;
        let of = name.to_owned();
        let files = blocking(move || Ok(history.files(&of, id)));
        let (path, files) = files.await.map_err(|error| error.to_string())??;
        let source = Source {
            key: name.to_owned(),
            path: Some(path),
            files: Ok(files),
        };
        generation::load_one(Arc::clone(&self.runtime), source)
            .await
            .map(Arc::new)
    }

    /// Notes what comes into force, before it does; what is new goes on probation.
    pub(super) async fn enter(&self, before: &Generation, next: &Generation) {
        let Some(history) = &self.history else {
            return;
        };
        for member in next.members.iter() {
            let Some(active) = &member.active else {
                continue;
            };
            let former = before.member(&member.name);
            let former = former.and_then(|former| former.active.as_ref());
            let held = former.is_some_and(|former| Arc::ptr_eq(former, active));
            if held && member.pin.is_none() {
                continue;
            }
            // A person, or a former probation, chose it.
            active.plugin.gate.release();
            if held {
                continue;
            }
            match note(history, member, active, self.config.probation.calls == 0).await {
                Ok(true) => {}
                Ok(false) => self.watch(member, active, former),
                Err(error) => tracing::warn!(
                    "plugin {}: this version cannot be kept for a rollback: {error}",
                    member.name
                ),
            }
        }
    }

    fn watch(&self, member: &Member, active: &Arc<Loaded>, former: Option<&Arc<Loaded>>) {
        let info = &active.plugin.info;
        tracing::info!("plugin {} {} is on probation", info.name, info.version);
        active.plugin.gate.watch(Probation {
            config: self.config.probation,
            before: former.map(|former| former.plugin.gate.summary()),
            since: Instant::now(),
            tell: self.judged.clone(),
            name: member.name.clone(),
            id: active.fingerprint.id(),
        });
    }

    async fn judged(&self, judged: Judged) {
        let Judged {
            name,
            id,
            judgement,
        } = judged;
        let Some(history) = self.history.clone() else {
            return;
        };
        let of = name.clone();
        let why = match judgement {
            Judgement::GoesOn => return,
            Judgement::Left(why) => why,
            Judgement::Passed => {
                tracing::info!("plugin {name}: the new version has passed its probation");
                if let Err(error) = blocking(move || history.set_passed(&of, id)).await {
                    tracing::warn!("plugin {name}: that cannot be noted: {error}");
                }
                return;
            }
        };
        let one = self.holding.lock().await;
        let current = self.current.load_full();
        let active = current
            .member(&name)
            .and_then(|member| member.active.as_ref());
        let Some(active) = active.filter(|active| active.fingerprint.id() == id) else {
            // Another one has taken its place.
            return;
        };
        let version = &active.plugin.info.version;
        let former = blocking(move || Ok(history.before(&of, id))).await;
        let Ok(Some(former)) = former else {
            tracing::error!(
                "plugin {name} {version} left its probation: {why}; there is no former version to go back to"
            );
            return;
        };
        let reason = format!("{version} left its probation: {why}");
        let back = former.version.clone();
        let held = self.hold(&one, &name, former, reason, Some(id)).await;
        if held.is_ok() {
            self.versions().rolled_back(&name, "probation");
        }
        match held {
            Ok(_) => tracing::error!(
                alert = "plugin rolled back",
                plugin = name,
                "plugin {name} {version} left its probation: {why}; {back} is in force again, until another version is there or `wasmilter plugin unpin {name}`"
            ),
            Err(error) => tracing::error!(
                "plugin {name} {version} left its probation: {why}; {back} cannot take its place: {error}"
            ),
        }
    }
}

/// Acts on judgements as they come.
pub(super) async fn follow(shared: Arc<Shared>, mut judgements: mpsc::UnboundedReceiver<Judged>) {
    while let Some(judged) = judgements.recv().await {
        shared.judged(judged).await;
    }
}

async fn read(pins: &Pins) -> io::Result<Pinned> {
    let pins = pins.clone();
    blocking(move || pins.read()).await
}

/// It was set against one version, and another lies there.
fn lies_there(id: Digest, slots: &[Slot]) -> bool {
    let mut loaded = slots.iter().filter_map(|slot| slot.loaded.as_ref());
    loaded.any(|loaded| loaded.fingerprint.id() == id)
}

fn is_over(name: &str, pin: &Pin, slots: &[Slot]) -> bool {
    let Some(against) = pin.against else {
        return false;
    };
    slots.iter().any(|slot| {
        slot.is_up_to_date()
            && slot.loaded.as_ref().is_some_and(|loaded| {
                let id = loaded.fingerprint.id();
                loaded.rollout == Rollout::Active
                    && loaded.plugin.info.name == name
                    && id != against
                    && id != pin.id
            })
    })
}

/// In the history. Whether it needs no probation: it passed one, or there is nothing that it could be measured against.
async fn note(
    history: &History,
    member: &Member,
    active: &Arc<Loaded>,
    no_probation: bool,
) -> io::Result<bool> {
    let (history, name) = (history.clone(), member.name.clone());
    let chosen = member.pin.is_some();
    let active = Arc::clone(active);
    blocking(move || {
        let id = active.fingerprint.id();
        let known = history.note(&name, id);
        let first = history.before(&name, id).is_none();
        let passed = first || no_probation || known.is_some_and(|known| known.passed);
        let version = Version {
            id,
            version: active.plugin.info.version.clone(),
            digest: active.plugin.digest,
            in_force_at: Timestamp::now(),
            passed,
        };
        history.record(&name, version, active.take_files().as_ref())?;
        Ok(passed || chosen)
    })
    .await
}
