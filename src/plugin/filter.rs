//! A plugin as a filter of the chain: one fresh instance for each transaction, made at its first call, unless the plugin asked for warm ones.
//! Decides nothing: what a failure means for the message is the chain's affair.

use super::aside::begun_here;
use super::component::{LoadError, Plugin, Start};
use super::guest::Guest;
use super::state::Used;
use crate::mail::{
    Call, Failure, FailureKind, Filter, FilterInfo, FilterRun, Hook, Outcome, Verdict, View,
};
use crate::metrics;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;

pub struct PluginFilter(pub Arc<Plugin>);

impl Filter for PluginFilter {
    fn info(&self) -> &FilterInfo {
        &self.0.info
    }

    fn open(&self) -> Box<dyn FilterRun> {
        Box::new(PluginRun::new(Arc::clone(&self.0)))
    }
}

impl PluginFilter {
    /// As `open`, with the instance made now and not at the first call.
    pub async fn open_started(&self) -> Result<Box<dyn FilterRun>, Failure> {
        let mut run = PluginRun::new(Arc::clone(&self.0));
        run.working = Some(start(&self.0).await?);
        Ok(Box::new(run))
    }
}

/// A plugin at work on one transaction.
pub struct PluginRun {
    plugin: Arc<Plugin>,
    working: Option<Working>,
    /// By an instance that was given up between two hooks.
    used: Used,
}

struct Working {
    guest: Guest,
    // After the guest: its place is free only then.
    _place: OwnedSemaphorePermit,
}

impl Drop for PluginRun {
    fn drop(&mut self) {
        // In the middle of a call there is none: it is with the call, and in no state to be used again.
        self.give_back();
    }
}

#[async_trait]
impl FilterRun for PluginRun {
    async fn call(&mut self, call: &Call, view: View) -> Outcome {
        let started = Instant::now();
        let plugin = Arc::clone(&self.plugin);
        if !self.has(call.hook()) {
            return Outcome::new(Ok(Verdict::Continue));
        }
        let gate = &plugin.gate;
        let (pass, result) = match gate.admit(call.hook()) {
            Ok(pass) => {
                let _in_flight = gate.figures().enter();
                let result = self.answer(call, view).await;
                (Some(pass), result)
            }
            Err(failure) => (None, Err(failure)),
        };
        let outcome = self.outcome(call.hook(), result, started);
        gate.done(pass, &outcome.result, outcome.elapsed);
        plugin.meter.count(&metrics::Call {
            hook: call.hook().name(),
            result: match &outcome.result {
                Ok(verdict) => verdict.name(),
                Err(_) => "failed",
            },
            failure: outcome
                .result
                .as_ref()
                .err()
                .map(|failure| failure.kind.to_string()),
            elapsed: outcome.elapsed,
            edits: outcome.edits.len(),
            symbols: outcome.symbols.len(),
            refused: outcome.refused.len(),
        });
        outcome
    }
}

impl PluginRun {
    pub fn new(plugin: Arc<Plugin>) -> Self {
        Self {
            plugin,
            working: None,
            used: Used::default(),
        }
    }

    pub fn has(&self, hook: Hook) -> bool {
        self.plugin.info.hooks.contains(hook)
    }

    /// Whether the transaction may come to another hook of this filter, or to this one again, before its client has its reply.
    fn may_be_asked_again(&self, after: Hook) -> bool {
        let again = matches!(after, Hook::Rcpt | Hook::Deliver | Hook::Relay);
        let mut hooks = self.plugin.info.hooks.iter();
        hooks.any(|hook| hook.is_answered() && (hook > after || again && hook == after))
    }

    fn give_back(&mut self) {
        if let Some(working) = self.working.take() {
            self.plugin.gate.keep(working.guest);
        }
    }

    /// Gives the instance up; another goes on in its place.
    fn pause(&mut self) {
        let Some(mut working) = self.working.take() else {
            return;
        };
        self.used = working.guest.state().pause();
        // One that is kept has its place in the pool.
        if !self.plugin.runtime.is_short() {
            self.plugin.gate.keep(working.guest);
        }
    }

    async fn answer(&mut self, call: &Call, view: View) -> Result<Verdict, Failure> {
        let plugin = Arc::clone(&self.plugin);
        let (working, used) = (self.working.take(), std::mem::take(&mut self.used));
        let call = call.clone();
        let turn = Box::pin(async move {
            let Some(index) = plugin.interface.hook(call.hook()) else {
                return (working, Ok(Verdict::Continue));
            };
            let mut working = match working {
                Some(working) => working,
                None => match start(&plugin).await {
                    Ok(mut started) => {
                        started.guest.state().resume(used);
                        started
                    }
                    Err(failure) => return (None, Err(failure)),
                },
            };
            working.guest.state().begin(&call, view);
            let limits = plugin.profile.limits;
            let answer = working.guest.call(index, &call, limits).await;
            (Some(working), answer)
        });
        let (working, answer) = begun_here(&self.plugin.runtime.home, turn).await;
        self.working = working;
        answer
    }

    fn outcome(
        &mut self,
        hook: Hook,
        result: Result<Verdict, Failure>,
        started: Instant,
    ) -> Outcome {
        let failed = result.is_err();
        let (record, memory) = match &mut self.working {
            Some(Working { guest, .. }) => (guest.state().end(), guest.state().memory.used()),
            None => Default::default(),
        };
        if failed {
            // A trapped instance cannot be entered again, and its place is wanted.
            self.working = None;
        } else if !self.may_be_asked_again(hook) {
            // The next instance finds its place still in the processor's caches.
            self.give_back();
        } else if self.plugin.gate.is_short() || self.plugin.runtime.is_short() {
            // Between two hooks a client may say nothing for minutes, and so many such clients would have all places.
            self.pause();
        }
        Outcome {
            edits: if failed { Vec::new() } else { record.edits },
            symbols: if failed { Vec::new() } else { record.symbols },
            refused: record.refused,
            log: record.log,
            elapsed: started.elapsed(),
            memory,
            host_calls: record.host_calls,
            calls: record.calls,
            ..Outcome::new(result)
        }
    }
}

/// Of a shadow that was ended, since nobody waits for it any longer.
pub fn overdue(plugin: &Plugin, hook: Hook, waited: Duration) -> Outcome {
    let result = Err(Failure {
        kind: FailureKind::Timeout,
        text: format!(
            "a shadow, it was ended: {} ms after the active version had answered it had not",
            waited.as_millis()
        ),
    });
    plugin.gate.blame(hook, &result, waited);
    Outcome {
        elapsed: waited,
        ..Outcome::new(result)
    }
}

async fn start(plugin: &Plugin) -> Result<Working, Failure> {
    let place = plugin.gate.place(plugin.profile.limits.wall).await?;
    let guest = match plugin.gate.warm() {
        Some(guest) => guest,
        None => Box::pin(fresh(plugin)).await?,
    };
    Ok(Working {
        guest,
        _place: place,
    })
}

async fn fresh(plugin: &Plugin) -> Result<Guest, Failure> {
    let limits = plugin.profile.limits;
    let mut guest = Guest::start(&plugin.runtime, &plugin.profile, &plugin.pre, limits).await?;
    if let (Start::Each(_), Some(load)) = (&plugin.start, plugin.interface.load()) {
        let loaded = guest.load(load, plugin.profile.load).await;
        loaded.map_err(|error| match error {
            LoadError::OnLoadFailed(failure) => failure,
            error => Failure {
                kind: FailureKind::Host,
                text: error.to_string(),
            },
        })?;
        // What it asked for there is not this call's.
        guest.state().end();
    }
    Ok(guest)
}
