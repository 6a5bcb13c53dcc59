//! What a filter may use up, and the count of its memory. Time is counted by the engine's ticks, in `engine`.

use std::time::Duration;
use wasmtime::ResourceLimiter;

const MIB: u64 = 1024 * 1024;

/// The bounds of one call of a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Time in the filter's own code and in what the host does for it, in steps of [`super::engine::TICK`].
    pub cpu: Duration,
    /// Until it has answered, waiting included.
    pub wall: Duration,
    /// Octets of linear memory.
    pub memory: u64,
    /// Instances at a time, each with a transaction in hand.
    pub concurrency: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cpu: Duration::from_millis(250),
            wall: Duration::from_secs(5),
            memory: 64 * MIB,
            concurrency: 200,
        }
    }
}

impl Limits {
    /// Each of them the larger one.
    pub fn max(self, other: Self) -> Self {
        Self {
            cpu: self.cpu.max(other.cpu),
            wall: self.wall.max(other.wall),
            memory: self.memory.max(other.memory),
            concurrency: self.concurrency.max(other.concurrency),
        }
    }

    /// The most that a manifest can ask for, unless the configuration says otherwise.
    pub const MOST: Self = Self {
        cpu: Duration::from_secs(10),
        wall: Duration::from_secs(60),
        memory: 256 * MIB,
        concurrency: 500,
    };
}

/// Counts what a store's memories take up and remembers that it said no: a filter that gets no memory traps next, and the
/// trap alone does not say why.
#[derive(Debug)]
pub struct MemoryCount {
    limit: u64,
    used: u64,
    denied: bool,
}

/// Elements in all tables; function tables of large interpreters hold some tens of thousands.
const TABLE_ELEMENTS: usize = 200_000;

impl MemoryCount {
    pub fn new(limit: u64) -> Self {
        Self {
            limit,
            used: 0,
            denied: false,
        }
    }

    pub fn used(&self) -> u64 {
        self.used
    }

    pub fn limit(&self) -> u64 {
        self.limit
    }

    pub fn denied(&self) -> bool {
        self.denied
    }
}

impl ResourceLimiter for MemoryCount {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let used = self
            .used
            .saturating_sub(current as u64)
            .saturating_add(desired as u64);
        if used > self.limit {
            self.denied = true;
            return Ok(false);
        }
        self.used = used;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.denied = true;
        Ok(())
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS)
    }
}
