//! The start image: `on-load` runs once, and what it left in memory becomes the data that every instance begins with.
//! Falls back to calling it in each instance where that cannot be done.

use super::component::{Interface, LoadError, Runtime, Start, link};
use super::guest::Guest;
use super::images::{Images, Kept};
use super::state::{Profile, State};
use std::sync::Arc;
use tokio::runtime::Handle;
use wasmtime::Store;
use wasmtime::component::{Component, ComponentNamedList, Instance, Lift, WasmList};
use wasmtime_wizer::{ComponentInstanceState, Wizer};

/// Compiles a component that may have an `on-load`, and runs it.
pub async fn prepare(
    runtime: &Arc<Runtime>,
    profile: &Arc<Profile>,
    bytes: Arc<[u8]>,
) -> Result<(Component, Start), LoadError> {
    if let Some(known) = kept(runtime, profile, &bytes).await {
        return Ok(known);
    }
    let work = image(Arc::clone(runtime), Arc::clone(profile), Arc::clone(&bytes));
    // On a thread of its own: copying memory about takes long. The tool that does it panics on some odd components; the task ends
    // then, not the server.
    let server = Handle::current();
    let task = tokio::task::spawn_blocking(move || server.block_on(work));
    let reason = match task.await {
        Ok(Ok(done)) => return Ok(done),
        Ok(Err(Problem::Plugin(error))) => return Err(error),
        Ok(Err(Problem::Image(reason))) => reason,
        Err(_) => "this form of component is not supported".to_owned(),
    };
    let component = runtime.compile(Arc::clone(&bytes)).await?;
    let interface = Interface::read(&component)?;
    if interface.load().is_none() {
        return Ok((component, Start::Plain));
    }
    keep(runtime, profile, &bytes, Kept::Each(reason.clone())).await;
    Ok((component, Start::Each(reason)))
}

/// What came of it at an earlier start of the server.
async fn kept(
    runtime: &Arc<Runtime>,
    profile: &Arc<Profile>,
    bytes: &Arc<[u8]>,
) -> Option<(Component, Start)> {
    let images = runtime.images.clone()?;
    let (of, component) = (Arc::clone(profile), Arc::clone(bytes));
    let found = tokio::task::spawn_blocking(move || images.get(Images::key(&of, &component)));
    match found.await.ok()?? {
        Kept::Image(image) => {
            let component = runtime.compile(image).await.ok()?;
            Interface::read(&component).ok()?.load()?;
            Some((component, Start::Image))
        }
        Kept::Each(reason) => {
            let component = runtime.compile(Arc::clone(bytes)).await.ok()?;
            Interface::read(&component).ok()?.load()?;
            Some((component, Start::Each(reason)))
        }
    }
}

async fn keep(runtime: &Arc<Runtime>, profile: &Arc<Profile>, bytes: &Arc<[u8]>, what: Kept) {
    let Some(images) = runtime.images.clone() else {
        return;
    };
    let (of, component) = (Arc::clone(profile), Arc::clone(bytes));
    let work = move || images.put(Images::key(&of, &component), &what);
    if let Ok(Err(error)) = tokio::task::spawn_blocking(work).await {
        tracing::warn!(
            "the start image of plugin {} cannot be kept: {error}",
            profile.name
        );
    }
}

enum Problem {
    /// The plugin is at fault.
    Plugin(LoadError),
    /// No image can be made of it.
    Image(String),
}

impl From<LoadError> for Problem {
    fn from(error: LoadError) -> Self {
        Self::Plugin(error)
    }
}

async fn image(
    runtime: Arc<Runtime>,
    profile: Arc<Profile>,
    bytes: Arc<[u8]>,
) -> Result<(Component, Start), Problem> {
    let mut wizer = Wizer::new();
    wizer.keep_init_func(true);
    let (context, instrumented) = wizer
        .instrument_component(&bytes)
        .map_err(|error| Problem::Image(format!("{error:#}")))?;
    let component = runtime.compile(instrumented.into()).await?;
    let interface = Interface::read(&component)?;
    let Some(load) = interface.load() else {
        return Ok((runtime.compile(Arc::clone(&bytes)).await?, Start::Plain));
    };
    let pre = link(&runtime, &profile, &component)?;
    let limits = profile.load;
    let mut guest = Guest::start(&runtime, &profile, &pre, limits)
        .await
        .map_err(LoadError::Start)?;
    guest.load(load, limits).await?;
    guest.state().end();
    if guest.state().holds_resources() {
        // A handle in the image would point at something that is not there in the next instance.
        return Err(Problem::Image(
            "on-load left a system resource open (did it print? use log in its place)".to_owned(),
        ));
    }
    let instance = guest.instance().map_err(LoadError::Start)?;
    let store = guest.store();
    // A memory is read in one piece, however large.
    store.set_hostcall_fuel(usize::try_from(limits.memory).unwrap_or(usize::MAX));
    let mut reader = Reader {
        store,
        instance,
        problem: None,
    };
    let image = wizer.snapshot_component(&context, &mut reader).await;
    if let Some(problem) = reader.problem {
        return Err(Problem::Image(problem));
    }
    let image = image.map_err(|error| Problem::Image(format!("{error:#}")))?;
    drop(guest);
    let image: Arc<[u8]> = image.into();
    let component = runtime
        .compile(Arc::clone(&image))
        .await
        .map_err(|error| Problem::Image(error.to_string()))?;
    keep(&runtime, &profile, &bytes, Kept::Image(image)).await;
    Ok((component, Start::Image))
}

/// Reads memories and globals through the functions that the instrumentation added.
struct Reader<'a> {
    store: &'a mut Store<State>,
    instance: Instance,
    /// The first thing that went wrong; what was read after it is nothing.
    problem: Option<String>,
}

impl Reader<'_> {
    async fn read<R: 'static>(&mut self, interface: &str, function: &str) -> Option<R>
    where
        (R,): ComponentNamedList + Lift + Send + Sync,
    {
        let result = self.try_read(interface, function).await;
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.problem.get_or_insert_with(|| format!("{error:#}"));
                None
            }
        }
    }

    async fn try_read<R: 'static>(&mut self, interface: &str, function: &str) -> wasmtime::Result<R>
    where
        (R,): ComponentNamedList + Lift + Send + Sync,
    {
        let missing = || wasmtime::Error::msg(format!("{interface} has no {function}"));
        let index = self
            .instance
            .get_export_index(&mut *self.store, None, interface)
            .ok_or_else(missing)?;
        let index = self
            .instance
            .get_export_index(&mut *self.store, Some(&index), function)
            .ok_or_else(missing)?;
        let function = self
            .instance
            .get_typed_func::<(), (R,)>(&mut *self.store, index)?;
        Ok(function.call_async(&mut *self.store, ()).await?.0)
    }
}

impl ComponentInstanceState for Reader<'_> {
    async fn call_func_ret_list_u8(
        &mut self,
        instance: &str,
        func: &str,
        contents: impl FnOnce(&[u8]) + Send,
    ) {
        match self.read::<WasmList<u8>>(instance, func).await {
            Some(list) => contents(list.as_le_slice(&*self.store)),
            // It relies on being called; the image is not used.
            None => contents(&[]),
        }
    }

    async fn call_func_ret_s32(&mut self, instance: &str, func: &str) -> i32 {
        self.read(instance, func).await.unwrap_or_default()
    }

    async fn call_func_ret_s64(&mut self, instance: &str, func: &str) -> i64 {
        self.read(instance, func).await.unwrap_or_default()
    }

    async fn call_func_ret_f32(&mut self, instance: &str, func: &str) -> u32 {
        let value: f32 = self.read(instance, func).await.unwrap_or_default();
        value.to_bits()
    }

    async fn call_func_ret_f64(&mut self, instance: &str, func: &str) -> u64 {
        let value: f64 = self.read(instance, func).await.unwrap_or_default();
        value.to_bits()
    }
}
