//! The WASM engine: memory pools, features, compilation cache, and the clock that interrupts filters.
//! Knows nothing of the contract.

use super::limits::Limits;
use crate::private;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;
use wasmtime::{
    Cache, CacheConfig, Config, Enabled, Engine, InstanceAllocationStrategy,
    PoolingAllocationConfig, Strategy,
};

/// How often a running filter is interrupted to let others run, and the unit in which its time is counted.
pub const TICK: Duration = Duration::from_millis(5);

/// A component is several core instances: its own code, adapters, and shims of the canonical ABI.
/// Of the usual ones; interpreters have more.
const CORE_INSTANCES: u32 = 16;
const MAX_CORE_INSTANCES: u32 = 64;
const TABLES: u32 = 4;
const MAX_TABLES: u32 = 16;
const MEMORIES: u32 = 2;

/// Octets of what an instance has touched that its place keeps for the next one, and of its stack. Compiled filters touch less. What
/// is above that goes back to the system, or a filter that eats memory would leave as much in each place that it had.
const KEPT: usize = 256 * 1024;
const STACK_KEPT: usize = 16 * 1024;

#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Instances at a time: one for each transaction in hand and filter.
    pub instances: u32,
    pub most: Limits,
    /// Where compiled code is kept. Who can write there can run code as this process. None: compiled anew at each start.
    pub cache: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("the WASM engine cannot be made: {0:#}")]
    Engine(wasmtime::Error),
    #[error("the WASM engine's clock thread cannot be started: {0}")]
    Thread(std::io::Error),
}

/// The ticks of an engine since it began. Clones are the same one.
#[derive(Debug, Clone, Default)]
pub struct Ticks(Arc<AtomicU64>);

impl Ticks {
    pub fn now(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// An engine with its ticker, which stops with it.
pub struct TickingEngine {
    engine: Engine,
    ticks: Ticks,
    ticker: Option<Ticker>,
}

struct Ticker {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl TickingEngine {
    pub fn new(config: &EngineConfig) -> Result<Self, EngineError> {
        let engine = match Engine::new(&settings(config, true)) {
            Ok(engine) => engine,
            Err(error) => {
                tracing::warn!(
                    "no pool of {} WASM instances ({error:#}): each message pays for its own, some 50 µs a filter; \
                     a limit on address space (ulimit -v) is the usual reason",
                    config.instances
                );
                Engine::new(&settings(config, false)).map_err(EngineError::Engine)?
            }
        };
        let ticks = Ticks::default();
        let ticker = Ticker::start(engine.clone(), ticks.clone()).map_err(EngineError::Thread)?;
        Ok(Self {
            engine,
            ticks,
            ticker: Some(ticker),
        })
    }

    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    pub fn ticks(&self) -> &Ticks {
        &self.ticks
    }
}

/// One that only compiles. The code is the same, and a pool would take gigabytes of what the compiler may have.
pub fn compiling(cache: PathBuf) -> Result<Engine, EngineError> {
    let config = EngineConfig {
        instances: 1,
        most: Limits::MOST,
        cache: Some(cache),
    };
    Engine::new(&settings(&config, false)).map_err(EngineError::Engine)
}

impl Drop for TickingEngine {
    fn drop(&mut self) {
        if let Some(Ticker { stop, thread }) = self.ticker.take() {
            drop(stop);
            // It does nothing that could panic, and it wakes at once.
            let _ = thread.join();
        }
    }
}

impl Ticker {
    fn start(engine: Engine, ticks: Ticks) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("plugin-ticks".to_owned())
            .spawn(move || {
                while stopped.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                    ticks.0.fetch_add(1, Relaxed);
                    engine.increment_epoch();
                }
            })?;
        Ok(Self { stop, thread })
    }
}

fn settings(engine: &EngineConfig, pooled: bool) -> Config {
    let mut config = Config::new();
    config
        .strategy(Strategy::Cranelift)
        .epoch_interruption(true)
        .memory_init_cow(true)
        // Without it a stack is never given back: a recursion leaves half a MiB in each place, and what it worked on.
        .async_stack_zeroing(true)
        .concurrency_support(false)
        // What compilers emit for WASI 0.2; each further feature is more code to trust.
        .wasm_component_model(true)
        .wasm_relaxed_simd(false)
        .wasm_memory64(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false)
        .cache(engine.cache.as_deref().and_then(open_cache));
    if pooled {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(engine)));
    }
    config
}

fn pool(engine: &EngineConfig) -> PoolingAllocationConfig {
    let count = engine.instances;
    let mut pool = PoolingAllocationConfig::new();
    // Measured: with the scan a fresh instance takes 10 µs in place of 30, without it the same number is slower than none.
    let scan = PoolingAllocationConfig::is_pagemap_scan_available();
    pool.total_component_instances(count)
        .total_core_instances(count.saturating_mul(CORE_INSTANCES).max(MAX_CORE_INSTANCES))
        .max_core_instances_per_component(MAX_CORE_INSTANCES)
        .total_memories(count.saturating_mul(MEMORIES))
        .max_memories_per_component(MEMORIES)
        .total_tables(count.saturating_mul(TABLES).max(MAX_TABLES))
        .max_tables_per_component(MAX_TABLES)
        .total_stacks(count)
        .max_memory_size(usize::try_from(engine.most.memory).unwrap_or(usize::MAX))
        .table_keep_resident(16 * 1024)
        .async_stack_keep_resident(STACK_KEPT)
        .linear_memory_keep_resident(if scan { KEPT } else { 0 })
        .pagemap_scan(if scan { Enabled::Yes } else { Enabled::No });
    pool
}

fn open_cache(directory: &Path) -> Option<Cache> {
    let opened = private::directory(directory)
        .and_then(|()| std::path::absolute(directory))
        .map_err(wasmtime::Error::from)
        .and_then(|directory| {
            let mut config = CacheConfig::new();
            config.with_directory(directory);
            Cache::new(config)
        });
    match opened {
        Ok(cache) => Some(cache),
        Err(error) => {
            tracing::warn!(
                "{}: no cache of compiled plugins: {error:#}",
                directory.display()
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_make_a_pool() {
        for instances in [1, 1000] {
            let config = EngineConfig {
                instances,
                most: Limits::MOST,
                cache: None,
            };
            // Without a pool the host works too, at a higher price: here it would be a mistake in the settings.
            if let Err(error) = Engine::new(&settings(&config, true)) {
                panic!("{instances}: {error:#}");
            }
        }
    }
}
