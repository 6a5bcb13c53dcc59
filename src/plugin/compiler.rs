//! Compiling in a process of its own, of the lowest priority: what the compiler takes of memory and time, and what it may break, is not
//! the server's. The code comes back by way of the cache of compiled code.

use super::component::LoadError;
use super::digest::Digest;
use super::engine::{EngineConfig, EngineError, TickingEngine};
use super::limits::Limits;
use crate::private;
use rustix::process::nice;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use wasmtime::component::Component;

/// A program that does [`compile`] if it is called with [`Compiler::COMMAND`].
#[derive(Debug, Clone)]
pub struct Compiler(PathBuf);

impl Compiler {
    pub const COMMAND: &str = "compile";

    /// The one that runs, even if another lies in its place by now.
    pub fn this_program() -> Self {
        Self("/proc/self/exe".into())
    }
}

/// Where and how compiling is done apart.
#[derive(Debug)]
pub struct Apart {
    pub compiler: Compiler,
    pub engine: EngineConfig,
    pub cache: PathBuf,
    /// A file here for each component whose code is in the cache.
    pub known: PathBuf,
}

impl Apart {
    /// Sees to it that the cache has the code of this component.
    pub fn compile(&self, bytes: &[u8]) -> Result<(), LoadError> {
        let mark = self.known.join(self.key(bytes).to_string());
        if mark.exists() {
            return Ok(());
        }
        let output = match self.call(bytes) {
            Ok(output) => output,
            Err(error) => {
                tracing::warn!(
                    "plugins are compiled by the server itself: no process for it: {error}"
                );
                return Ok(());
            }
        };
        if let Some(signal) = output.status.signal() {
            return Err(LoadError::Host(format!(
                "the process that compiled it was ended by signal {signal} (9 may be for want of memory: see the system's log); \
                 it is tried again when one of its files changes, and at the next start"
            )));
        }
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.trim().trim_start_matches("error: ");
            return Err(LoadError::Compile(said.to_owned()));
        }
        // Without the mark it is compiled again at the next start, which finds it in the cache.
        let marked = private::directory(&self.known).and_then(|()| private::write(&mark, b""));
        if let Err(error) = marked {
            tracing::warn!("{}: {error}", mark.display());
        }
        Ok(())
    }

    /// Of all that the code depends on.
    fn key(&self, bytes: &[u8]) -> Digest {
        let depends = format!(
            "{} {} {} {}",
            env!("CARGO_PKG_VERSION"),
            self.engine.instances,
            self.engine.most.memory,
            Digest::of(bytes),
        );
        Digest::of(depends.as_bytes())
    }

    fn call(&self, bytes: &[u8]) -> io::Result<Output> {
        let number = |number: u64| OsString::from(number.to_string());
        let mut child = Command::new(&self.compiler.0)
            .arg(Compiler::COMMAND)
            .args([OsString::from("--cache"), self.cache.clone().into()])
            .args(["--instances".into(), number(self.engine.instances.into())])
            .args(["--memory".into(), number(self.engine.most.memory)])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // If it has ended before it had read all, its status says more.
            let _ = stdin.write_all(bytes);
        }
        child.wait_with_output()
    }
}

/// Puts the code of a component into a cache, for an engine with that many instances and octets of memory for each.
pub fn compile(
    cache: PathBuf,
    instances: u32,
    memory: u64,
    component: &[u8],
) -> Result<(), LoadError> {
    // It takes what others leave.
    let _ = nice(19);
    let engine = TickingEngine::new(&EngineConfig {
        instances,
        most: Limits {
            memory,
            ..Limits::MOST
        },
        cache: Some(cache),
    });
    let engine = engine.map_err(|error: EngineError| LoadError::Host(error.to_string()))?;
    match Component::from_binary(engine.engine(), component) {
        Ok(_) => Ok(()),
        Err(error) => Err(LoadError::Compile(format!("{error:#}"))),
    }
}
