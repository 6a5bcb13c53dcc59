//! What stands between the chain and one version of a plugin: its share of the instances, its breaker, its figures, and the warm instances
//! that it may keep. Calls nothing itself.

use super::breaker::{Breaker, BreakerConfig, BreakerState, Pass};
use super::digest::Digest;
use super::figures::{Figures, Summary};
use super::guest::Guest;
use super::limits::Limits;
use super::probation::{Judgement, ProbationConfig, judge};
use crate::mail::{Failure, FailureKind, Hook, Verdict};
use crate::metrics::GateMeter;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId, available_parallelism};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

/// Transactions that a warm instance serves.
const MOST_USES: u32 = 1000;
/// Idle warm instances of one plugin, or one for each core if these are more; each takes a place of the pool.
const MOST_IDLE: usize = 8;

pub struct Gate {
    instances: Arc<Semaphore>,
    concurrency: u32,
    breaker: Arc<Breaker>,
    meter: GateMeter,
    figures: Figures,
    /// None: each transaction has a fresh instance.
    warm: Option<Mutex<Vec<Idle>>>,
    most_idle: usize,
    on_probation: AtomicBool,
    probation: Mutex<Option<Probation>>,
}

/// A warm instance between two transactions.
struct Idle {
    guest: Guest,
    /// That it was called on last: its memory is in that core's caches.
    thread: ThreadId,
}

/// How a version on probation is judged, and who is told.
pub struct Probation {
    pub config: ProbationConfig,
    /// Of the version before it.
    pub before: Option<Summary>,
    pub since: Instant,
    /// Told once.
    pub tell: mpsc::UnboundedSender<Judged>,
    pub name: String,
    /// As in the history.
    pub id: Digest,
}

/// What came of a version's probation.
pub struct Judged {
    pub name: String,
    pub id: Digest,
    pub judgement: Judgement,
}

impl Gate {
    pub fn new(
        name: &str,
        version: &str,
        limits: Limits,
        pool: u32,
        breaker: BreakerConfig,
        warm: bool,
        meter: GateMeter,
    ) -> Self {
        // A part of the pool is always for the others.
        let concurrency = limits.concurrency.min(pool - pool / 8).max(1);
        Self {
            instances: Arc::new(Semaphore::new(concurrency as usize)),
            concurrency,
            breaker: Breaker::new(breaker, &format!("plugin {name} {version}"), meter.clone()),
            meter,
            figures: Figures::default(),
            warm: warm.then(Mutex::default),
            most_idle: available_parallelism()
                .map_or(MOST_IDLE, |cores| cores.get().max(MOST_IDLE)),
            on_probation: AtomicBool::new(false),
            probation: Mutex::new(None),
        }
    }

    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    pub fn summary(&self) -> Summary {
        self.figures.summary()
    }

    pub fn breaker(&self) -> BreakerState {
        self.breaker.state(Instant::now())
    }

    pub fn concurrency(&self) -> u32 {
        self.concurrency
    }

    pub fn admit(&self, hook: Hook) -> Result<Pass, Failure> {
        self.breaker
            .admit(hook, Instant::now())
            .map_err(|open| Failure {
                kind: FailureKind::BreakerOpen,
                text: open.0,
            })
    }

    /// Counts a call. `pass`: of one that was run.
    pub fn done(&self, pass: Option<Pass>, result: &Result<Verdict, Failure>, elapsed: Duration) {
        match (pass, result) {
            // What the host could not do is no fault of the plugin.
            (Some(pass), Err(failure)) if failure.kind != FailureKind::Host => {
                pass.failed(Instant::now());
            }
            (Some(pass), Ok(_)) => pass.succeeded(),
            _ => {}
        }
        self.figures.count(result, elapsed);
        if self.on_probation.load(Relaxed) {
            self.judge();
        }
    }

    /// Counts a call that was ended from outside, for its slowness.
    pub fn blame(&self, hook: Hook, failed: &Result<Verdict, Failure>, elapsed: Duration) {
        self.breaker.blame(hook, Instant::now());
        self.done(None, failed, elapsed);
    }

    /// Whether less than half of the places is free.
    pub fn is_short(&self) -> bool {
        self.instances.available_permits() * 2 < self.concurrency as usize
    }

    /// A place among the instances that this plugin may have.
    pub async fn place(&self, wait: Duration) -> Result<OwnedSemaphorePermit, Failure> {
        let place = Arc::clone(&self.instances).acquire_owned();
        match tokio::time::timeout(wait, place).await {
            Ok(Ok(place)) => Ok(place),
            // That others have them says nothing of this version.
            Ok(Err(_)) | Err(_) => Err(Failure {
                kind: FailureKind::Host,
                text: format!(
                    "all {} instances that it may have were at work for {} ms",
                    self.concurrency,
                    wait.as_millis()
                ),
            }),
        }
    }

    /// An instance that served another transaction before, if the plugin asked for that.
    pub fn warm(&self) -> Option<Guest> {
        let mut idle = lock(self.warm.as_ref()?);
        let here = thread::current().id();
        loop {
            let own = idle.iter().rposition(|idle| idle.thread == here);
            let last = idle.len().checked_sub(1)?;
            let Idle { mut guest, .. } = idle.remove(own.unwrap_or(last));
            // What was granted when it was made holds for as long as it lives.
            if guest.state().is_granted_as_now() {
                guest.renew();
                return Some(guest);
            }
        }
    }

    /// After a transaction in which nothing went wrong. Drops the instance if it is not to be used again.
    pub fn keep(&self, mut guest: Guest) {
        let Some(warm) = &self.warm else {
            return;
        };
        if guest.uses() >= MOST_USES || guest.is_swollen() {
            return;
        }
        let mut idle = lock(warm);
        if idle.len() < self.most_idle {
            let thread = thread::current().id();
            idle.push(Idle { guest, thread });
        }
    }

    /// From now on each call is judged, until there is a judgement.
    pub fn watch(&self, probation: Probation) {
        *lock(&self.probation) = Some(probation);
        self.meter.on_probation(true);
        self.on_probation.store(true, Relaxed);
    }

    /// How long it has been on probation.
    pub fn on_probation(&self) -> Option<Duration> {
        let probation = lock(&self.probation);
        probation
            .as_ref()
            .map(|probation| probation.since.elapsed())
    }

    /// Nothing is judged any more.
    pub fn release(&self) {
        self.on_probation.store(false, Relaxed);
        *lock(&self.probation) = None;
        self.meter.on_probation(false);
    }

    fn judge(&self) {
        let mut probation = lock(&self.probation);
        let Some(watch) = &*probation else {
            return;
        };
        let before = watch.before.as_ref();
        let judgement = judge(
            &watch.config,
            &self.summary(),
            before,
            watch.since.elapsed(),
        );
        if judgement != Judgement::GoesOn {
            self.on_probation.store(false, Relaxed);
            // Nobody hears it when the server is ending.
            let _ = watch.tell.send(Judged {
                name: watch.name.clone(),
                id: watch.id,
                judgement,
            });
            *probation = None;
            self.meter.on_probation(false);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
