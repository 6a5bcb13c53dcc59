//! The circuit breaker of one version of a plugin, or of a milter: when too much of what it is asked fails it is left alone for a while, then
//! tried again with one call. Doesn't know what a failure is.

use super::figures::share;
use crate::mail::Hook;
use crate::metrics::GateMeter;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BreakerConfig {
    /// So many failures within the window open it, if they are a share of the calls. 0: it never opens.
    pub failures: u32,
    /// The share, from 0 to 1, of the calls of the hook that failed last, within the window. Five messages made to crash a filter are no
    /// reason to take it from a thousand others.
    pub share: f64,
    pub window: Duration,
    /// The first pause; each failed trial doubles it.
    pub pause: Duration,
    pub longest_pause: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            failures: 5,
            share: 0.25,
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
    meter: GateMeter,
    inner: Mutex<Inner>,
}

struct Inner {
    phase: Phase,
    /// When it failed lately and where, oldest first.
    failures: VecDeque<(Instant, Hook)>,
    calls: Calls,
    pause: Duration,
}

/// Calls within the window by hook, counted in parts of it.
#[derive(Default)]
struct Calls(VecDeque<(Instant, [u32; Hook::ALL.len()])>);

const PARTS: u32 = 12;

impl Calls {
    fn count(&mut self, hook: Hook, now: Instant, window: Duration) {
        let old = |at: &Instant| now.saturating_duration_since(*at) > window;
        while self.0.front().is_some_and(|(at, _)| old(at)) {
            self.0.pop_front();
        }
        let fresh = |at: &Instant| now.saturating_duration_since(*at) <= window / PARTS;
        if !self.0.back().is_some_and(|(at, _)| fresh(at)) {
            self.0.push_back((now, [0; Hook::ALL.len()]));
        }
        if let Some((_, counts)) = self.0.back_mut()
            && let Some(count) = counts.get_mut(hook as usize)
        {
            *count = count.saturating_add(1);
        }
    }

    fn of(&self, hook: Hook) -> u64 {
        let counts = self.0.iter().filter_map(|(_, by)| by.get(hook as usize));
        counts.map(|count| u64::from(*count)).sum()
    }
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
    pub fn new(config: BreakerConfig, of: &str, meter: GateMeter) -> Arc<Self> {
        Arc::new(Self {
            config,
            of: of.to_owned(),
            meter,
            inner: Mutex::new(Inner {
                phase: Phase::Closed,
                failures: VecDeque::new(),
                calls: Calls::default(),
                pause: config.pause,
            }),
        })
    }

    /// Asked before each call.
    pub fn admit(self: &Arc<Self>, hook: Hook, now: Instant) -> Result<Pass, Open> {
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
                self.meter.half_open();
                tracing::info!("{}: breaker half-open, one call is let through", self.of);
                true
            }
        };
        if self.config.failures > 0 {
            inner.calls.count(hook, now, self.config.window);
        }
        Ok(Pass {
            breaker: Arc::clone(self),
            hook,
            trial,
            settled: false,
        })
    }

    /// A failure of a call whose pass is out of reach: the call was ended from outside.
    pub fn blame(&self, hook: Hook, now: Instant) {
        let trial = self.lock().phase == Phase::Trial;
        self.failed(hook, trial, now);
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
    fn failed(&self, hook: Hook, trial: bool, now: Instant) {
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
        while inner.failures.front().is_some_and(|(at, _)| old(at)) {
            inner.failures.pop_front();
        }
        inner.failures.push_back((now, hook));
        let here = inner.failures.iter().filter(|(_, at)| *at == hook).count() as u64;
        let calls = inner.calls.of(hook);
        if inner.failures.len() >= self.config.failures as usize
            && share(here, calls) >= self.config.share
        {
            let why = format!(
                "{} failures within {} s, the last of them one of {here} of {calls} calls at {hook}",
                inner.failures.len(),
                window.as_secs()
            );
            self.open(&mut inner, now, &why);
        }
    }

    fn open(&self, inner: &mut Inner, now: Instant, why: &str) {
        let pause = inner.pause;
        inner.failures.clear();
        inner.calls = Calls::default();
        self.meter.opened();
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
        self.meter.closed();
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
    hook: Hook,
    trial: bool,
    settled: bool,
}

impl Pass {
    pub fn failed(mut self, now: Instant) {
        self.settled = true;
        self.breaker.failed(self.hook, self.trial, now);
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
        let breaker = Breaker::new(BreakerConfig::default(), "test 1", GateMeter::default());
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
            breaker.admit(Hook::Message, now).unwrap().failed(now);
        }
        let now = start + seconds(1000);
        for _ in 0..5 {
            assert_eq!(breaker.state(now), BreakerState::Closed);
            breaker.admit(Hook::Message, now).unwrap().failed(now);
        }
        let Err(Open(text)) = breaker.admit(Hook::Message, now) else {
            panic!("it is closed");
        };
        assert!(text.contains("again in 1000 ms"), "{text}");
    }

    #[tokio::test]
    async fn it_is_tried_with_one_call_and_longer_pauses() {
        let (breaker, start) = breaker();
        for _ in 0..5 {
            breaker.admit(Hook::Message, start).unwrap().failed(start);
        }
        let mut now = start;
        for pause in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert!(
                breaker
                    .admit(
                        Hook::Message,
                        now + seconds(pause) - Duration::from_millis(1)
                    )
                    .is_err()
            );
            now += seconds(pause);
            let trial = breaker.admit(Hook::Message, now).unwrap();
            assert_eq!(breaker.state(now), BreakerState::HalfOpen);
            assert!(breaker.admit(Hook::Message, now).is_err(), "a second trial");
            trial.failed(now);
        }
        now += seconds(60);
        breaker.admit(Hook::Message, now).unwrap().succeeded();
        assert_eq!(breaker.state(now), BreakerState::Closed);
        // From the beginning.
        for _ in 0..5 {
            breaker.admit(Hook::Message, now).unwrap().failed(now);
        }
        assert!(breaker.admit(Hook::Message, now + seconds(1)).is_ok());
    }

    #[tokio::test]
    async fn a_trial_that_is_broken_off_leaves_the_next_one() {
        let (breaker, start) = breaker();
        for _ in 0..5 {
            breaker.admit(Hook::Message, start).unwrap().failed(start);
        }
        let now = start + seconds(1);
        drop(breaker.admit(Hook::Message, now).unwrap());
        assert!(
            breaker
                .admit(Hook::Message, Instant::now().max(now))
                .is_ok()
        );
    }

    #[tokio::test]
    async fn a_trial_that_was_ended_for_its_slowness_has_failed() {
        let (breaker, start) = breaker();
        for _ in 0..5 {
            drop(breaker.admit(Hook::Message, start).unwrap());
            breaker.blame(Hook::Message, start);
        }
        let now = start + seconds(1);
        let trial = breaker.admit(Hook::Message, now).unwrap();
        breaker.blame(Hook::Message, now);
        drop(trial);
        assert!(breaker.admit(Hook::Message, now + seconds(1)).is_err());
        assert!(breaker.admit(Hook::Message, now + seconds(2)).is_ok());
    }

    #[tokio::test]
    async fn old_calls_that_end_while_it_is_open_change_nothing() {
        let (breaker, start) = breaker();
        let (good, bad) = (
            breaker.admit(Hook::Message, start).unwrap(),
            breaker.admit(Hook::Message, start).unwrap(),
        );
        for _ in 0..5 {
            breaker.admit(Hook::Message, start).unwrap().failed(start);
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

    #[tokio::test]
    async fn failures_among_many_calls_are_no_reason() {
        let (breaker, start) = breaker();
        for n in 0..1000 {
            let now = start + Duration::from_millis(50 * n);
            let pass = breaker.admit(Hook::Message, now).unwrap();
            match n % 10 {
                0 => pass.failed(now),
                _ => pass.succeeded(),
            }
        }
        assert_eq!(breaker.state(start + seconds(50)), BreakerState::Closed);
        // That another hook works is no excuse.
        let (breaker, start) = self::breaker();
        for _ in 0..5 {
            for _ in 0..10 {
                breaker.admit(Hook::Rcpt, start).unwrap().succeeded();
            }
            breaker.admit(Hook::Message, start).unwrap().failed(start);
        }
        assert!(breaker.admit(Hook::Rcpt, start).is_err());
        // Calls of long ago are none.
        let (breaker, start) = self::breaker();
        for _ in 0..1000 {
            breaker.admit(Hook::Message, start).unwrap().succeeded();
        }
        let now = start + seconds(61);
        for _ in 0..5 {
            breaker.admit(Hook::Message, now).unwrap().failed(now);
        }
        assert!(breaker.admit(Hook::Message, now).is_err());
    }
}
