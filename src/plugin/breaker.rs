//! The circuit breaker of one version of a plugin, or of a milter: after some failures in a row of time it is left alone for a while, then tried again with
//! one call. Doesn't know what a call is.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerConfig {
    /// So many failures within the window open it. 0: it never opens.
    pub failures: u32,
    pub window: Duration,
    /// The first pause; each failed trial doubles it.
    pub pause: Duration,
    pub longest_pause: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            failures: 5,
            window: Duration::from_secs(60),
            pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
        }
    }
}

/// As `plugin status` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum BreakerState {
    Closed,
    /// Every call fails at once.
    Open {
        milliseconds_left: u64,
    },
    /// One call tries whether it works again; the others fail at once.
    HalfOpen,
}

impl fmt::Display for BreakerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("closed"),
            Self::Open { milliseconds_left } => write!(f, "open for {milliseconds_left} ms more"),
            Self::HalfOpen => f.write_str("half-open"),
        }
    }
}

pub struct Breaker {
    config: BreakerConfig,
    /// What it is of, for the log: "plugin NAME VERSION".
    of: String,
    inner: Mutex<Inner>,
}

struct Inner {
    phase: Phase,
    /// When it failed lately, oldest first.
    failures: VecDeque<Instant>,
    pause: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Closed,
    Open { until: Instant },
    Trial,
}

/// The breaker is open; the text says for how long.
#[derive(Debug, PartialEq, Eq)]
pub struct Open(pub String);

impl Breaker {
    pub fn new(config: BreakerConfig, of: &str) -> Arc<Self> {
        Arc::new(Self {
            config,
            of: of.to_owned(),
            inner: Mutex::new(Inner {
                phase: Phase::Closed,
                failures: VecDeque::new(),
                pause: config.pause,
            }),
        })
    }

    /// Asked before each call.
    pub fn admit(self: &Arc<Self>, now: Instant) -> Result<Pass, Open> {
        let mut inner = self.lock();
        let trial = match inner.phase {
            Phase::Closed => false,
            Phase::Open { until } if until > now => {
                let left = until.duration_since(now).as_millis().max(1);
                return Err(Open(format!(
                    "it failed too often; it is tried again in {left} ms"
                )));
            }
            Phase::Trial => {
                return Err(Open(
                    "it failed too often; it is being tried again".to_owned(),
                ));
            }
            Phase::Open { .. } => {
                inner.phase = Phase::Trial;
                tracing::info!("{}: breaker half-open, one call is let through", self.of);
                true
            }
        };
        Ok(Pass {
            breaker: Arc::clone(self),
            trial,
            settled: false,
        })
    }

    /// A failure of a call whose pass is out of reach: the call was ended from outside.
    pub fn blame(&self, now: Instant) {
        let trial = self.lock().phase == Phase::Trial;
        self.failed(trial, now);
    }

    pub fn state(&self, now: Instant) -> BreakerState {
        match self.lock().phase {
            Phase::Closed => BreakerState::Closed,
            Phase::Trial => BreakerState::HalfOpen,
            Phase::Open { until } => BreakerState::Open {
                milliseconds_left: u64::try_from(until.saturating_duration_since(now).as_millis())
                    .unwrap_or(u64::MAX),
            },
        }
    }

    /// A failure of a call that was let through.
    fn failed(&self, trial: bool, now: Instant) {
        let mut inner = self.lock();
        if trial {
            let pause = inner.pause.saturating_mul(2).min(self.config.longest_pause);
            inner.pause = pause;
            self.open(&mut inner, now, "the trial failed");
            return;
        }
        // One that began before it opened tells nothing new.
        if inner.phase != Phase::Closed || self.config.failures == 0 {
            return;
        }
        let window = self.config.window;
        let old = |at: &Instant| now.saturating_duration_since(*at) > window;
        while inner.failures.front().is_some_and(old) {
            inner.failures.pop_front();
        }
        inner.failures.push_back(now);
        if inner.failures.len() >= self.config.failures as usize {
            let why = format!(
                "{} failures within {} s",
                inner.failures.len(),
                window.as_secs()
            );
            self.open(&mut inner, now, &why);
        }
    }

    fn open(&self, inner: &mut Inner, now: Instant, why: &str) {
        let pause = inner.pause;
        inner.failures.clear();
        inner.phase = Phase::Open { until: now + pause };
        tracing::warn!(
            "{}: breaker open for {} ms: {why}",
            self.of,
            pause.as_millis()
        );
    }

    fn succeeded(&self, trial: bool) {
        if !trial {
            return;
        }
        let mut inner = self.lock();
        inner.phase = Phase::Closed;
        inner.pause = self.config.pause;
        tracing::info!("{}: breaker closed, it works again", self.of);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that was let through. Dropped without a word, it was broken off and tells nothing.
pub struct Pass {
    breaker: Arc<Breaker>,
    trial: bool,
    settled: bool,
}

impl Pass {
    pub fn failed(mut self, now: Instant) {
        self.settled = true;
        self.breaker.failed(self.trial, now);
    }

    pub fn succeeded(mut self) {
        self.settled = true;
        self.breaker.succeeded(self.trial);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if !self.trial || self.settled {
            return;
        }
        let mut inner = self.breaker.lock();
        if inner.phase == Phase::Trial {
            // The next call is the trial.
            inner.phase = Phase::Open {
                until: Instant::now(),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> (Arc<Breaker>, Instant) {
        let breaker = Breaker::new(BreakerConfig::default(), "test 1");
        (breaker, Instant::now())
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[tokio::test]
    async fn five_failures_in_a_minute_open_it() {
        let (breaker, start) = breaker();
        // One every twenty seconds is no reason.
        for n in 0..20 {
            let now = start + seconds(20 * n);
            breaker.admit(now).unwrap().failed(now);
        }
        let now = start + seconds(1000);
        for _ in 0..5 {
            assert_eq!(breaker.state(now), BreakerState::Closed);
            breaker.admit(now).unwrap().failed(now);
        }
        let Err(Open(text)) = breaker.admit(now) else {
            panic!("it is closed");
        };
        assert!(text.contains("again in 1000 ms"), "{text}");
    }

    #[tokio::test]
    async fn it_is_tried_with_one_call_and_longer_pauses() {
        let (breaker, start) = breaker();
        for _ in 0..5 {
            breaker.admit(start).unwrap().failed(start);
        }
        let mut now = start;
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert!(
                breaker
                    .admit(now + seconds(pause) - Duration::from_millis(1))
                    .is_err()
            );
            now += seconds(pause);
            let trial = breaker.admit(now).unwrap();
            assert_eq!(breaker.state(now), BreakerState::HalfOpen);
            assert!(breaker.admit(now).is_err(), "a second trial");
            trial.failed(now);
        }
        now += seconds(60);
        breaker.admit(now).unwrap().succeeded();
        assert_eq!(breaker.state(now), BreakerState::Closed);
        // From the beginning.
        for _ in 0..5 {
            breaker.admit(now).unwrap().failed(now);
        }
        assert!(breaker.admit(now + seconds(1)).is_ok());
    }

    #[tokio::test]
    async fn a_trial_that_is_broken_off_leaves_the_next_one() {
        let (breaker, start) = breaker();
        for _ in 0..5 {
            breaker.admit(start).unwrap().failed(start);
        }
        let now = start + seconds(1);
        drop(breaker.admit(now).unwrap());
        assert!(breaker.admit(Instant::now().max(now)).is_ok());
    }

    #[tokio::test]
    async fn a_trial_that_was_ended_for_its_slowness_has_failed() {
        let (breaker, start) = breaker();
        for _ in 0..5 {
            drop(breaker.admit(start).unwrap());
            breaker.blame(start);
        }
        let now = start + seconds(1);
        let trial = breaker.admit(now).unwrap();
        breaker.blame(now);
        drop(trial);
        assert!(breaker.admit(now + seconds(1)).is_err());
        assert!(breaker.admit(now + seconds(2)).is_ok());
    }

    #[tokio::test]
    async fn old_calls_that_end_while_it_is_open_change_nothing() {
        let (breaker, start) = breaker();
        let (good, bad) = (breaker.admit(start).unwrap(), breaker.admit(start).unwrap());
        for _ in 0..5 {
            breaker.admit(start).unwrap().failed(start);
        }
        good.succeeded();
        bad.failed(start);
        assert!(matches!(
            breaker.state(start),
            BreakerState::Open {
                milliseconds_left: 1000
            }
        ));
    }
}
