//! Compiling in a process of its own, of the lowest priority: what the compiler takes of memory and time, and what it may break, is not
//! the server's. The code comes back by way of the cache of compiled code. What wants more time or memory than there is for it is ended.

use super::component::LoadError;
use super::digest::Digest;
use super::engine;
use crate::private;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, nice, setrlimit};
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use wasmtime::component::Component;

/// Seconds of a processor for one component: in a debug build, which is the slowest, 1 MB takes two.
const CPU: u64 = 60;
/// Time for it. A busy machine leaves a process of its priority a fiftieth of a processor.
const DEADLINE: Duration = Duration::from_secs(600);
/// GiB of memory for it.
const MEMORY: u64 = 4;
/// How often it is looked whether it is done.
const LOOK: Duration = Duration::from_millis(5);
/// Octets of what it says.
const LONGEST: u64 = 64 * 1024;

/// A program that does [`compile`] if it is called with [`Compiler::COMMAND`].
#[derive(Debug, Clone)]
pub struct Compiler {
    program: PathBuf,
    deadline: Duration,
}

impl Compiler {
    pub const COMMAND: &str = "compile";

    /// The one that runs, even if another lies in its place by now.
    pub fn this_program() -> Self {
        Self::new("/proc/self/exe", DEADLINE)
    }

    /// One that is ended after so long.
    pub fn new(program: impl Into<PathBuf>, deadline: Duration) -> Self {
        Self {
            program: program.into(),
            deadline,
        }
    }
}

/// Where and how compiling is done apart.
#[derive(Debug)]
pub struct Apart {
    pub compiler: Compiler,
    pub cache: PathBuf,
    /// A file here for each component whose code is in the cache.
    pub known: PathBuf,
    /// Nothing is compiled any more, and what is being compiled is given up.
    pub stop: CancellationToken,
}

/// How the process ended.
enum End {
    Itself(ExitStatus, String),
    Late,
    Stopped,
}

/// Ended with what waits for it, if it has not ended by then.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // There is nothing to be done about one that cannot be ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const TRIED_AGAIN: &str = "it is tried again when one of its files changes, and at the next start";

impl Apart {
    /// Sees to it that the cache has the code of this component.
    pub fn compile(&self, bytes: &[u8]) -> Result<(), LoadError> {
        let mark = self.known.join(Self::key(bytes).to_string());
        if mark.exists() {
            return Ok(());
        }
        let end = match self.call(bytes) {
            Ok(end) => end,
            Err(error) => {
                tracing::warn!(
                    "plugins are compiled by the server itself: no process for it: {error}"
                );
                return Ok(());
            }
        };
        let (status, said) = match end {
            End::Itself(status, said) => (status, said),
            End::Late => {
                return Err(LoadError::Host(format!(
                    "it was not compiled within {} s; {TRIED_AGAIN}",
                    self.compiler.deadline.as_secs_f32()
                )));
            }
            End::Stopped => {
                return Err(LoadError::Host("the server is being stopped".to_owned()));
            }
        };
        if status.signal() == Some(Signal::XCPU.as_raw()) {
            return Err(LoadError::Host(format!(
                "compiling it takes more than {CPU} s of a processor, the limit; {TRIED_AGAIN}"
            )));
        }
        // The allocator's last words.
        if status.signal().is_some() && said.contains("memory allocation of") {
            return Err(LoadError::Host(format!(
                "compiling it takes more than {MEMORY} GiB of memory, the limit, or more than there is; {TRIED_AGAIN}"
            )));
        }
        if let Some(signal) = status.signal() {
            return Err(LoadError::Host(format!(
                "the process that compiled it was ended by signal {signal} (9 may be for want of memory: see the system's log); {TRIED_AGAIN}"
            )));
        }
        if !status.success() {
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
    fn key(bytes: &[u8]) -> Digest {
        let depends = format!("{} {}", env!("CARGO_PKG_VERSION"), Digest::of(bytes));
        Digest::of(depends.as_bytes())
    }

    fn call(&self, bytes: &[u8]) -> io::Result<End> {
        let child = Command::new(&self.compiler.program)
            .arg(Compiler::COMMAND)
            .args([OsString::from("--cache"), self.cache.clone().into()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut child = Ended(child);
        let (stdin, stderr) = (child.0.stdin.take(), child.0.stderr.take());
        thread::scope(|scope| {
            scope.spawn(|| {
                // If it has ended before it had read all, its status says more.
                let fed = stdin.map(|mut stdin| stdin.write_all(bytes));
                drop(fed);
            });
            let words = scope.spawn(|| {
                let mut said = Vec::new();
                let read = stderr.map(|stderr| stderr.take(LONGEST).read_to_end(&mut said));
                drop(read);
                String::from_utf8_lossy(&said).into_owned()
            });
            let ended = self.wait(&mut child.0);
            // The threads end with the process.
            drop(child);
            let end = ended?;
            let said = words.join().unwrap_or_default();
            Ok(match end {
                End::Itself(status, _) => End::Itself(status, said),
                end => end,
            })
        })
    }

    fn wait(&self, child: &mut Child) -> io::Result<End> {
        let started = Instant::now();
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(End::Itself(status, String::new()));
            }
            if self.stop.is_cancelled() {
                return Ok(End::Stopped);
            }
            if started.elapsed() >= self.compiler.deadline {
                return Ok(End::Late);
            }
            thread::sleep(LOOK);
        }
    }
}

/// Puts the code of a component into a cache.
pub fn compile(cache: PathBuf, component: &[u8]) -> Result<(), LoadError> {
    // It takes what others leave.
    let _ = nice(19);
    limit(Resource::Cpu, CPU);
    // Of memory that is written to, not of addresses that are only reserved.
    limit(Resource::Data, MEMORY << 30);
    // Nobody wants to look into what was ended by these.
    limit(Resource::Core, 0);
    let engine = engine::compiling(cache).map_err(|error| LoadError::Host(error.to_string()))?;
    match Component::from_binary(&engine, component) {
        Ok(_) => Ok(()),
        Err(error) => Err(LoadError::Compile(format!("{error:#}"))),
    }
}

/// As far as the system allows it.
fn limit(resource: Resource, most: u64) {
    let now = getrlimit(resource);
    let most = now.maximum.map_or(most, |maximum| maximum.min(most));
    // With both the same, too much time would be a SIGKILL, which doesn't say why.
    let limit = Rlimit {
        current: Some(most),
        ..now
    };
    let _ = setrlimit(resource, limit);
}
