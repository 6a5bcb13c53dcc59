//! The time that plugins spend in calls into the host, for whoever measures a plugin. A server doesn't.

use super::state::State;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use wasmtime::{CallHook, Store};

/// Clones are the same one. It counts between [`HostTime::begin`] and [`HostTime::end`].
#[derive(Debug, Clone, Default)]
pub struct HostTime(Arc<Counter>);

#[derive(Debug, Default)]
struct Counter {
    on: AtomicBool,
    nanoseconds: AtomicU64,
}

impl HostTime {
    /// From zero.
    pub fn begin(&self) {
        self.0.nanoseconds.store(0, Relaxed);
        self.0.on.store(true, Relaxed);
    }

    /// Since it began.
    pub fn end(&self) -> Duration {
        self.0.on.store(false, Relaxed);
        Duration::from_nanos(self.0.nanoseconds.load(Relaxed))
    }

    pub(super) fn watch(&self, store: &mut Store<State>) {
        let counter = Arc::clone(&self.0);
        let mut since = None;
        store.call_hook(move |_, hook| {
            match hook {
                CallHook::CallingHost => since = counter.on.load(Relaxed).then(Instant::now),
                CallHook::ReturningFromHost => {
                    let spent = since.take().map_or(Duration::ZERO, |at| at.elapsed());
                    let spent = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX);
                    counter.nanoseconds.fetch_add(spent, Relaxed);
                }
                CallHook::CallingWasm | CallHook::ReturningFromWasm => {}
            }
            Ok(())
        });
    }
}
