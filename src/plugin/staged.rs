//! Two versions of one plugin as one filter of the chain: a shadow beside the active one, or a canary in its place for a share of the
//! transactions. Decides which of them runs; how, is `filter`'s affair.

use super::component::Plugin;
use super::filter::{PluginRun, overdue};
use super::rollout::{Rollout, Share};
use crate::mail::{Call, Filter, FilterInfo, FilterRun, Hook, Mode, Outcome, Verdict, View};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::task::AbortOnDropHandle;

/// How long a transaction waits for its shadow in all, after the active version has answered.
const PATIENCE: Duration = Duration::from_millis(250);

/// A version that is tried, and the one that it is tried beside.
pub struct Staged {
    info: FilterInfo,
    active: Option<Arc<Plugin>>,
    candidate: Arc<Plugin>,
    rollout: Rollout,
}

impl Staged {
    pub fn new(active: Option<Arc<Plugin>>, candidate: Arc<Plugin>, rollout: Rollout) -> Self {
        let first = active.as_ref().unwrap_or(&candidate);
        let hooks = first.info.hooks.iter().chain(candidate.info.hooks.iter());
        Self {
            info: FilterInfo {
                hooks: hooks.collect(),
                ..first.info.clone()
            },
            active,
            candidate,
            rollout,
        }
    }
}

impl Filter for Staged {
    fn info(&self) -> &FilterInfo {
        &self.info
    }

    fn open(&self) -> Box<dyn FilterRun> {
        match (&self.rollout, &self.active) {
            (Rollout::Canary(share), Some(active)) => Box::new(CanaryRun {
                share: share.clone(),
                active: Arc::clone(active),
                candidate: Arc::clone(&self.candidate),
                chosen: None,
            }),
            _ => Box::new(ShadowRun {
                active: self.active.clone().map(PluginRun::new),
                info: Arc::new(self.candidate.info.clone()),
                shadow: Some(PluginRun::new(Arc::clone(&self.candidate))),
                candidate: Arc::clone(&self.candidate),
                patience: PATIENCE,
            }),
        }
    }
}

struct ShadowRun {
    active: Option<PluginRun>,
    /// None once it has failed.
    shadow: Option<PluginRun>,
    candidate: Arc<Plugin>,
    info: Arc<FilterInfo>,
    patience: Duration,
}

#[async_trait]
impl FilterRun for ShadowRun {
    async fn call(&mut self, call: &Call, view: View) -> Outcome {
        let hook = call.hook();
        let shadow = self
            .shadow
            .take_if(|_| self.info.hooks.contains(hook))
            .map(|mut run| {
                let (call, view) = (call.clone(), view.clone());
                // A task of its own: its time is not the active one's.
                AbortOnDropHandle::new(self.candidate.runtime.home.spawn(async move {
                    let outcome = run.call(&call, view).await;
                    (run, outcome)
                }))
            });
        let active = match &mut self.active {
            Some(active) if active.has(hook) => Some(active.call(call, view).await),
            _ => None,
        };
        let beside = match shadow {
            Some(shadow) => Some(self.join(hook, shadow).await),
            None => None,
        };
        match (active, beside) {
            (Some(active), beside) => {
                if let Some(shadow) = &beside {
                    let versions = self.candidate.runtime.services.metrics.filters().versions();
                    versions.shadowed(&self.info.name, agree(&active, shadow));
                }
                Outcome {
                    beside: beside.map(Box::new),
                    ..active
                }
            }
            (None, Some(beside)) => beside,
            // The shadow has failed, and there is nobody else.
            (None, None) => Outcome {
                mode: Mode::Shadow,
                by: Some(Arc::clone(&self.info)),
                ..Outcome::new(Ok(Verdict::Continue))
            },
        }
    }
}

impl ShadowRun {
    async fn join(
        &mut self,
        hook: Hook,
        shadow: AbortOnDropHandle<(PluginRun, Outcome)>,
    ) -> Outcome {
        let started = Instant::now();
        let done = tokio::time::timeout(self.patience, shadow).await;
        self.patience = self.patience.saturating_sub(started.elapsed());
        let outcome = match done {
            Ok(Ok((run, outcome))) => {
                if outcome.result.is_ok() {
                    self.shadow = Some(run);
                }
                outcome
            }
            // A panic of the host in its task, or late: it was ended.
            Ok(Err(_)) | Err(_) => overdue(&self.candidate, hook, started.elapsed()),
        };
        Outcome {
            mode: Mode::Shadow,
            by: Some(Arc::clone(&self.info)),
            ..outcome
        }
    }
}

/// Whether two versions did the same; that neither answered is the same too.
fn agree(active: &Outcome, shadow: &Outcome) -> bool {
    let points = |outcome: &Outcome| -> Vec<(String, f32)> {
        let symbols = outcome.symbols.iter();
        symbols
            .map(|symbol| (symbol.name.clone(), symbol.score))
            .collect()
    };
    active.result.as_ref().ok() == shadow.result.as_ref().ok()
        && points(active) == points(shadow)
        && active.edits == shadow.edits
}

struct CanaryRun {
    share: Share,
    active: Arc<Plugin>,
    candidate: Arc<Plugin>,
    /// For the whole transaction, from its first call on.
    chosen: Option<Chosen>,
}

struct Chosen {
    run: PluginRun,
    canary: Option<Arc<FilterInfo>>,
}

#[async_trait]
impl FilterRun for CanaryRun {
    async fn call(&mut self, call: &Call, view: View) -> Outcome {
        let chosen = self.chosen.get_or_insert_with(|| {
            let first = view.envelope.recipients.first();
            let first = first.map(|recipient| &recipient.address);
            let recipient = first.or(call.recipient());
            let canary = self.share.has(view.transaction.as_ref(), recipient) == Some(true);
            let plugin = if canary {
                &self.candidate
            } else {
                &self.active
            };
            Chosen {
                run: PluginRun::new(Arc::clone(plugin)),
                canary: canary.then(|| Arc::new(plugin.info.clone())),
            }
        });
        let outcome = chosen.run.call(call, view).await;
        match &chosen.canary {
            None => outcome,
            Some(info) => Outcome {
                mode: Mode::Canary,
                by: Some(Arc::clone(info)),
                ..outcome
            },
        }
    }
}
