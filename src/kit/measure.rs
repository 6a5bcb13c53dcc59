//! What one transaction of a plugin takes, in parts. Measures once and judges nothing.

use super::play::{Play, play};
use crate::mail::{Failure, Filter, FilterInfo, FilterRun, Hook};
use crate::plugin::{Input, Loaded};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

#[derive(Debug, Clone)]
pub struct Cost {
    /// Making the instance, `on-load` included where it has to run in each.
    pub instantiate: Duration,
    /// Each hook, all its calls together, with what the host did for it.
    pub hooks: BTreeMap<Hook, Duration>,
    /// Octets of linear memory, the most at the end of a call.
    pub memory: u64,
    pub host_calls: u32,
}

/// Hands out the instance that is made already, once.
struct Started {
    filter: Arc<dyn Filter>,
    run: Mutex<Option<Box<dyn FilterRun>>>,
}

impl Filter for Started {
    fn info(&self) -> &FilterInfo {
        self.filter.info()
    }

    fn open(&self) -> Box<dyn FilterRun> {
        let mut run = self.run.lock().unwrap_or_else(PoisonError::into_inner);
        run.take().unwrap_or_else(|| self.filter.open())
    }
}

/// The inner error is the plugin's: what fails is no measure.
pub async fn measure(plugin: &Loaded, input: Input) -> io::Result<Result<Cost, Failure>> {
    let started = Instant::now();
    let run = match plugin.started().await {
        Ok(run) => run,
        Err(failure) => return Ok(Err(failure)),
    };
    let mut cost = Cost {
        instantiate: started.elapsed(),
        hooks: BTreeMap::new(),
        memory: 0,
        host_calls: 0,
    };
    let filter = Arc::new(Started {
        filter: Arc::clone(&plugin.filter),
        run: Mutex::new(Some(run)),
    });
    let done = play(&[filter], Play::from(input)).await?;
    for turn in done.turns() {
        if let Err(failure) = &turn.result {
            return Ok(Err(failure.clone()));
        }
        *cost.hooks.entry(turn.hook).or_default() += turn.elapsed;
        cost.memory = cost.memory.max(turn.memory);
        cost.host_calls = cost.host_calls.saturating_add(turn.host_calls);
    }
    Ok(Ok(cost))
}
