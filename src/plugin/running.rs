//! How long a filter has run in one call: its own code, and what the host does for it meanwhile. What it waits for is not counted.
//! Its time is looked at when it goes on, when it stops, and at ticks between: a call into the host costs nothing here.

use super::engine::{TICK, Ticks};
use rustix::time::{ClockId, clock_gettime};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;

/// Clones are the same one. Whoever runs the filter has it to itself.
#[derive(Debug, Clone)]
pub struct Running(Arc<Counter>);

#[derive(Debug)]
struct Counter {
    ticks: Ticks,
    /// The tick up to which it is counted.
    counted: AtomicU64,
    /// Nanoseconds on the clock of the thread then; 0 if nobody has looked.
    thread: AtomicU64,
    ran: AtomicU64,
}

impl Running {
    pub fn new(ticks: Ticks) -> Self {
        Self(Arc::new(Counter {
            ticks,
            counted: AtomicU64::new(0),
            thread: AtomicU64::new(0),
            ran: AtomicU64::new(0),
        }))
    }

    /// Before a call.
    pub fn reset(&self) {
        self.0.ran.store(0, Relaxed);
        self.goes_on();
    }

    /// The ticks that it has run for in this call.
    pub fn ran(&self) -> u64 {
        self.count();
        self.0.ran.load(Relaxed)
    }

    /// Counts the work as running whenever it is polled.
    pub async fn counting<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|context| {
            self.goes_on();
            let polled: Poll<T> = work.as_mut().poll(context);
            self.count();
            polled
        })
        .await
    }

    fn goes_on(&self) {
        self.0.counted.store(self.0.ticks.now(), Relaxed);
        // Most calls end before there is a tick, and the thread's clock is a system call.
        let thread = match self.0.ran.load(Relaxed) {
            0 => 0,
            _ => thread_time(),
        };
        self.0.thread.store(thread, Relaxed);
    }

    fn count(&self) {
        let now = self.0.ticks.now();
        let passed = now.saturating_sub(self.0.counted.load(Relaxed));
        if passed == 0 {
            return;
        }
        self.0.counted.store(now, Relaxed);
        let thread = thread_time();
        let before = self.0.thread.swap(thread, Relaxed);
        // Where others had the processor meanwhile, it is not the filter that took so long.
        let worked = match before {
            // Nobody has looked when it began. From here on it is known.
            0 => 1,
            before => thread.saturating_sub(before).div_ceil(NANOSECONDS),
        };
        self.0.ran.fetch_add(passed.min(worked.max(1)), Relaxed);
    }
}

const NANOSECONDS: u64 = TICK.as_nanos() as u64;

/// The time that this thread has worked.
fn thread_time() -> u64 {
    let time = Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default();
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
