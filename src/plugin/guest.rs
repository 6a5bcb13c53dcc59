//! One running instance of a plugin: started, called within its limits, and what a failure of it means.
//! Knows nothing of transactions.

use super::abi::{self, Function};
use super::component::{LoadError, Runtime};
use super::engine::TICK;
use super::limits::Limits;
use super::running::Running;
use super::state::{HostFailed, Profile, State};
use crate::mail::{Call, Failure, FailureKind, Hook, Line, Verdict};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::component::{ComponentExportIndex, Instance, InstancePre};
use wasmtime::{PoolConcurrencyLimitError, Store, UpdateDeadline};
use wasmtime_wasi::I32Exit;

/// The most octets that a guest hands over in one call into the host: a part of a message (`body-edit`), and some.
const MAX_HANDED_OVER: usize = 17 * 1024 * 1024;

/// Characters of what `on-load` says is wrong.
const MAX_REASON: usize = 1000;

/// An instance and the store that it lives in. After a failure it is to be dropped.
pub struct Guest {
    store: Store<State>,
    running: Running,
    instance: Option<Instance>,
    /// Of the hooks that it has been called at.
    functions: Vec<(Hook, Function)>,
    /// Transactions that it has served.
    uses: u32,
    // After the store: its place in the pool is free only then.
    _permit: OwnedSemaphorePermit,
}

/// The time that a filter may run for is used up.
#[derive(Debug)]
struct BudgetSpent;

impl fmt::Display for BudgetSpent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the CPU budget is spent")
    }
}

impl std::error::Error for BudgetSpent {}

impl Guest {
    /// A fresh instance, as its image or its own start function leaves it.
    pub async fn start(
        runtime: &Runtime,
        profile: &Arc<Profile>,
        pre: &InstancePre<State>,
        limits: Limits,
    ) -> Result<Self, Failure> {
        let mut guest = Self::empty(runtime, profile, limits.wall).await?;
        guest.budget(limits);
        let Self { store, running, .. } = &mut guest;
        match within(limits.wall, running, pre.instantiate_async(store)).await {
            Ok(instance) => guest.instance = Some(instance),
            Err(error) => return Err(guest.failure(error, limits)),
        }
        Ok(guest)
    }

    async fn empty(
        runtime: &Runtime,
        profile: &Arc<Profile>,
        wait: Duration,
    ) -> Result<Self, Failure> {
        let permit = Arc::clone(&runtime.permits).acquire_owned();
        let permit = match tokio::time::timeout(wait, permit).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) | Err(_) => {
                return Err(Failure {
                    kind: FailureKind::Host,
                    text:
                        "as many instances as the pool holds are at work; none became free in time"
                            .to_owned(),
                });
            }
        };
        let mut store = Store::new(runtime.engine(), State::new(Arc::clone(profile)));
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(MAX_HANDED_OVER);
        if let Some(time) = &runtime.host_time {
            time.watch(&mut store);
        }
        let running = Running::new(runtime.ticks().clone());
        let counted = running.clone();
        store.epoch_deadline_callback(move |context| {
            // However long the host took: there may have been many ticks since it was last asked.
            if counted.ran() > context.data().ticks {
                return Err(wasmtime::Error::new(BudgetSpent));
            }
            // At each tick others get their turn, the runtime's sockets and timers too, which it looks at before it
            // wakes who yielded. The next tick counts from when this one goes on.
            let turn = Box::pin(tokio::task::yield_now());
            Ok(UpdateDeadline::YieldCustom(1, turn))
        });
        Ok(Self {
            store,
            running,
            instance: None,
            functions: Vec::new(),
            uses: 1,
            _permit: permit,
        })
    }

    fn budget(&mut self, limits: Limits) {
        let ticks = limits.cpu.as_nanos().div_ceil(TICK.as_nanos());
        self.store.data_mut().ticks = u64::try_from(ticks).unwrap_or(u64::MAX);
        self.running.reset();
        self.store.set_epoch_deadline(1);
    }

    /// Before it serves another transaction.
    pub fn renew(&mut self) {
        self.uses = self.uses.saturating_add(1);
        self.store.data_mut().renew();
    }

    pub fn uses(&self) -> u32 {
        self.uses
    }

    /// Its memory has grown near its limit.
    pub fn is_swollen(&mut self) -> bool {
        let memory = &self.state().memory;
        memory.denied() || memory.used() > memory.limit() / 4 * 3
    }

    pub fn state(&mut self) -> &mut State {
        self.store.data_mut()
    }

    pub fn store(&mut self) -> &mut Store<State> {
        &mut self.store
    }

    pub fn instance(&self) -> Result<Instance, Failure> {
        self.instance.ok_or_else(|| host("the instance is gone"))
    }

    /// Whether the hook has the contract's signature; if not, what is the matter.
    pub fn check(&mut self, hook: Hook, index: &ComponentExportIndex) -> Result<(), String> {
        let instance = self.instance().map_err(|failure| failure.text)?;
        Function::find(&mut self.store, &instance, index, hook)
            .map(drop)
            .map_err(|error| format!("{error:#}"))
    }

    /// Calls `on-load`.
    pub async fn load(
        &mut self,
        index: &ComponentExportIndex,
        limits: Limits,
    ) -> Result<(), LoadError> {
        self.budget(limits);
        let instance = self.instance().map_err(LoadError::Start)?;
        let function = instance
            .get_typed_func::<(), abi::LoadAnswer>(&mut self.store, index)
            .map_err(|error| LoadError::Signature {
                hook: "on-load".to_owned(),
                text: format!("{error:#}"),
            })?;
        match within(
            limits.wall,
            &self.running,
            function.call_async(&mut self.store, ()),
        )
        .await
        {
            Ok((Ok(()),)) => Ok(()),
            Ok((Err(text),)) => {
                let text: String = text.chars().take(MAX_REASON).collect();
                Err(LoadError::OnLoad(Line::lossy(&text).into()))
            }
            Err(error) => Err(LoadError::OnLoadFailed(self.failure(error, limits))),
        }
    }

    /// Calls a hook.
    pub async fn call(
        &mut self,
        index: &ComponentExportIndex,
        call: &Call,
        limits: Limits,
    ) -> Result<Verdict, Failure> {
        self.budget(limits);
        let function = self.function(index, call.hook(), limits)?;
        match within(
            limits.wall,
            &self.running,
            function.call(&mut self.store, call),
        )
        .await
        {
            Ok(answer) => answer
                .and_then(|verdict| {
                    let capabilities = self.store.data().capabilities();
                    capabilities.check_verdict(&verdict).map(|()| verdict)
                })
                .map_err(|text| Failure {
                    kind: FailureKind::BadAnswer,
                    text,
                }),
            Err(error) => Err(self.failure(error, limits)),
        }
    }

    /// The types of a function are compared once in an instance.
    fn function(
        &mut self,
        index: &ComponentExportIndex,
        hook: Hook,
        limits: Limits,
    ) -> Result<Function, Failure> {
        let mut known = self.functions.iter();
        if let Some((_, function)) = known.find(|(of, _)| *of == hook) {
            return Ok(*function);
        }
        let instance = self.instance()?;
        let function = Function::find(&mut self.store, &instance, index, hook)
            .map_err(|error| self.failure(Stopped::Error(error), limits))?;
        self.functions.push((hook, function));
        Ok(function)
    }

    fn failure(&mut self, error: Stopped, limits: Limits) -> Failure {
        let state = self.store.data();
        let millis = |duration: Duration| duration.as_millis();
        let error = match error {
            Stopped::Late => {
                return Failure {
                    kind: FailureKind::Timeout,
                    text: format!("no answer within {} ms", millis(limits.wall)),
                };
            }
            Stopped::Error(error) => error,
        };
        if error.is::<BudgetSpent>() {
            return Failure {
                kind: FailureKind::Timeout,
                text: format!("it ran for more than {} ms", millis(limits.cpu)),
            };
        }
        if state.memory.denied() {
            return Failure {
                kind: FailureKind::OutOfMemory,
                text: format!(
                    "it asked for more than {} MiB of memory",
                    state.memory.limit() / (1024 * 1024)
                ),
            };
        }
        // All that ends a call otherwise is the guest's doing: a trap, an exit, more handed over than allowed.
        let kind = if error.is::<HostFailed>() || error.is::<PoolConcurrencyLimitError>() {
            FailureKind::Host
        } else {
            FailureKind::Trap
        };
        let cause = match error.downcast_ref::<I32Exit>() {
            Some(exit) => format!("it ended itself with exit code {}", exit.0),
            None => error.root_cause().to_string(),
        };
        let text = match state.last_words() {
            Some(words) => format!("{cause}; it last printed: {words}"),
            None => cause,
        };
        Failure { kind, text }
    }
}

enum Stopped {
    Late,
    Error(wasmtime::Error),
}

async fn within<T>(
    wall: Duration,
    running: &Running,
    work: impl Future<Output = wasmtime::Result<T>>,
) -> Result<T, Stopped> {
    match tokio::time::timeout(wall, running.counting(work)).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(Stopped::Error(error)),
        Err(_) => Err(Stopped::Late),
    }
}

fn host(text: impl fmt::Display) -> Failure {
    Failure {
        kind: FailureKind::Host,
        text: text.to_string(),
    }
}
