//! What one version of a plugin did so far: calls, failures, verdicts, time. Counts only; judges nothing.

use crate::mail::{Failure, FailureKind, Verdict};
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Four buckets for each doubling of a microsecond.
const BUCKETS: usize = 160;
const VERDICTS: usize = 6;

pub struct Figures {
    calls: AtomicU64,
    failures: AtomicU64,
    /// Of these, at once, because the breaker was open.
    refused: AtomicU64,
    /// Of these, those that were the host's.
    host: AtomicU64,
    in_flight: AtomicU64,
    verdicts: [AtomicU64; VERDICTS],
    times: [AtomicU64; BUCKETS],
}

/// [`Figures`] at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Summary {
    pub calls: u64,
    pub failures: u64,
    /// Of the failures, those while the breaker was open.
    pub refused: u64,
    /// Of the failures, those that tell nothing of the plugin: the host could not run it, since no place was free for one.
    #[serde(default)]
    pub host: u64,
    /// Calls at work now.
    pub in_flight: u64,
    /// Of the calls that were answered.
    pub median: Duration,
    pub p99: Duration,
    /// Of the calls that were answered, by kind of verdict, in the order of [`kind`].
    pub verdicts: [u64; VERDICTS],
}

impl Default for Figures {
    fn default() -> Self {
        let zero = || AtomicU64::new(0);
        Self {
            calls: zero(),
            failures: zero(),
            refused: zero(),
            host: zero(),
            in_flight: zero(),
            verdicts: std::array::from_fn(|_| zero()),
            times: std::array::from_fn(|_| zero()),
        }
    }
}

/// A call at work; counted until it is dropped.
pub struct InFlight<'a>(&'a Figures);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

impl Figures {
    pub fn enter(&self) -> InFlight<'_> {
        self.in_flight.fetch_add(1, Relaxed);
        InFlight(self)
    }

    pub fn count(&self, result: &Result<Verdict, Failure>, elapsed: Duration) {
        match result {
            Ok(verdict) => {
                increment(&self.verdicts, kind(verdict));
                increment(&self.times, bucket(elapsed));
            }
            Err(failure) => {
                self.failures.fetch_add(1, Relaxed);
                let also = match failure.kind {
                    FailureKind::BreakerOpen => Some(&self.refused),
                    FailureKind::Host => Some(&self.host),
                    _ => None,
                };
                if let Some(count) = also {
                    count.fetch_add(1, Relaxed);
                }
            }
        }
        self.calls.fetch_add(1, Relaxed);
    }

    pub fn calls(&self) -> u64 {
        self.calls.load(Relaxed)
    }

    pub fn summary(&self) -> Summary {
        let times: Vec<u64> = self.times.iter().map(|count| count.load(Relaxed)).collect();
        let mut verdicts = [0; VERDICTS];
        for (to, from) in verdicts.iter_mut().zip(&self.verdicts) {
            *to = from.load(Relaxed);
        }
        Summary {
            calls: self.calls(),
            failures: self.failures.load(Relaxed),
            refused: self.refused.load(Relaxed),
            host: self.host.load(Relaxed),
            in_flight: self.in_flight.load(Relaxed),
            median: within(&times, 50),
            p99: within(&times, 99),
            verdicts,
        }
    }
}

impl Summary {
    pub fn answered(&self) -> u64 {
        self.verdicts.iter().sum()
    }

    /// Calls that tell something of the plugin.
    pub fn telling(&self) -> u64 {
        self.calls.saturating_sub(self.host)
    }

    /// Of these, those that failed.
    pub fn own_failures(&self) -> u64 {
        self.failures.saturating_sub(self.host)
    }

    pub fn error_rate(&self) -> f64 {
        share(self.own_failures(), self.telling())
    }

    /// By how much the shares of one kind of verdict differ, the most.
    pub fn verdict_change(&self, other: &Self) -> f64 {
        let pairs = self.verdicts.iter().zip(&other.verdicts);
        pairs
            .map(|(a, b)| (share(*a, self.answered()) - share(*b, other.answered())).abs())
            .fold(0.0, f64::max)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of calls are far from 2⁵²"
)]
pub fn share(part: u64, of: u64) -> f64 {
    if of == 0 {
        0.0
    } else {
        part as f64 / of as f64
    }
}

fn increment(counts: &[AtomicU64], at: usize) {
    if let Some(count) = counts.get(at) {
        count.fetch_add(1, Relaxed);
    }
}

pub fn kind(verdict: &Verdict) -> usize {
    match verdict {
        Verdict::Continue => 0,
        Verdict::Accept => 1,
        Verdict::Reject(_) => 2,
        Verdict::Tempfail(_) => 3,
        Verdict::Discard => 4,
        Verdict::Quarantine(_) => 5,
    }
}

fn bucket(time: Duration) -> usize {
    let micros = u64::try_from(time.as_micros())
        .unwrap_or(u64::MAX)
        .clamp(1, 1 << 38);
    let doubling = u64::from(micros.ilog2());
    let quarter = ((micros << 2) >> doubling) & 3;
    usize::try_from(4 * doubling + quarter).unwrap_or(BUCKETS)
}

/// The upper end of a bucket.
fn end(bucket: usize) -> Duration {
    let next = bucket as u64 + 1;
    Duration::from_micros(((4 + next % 4) << (next / 4)) >> 2)
}

/// The time within which so many of a hundred were, rounded up by a quarter at the most.
fn within(times: &[u64], percent: u64) -> Duration {
    let all: u64 = times.iter().sum();
    let wanted = (all * percent).div_ceil(100);
    let mut seen = 0;
    for (bucket, count) in times.iter().enumerate() {
        seen += count;
        if *count > 0 && seen >= wanted {
            return end(bucket);
        }
    }
    Duration::ZERO
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_near() {
        let figures = Figures::default();
        for n in 1..=1000 {
            figures.count(&Ok(Verdict::Continue), Duration::from_micros(n));
        }
        let summary = figures.summary();
        assert_eq!((summary.calls, summary.failures), (1000, 0));
        let near = |found: Duration, exact: u64| {
            let found = u64::try_from(found.as_micros()).unwrap();
            assert!(
                (exact..=exact + exact / 4 + 1).contains(&found),
                "{found} for {exact}"
            );
        };
        near(summary.median, 500);
        near(summary.p99, 990);
        for odd in [Duration::ZERO, Duration::from_secs(1 << 40)] {
            figures.count(&Ok(Verdict::Accept), odd);
        }
        assert_eq!(figures.summary().answered(), 1002);
    }

    #[test]
    fn shares_of_verdicts_are_compared() {
        let (a, b) = (Figures::default(), Figures::default());
        for n in 0..10 {
            a.count(&Ok(Verdict::Continue), Duration::ZERO);
            let verdict = if n < 3 {
                Verdict::Discard
            } else {
                Verdict::Continue
            };
            b.count(&Ok(verdict), Duration::ZERO);
        }
        let change = a.summary().verdict_change(&b.summary());
        assert!((change - 0.3).abs() < 1e-9, "{change}");
    }
}
