//! A plugin as a filter of the chain: one fresh instance for each transaction, made at its first call.
//! Decides nothing: what a failure means for the message is the chain's affair.

use super::component::{LoadError, Plugin, Start};
use super::guest::Guest;
use crate::mail::{
    Call, Failure, FailureKind, Filter, FilterInfo, FilterRun, Outcome, Verdict, View,
};
use crate::metrics;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Instant;

pub struct PluginFilter(pub Arc<Plugin>);

impl Filter for PluginFilter {
    fn info(&self) -> &FilterInfo {
        &self.0.info
    }

    fn open(&self) -> Box<dyn FilterRun> {
        Box::new(PluginRun {
            plugin: Arc::clone(&self.0),
            guest: None,
        })
    }
}

impl PluginFilter {
    /// As `open`, with the instance made now and not at the first call.
    pub async fn open_started(&self) -> Result<Box<dyn FilterRun>, Failure> {
        Ok(Box::new(PluginRun {
            plugin: Arc::clone(&self.0),
            guest: Some(start(&self.0).await?),
        }))
    }
}

struct PluginRun {
    plugin: Arc<Plugin>,
    guest: Option<Guest>,
}

#[async_trait]
impl FilterRun for PluginRun {
    async fn call(&mut self, call: &Call, view: View) -> Outcome {
        let started = Instant::now();
        let result = self.answer(call, view).await;
        let outcome = self.outcome(result, started);
        self.plugin.meter.count(&metrics::Call {
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
    async fn answer(&mut self, call: &Call, view: View) -> Result<Verdict, Failure> {
        let plugin = &self.plugin;
        let limits = plugin.profile.limits;
        let Some(index) = plugin.interface.hook(call.hook()) else {
            return Ok(Verdict::Continue);
        };
        let guest = match &mut self.guest {
            Some(guest) => guest,
            none => {
                let started = start(plugin).await?;
                none.insert(started)
            }
        };
        guest.state().begin(call, view);
        guest.call(index, call, limits).await
    }

    fn outcome(&mut self, result: Result<Verdict, Failure>, started: Instant) -> Outcome {
        let failed = result.is_err();
        let (record, memory) = match &mut self.guest {
            Some(guest) => (guest.state().end(), guest.state().memory.used()),
            None => Default::default(),
        };
        if failed {
            // A trapped instance cannot be entered again, and its place is wanted.
            self.guest = None;
        }
        Outcome {
            result,
            edits: if failed { Vec::new() } else { record.edits },
            symbols: if failed { Vec::new() } else { record.symbols },
            refused: record.refused,
            log: record.log,
            elapsed: started.elapsed(),
            memory,
            host_calls: record.host_calls,
            calls: record.calls,
        }
    }
}

async fn start(plugin: &Plugin) -> Result<Guest, Failure> {
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
