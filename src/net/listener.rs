//! Where connections come in: binding, accepting, the limit on how many at once, and an orderly end.
//! Hands each connection to a handler and looks no further.

use super::stream::Plain;
use super::{Access, Place, Quiet, Stream, Workers};
use crate::metrics::Connections;
use rustix::io::Errno;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Longest time between two tries to accept when the system is out of descriptors or memory.
const BACK_OFF_MAX: Duration = Duration::from_secs(1);
const BACK_OFF_MIN: Duration = Duration::from_millis(10);

/// Time to tell a client that there are too many.
const REFUSAL: Duration = Duration::from_secs(1);

/// An address to listen on: "127.0.0.1:2525", "[::1]:25" or "unix:/run/wasmilter/smtp.sock".
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an address to listen on; write \"127.0.0.1:2525\", \"[::1]:25\" or \"unix:/path/to/socket\""
)]
pub struct EndpointError(String);

impl FromStr for Endpoint {
    type Err = EndpointError;
    fn from_str(text: &str) -> Result<Self, EndpointError> {
        match text.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(_) => Err(EndpointError(text.to_owned())),
            None => text
                .parse()
                .map(Self::Tcp)
                .map_err(|_| EndpointError(text.to_owned())),
        }
    }
}

impl Endpoint {
    /// Whether the system would not have both. (Whether it has "0.0.0.0" beside "[::]" is a setting of it.)
    pub fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tcp(one), Self::Tcp(other)) => {
                let (a, b) = (one.ip(), other.ip());
                let any = a.is_unspecified() || b.is_unspecified();
                one.port() != 0
                    && one.port() == other.port()
                    && (a == b || any && a.is_ipv4() == b.is_ipv4())
            }
            (Self::Unix(one), Self::Unix(other)) => one == other,
            _ => false,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("cannot listen on {0}: another program (or another listener of this one) has it")]
    InUse(Endpoint),
    #[error(
        "cannot listen on {0}: no permission (a port under 1024 needs root or CAP_NET_BIND_SERVICE)"
    )]
    Permission(Endpoint),
    #[error("cannot listen on {0}: a file that is not a socket is in the way")]
    NotASocket(Endpoint),
    #[error("cannot listen on {0}: {1}")]
    Other(Endpoint, io::Error),
}

impl BindError {
    fn new(endpoint: &Endpoint, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::InUse(endpoint.clone()),
            io::ErrorKind::PermissionDenied => Self::Permission(endpoint.clone()),
            _ => Self::Other(endpoint.clone(), error),
        }
    }
}

/// What a listener takes on.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Sent to a client over that number before its connection is closed, line end included; may be empty.
    pub refusal: String,
    /// Time that connections have to finish what is in flight after the stop; then they are cut.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            refusal: String::new(),
            drain: Duration::from_secs(30),
        }
    }
}

/// A bound socket. Connections queue up in the system from here on, and are served once `serve` runs.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    endpoint: Endpoint,
    meter: Connections,
    workers: Workers,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Self::Unix(listener) = self
            && let Ok(address) = listener.local_addr()
            && let Some(path) = address.as_pathname()
        {
            // Another process may have cleaned up already; a stale one is removed at the next bind.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Listener {
    /// Port 0 takes any free one; `local_address` says which. A Unix socket can be used by this user and group.
    pub async fn bind(endpoint: &Endpoint) -> Result<Self, BindError> {
        Self::bind_for(endpoint, &Access::default()).await
    }

    /// `access`: of a Unix socket.
    pub async fn bind_for(endpoint: &Endpoint, access: &Access) -> Result<Self, BindError> {
        let failed = |error| BindError::new(endpoint, error);
        match endpoint {
            Endpoint::Tcp(address) => {
                let listener = TcpListener::bind(address).await.map_err(failed)?;
                let address = listener.local_addr().map_err(failed)?;
                Ok(Self {
                    socket: Socket::Tcp(listener),
                    endpoint: Endpoint::Tcp(address),
                    meter: Connections::default(),
                    workers: Workers::default(),
                })
            }
            Endpoint::Unix(path) => {
                remove_stale(path, endpoint).await?;
                let listener = UnixListener::bind(path).map_err(failed)?;
                let socket = Socket::Unix(listener);
                access.give(path).map_err(failed)?;
                Ok(Self {
                    socket,
                    endpoint: endpoint.clone(),
                    meter: Connections::default(),
                    workers: Workers::default(),
                })
            }
        }
    }

    /// The same, counting.
    pub fn counted(self, meter: Connections) -> Self {
        Self { meter, ..self }
    }

    /// The same, with its connections on these threads, not on those of the runtime that serves it.
    pub fn on(self, workers: Workers) -> Self {
        Self { workers, ..self }
    }

    /// Where it listens, with the port that it was given.
    pub fn local_address(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Runs `handler` in a task of its own for each connection until `stop` is cancelled, then waits for those that run.
    /// A handler watches the same token: it ends at the next point where nothing is in flight.
    pub async fn serve<H, F>(self, limits: Limits, stop: CancellationToken, handler: H)
    where
        H: Fn(Stream) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        let tasks = TaskTracker::new();
        let cut = CancellationToken::new();
        let room = Arc::new(Semaphore::new(
            limits.connections.min(Semaphore::MAX_PERMITS),
        ));
        let refusal: Arc<str> = limits.refusal.into();
        let mut back_off = BACK_OFF_MIN;
        let quiet = Quiet::default();
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                accepted = self.accept() => accepted,
            };
            let (stream, place) = match accepted {
                Ok(accepted) => {
                    back_off = BACK_OFF_MIN;
                    accepted
                }
                Err(error) if is_about_one_connection(&error) => continue,
                Err(error) => {
                    if quiet.is_over(Line::Stuck) {
                        tracing::warn!(listener = %self.endpoint, %error, "cannot accept connections for now{}", remedy(&error));
                    }
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = tokio::time::sleep(back_off) => {}
                    }
                    back_off = (back_off * 2).min(BACK_OFF_MAX);
                    continue;
                }
            };
            match Arc::clone(&room).try_acquire_owned() {
                Ok(permit) => {
                    // On the heap once; moved into the task and its select it would be there twice.
                    let run = Box::pin(handler(stream));
                    let cut = cut.clone();
                    let open = self.meter.open();
                    let runtime = place.as_ref().map_or_else(Handle::current, Place::runtime);
                    let task = async move {
                        tokio::select! {
                            () = run => {}
                            () = cut.cancelled() => {}
                        }
                        drop((permit, open, place));
                    };
                    tasks.spawn_on(task, &runtime);
                }
                Err(_) => {
                    self.meter.refuse();
                    if quiet.is_over(Line::Full) {
                        tracing::warn!(
                            listener = %self.endpoint,
                            limit = limits.connections,
                            "too many connections, turning clients away"
                        );
                    }
                    tasks.spawn(refuse(stream, Arc::clone(&refusal)));
                }
            }
        }
        let endpoint = self.endpoint.clone();
        drop(self);
        tasks.close();
        if tokio::time::timeout(limits.drain, tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!(listener = %endpoint, connections = tasks.len(), "cutting connections that did not end in time");
            cut.cancel();
            tasks.wait().await;
        }
    }

    async fn accept(&self) -> io::Result<(Stream, Option<Place>)> {
        let connection = match &self.socket {
            Socket::Tcp(listener) => Plain::Tcp(listener.accept().await?.0),
            Socket::Unix(listener) => Plain::Unix(listener.accept().await?.0),
        };
        let place = self.workers.place();
        let connection = match &place {
            Some(place) => place.take(connection)?,
            None => connection,
        };
        Ok((Stream::plain(connection)?, place))
    }
}

/// What the log is not told twice a minute.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Line {
    Full,
    Stuck,
}

/// What the administrator can do about it.
fn remedy(error: &io::Error) -> &'static str {
    let is = |errno: Errno| error.raw_os_error() == Some(errno.raw_os_error());
    if is(Errno::MFILE) {
        ": this process has as many files and connections open as it may; raise the limit (LimitNOFILE= of systemd, ulimit -Hn) or lower `connections` in [limits]"
    } else if is(Errno::NFILE) {
        ": the whole system has as many files open as it may; raise fs.file-max"
    } else {
        ""
    }
}

/// Errors of a client that went away before it was accepted, as against those of the listening socket.
fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::NotConnected
    )
}

async fn refuse(mut stream: Stream, text: Arc<str>) {
    if !text.is_empty() {
        // The client may be gone or not reading; either way it was told what could be told.
        let _ = tokio::time::timeout(REFUSAL, async {
            stream.write_all(text.as_bytes()).await?;
            stream.shutdown().await
        })
        .await;
    }
}

/// Removes the socket file of a process that is gone; nothing else.
async fn remove_stale(path: &Path, endpoint: &Endpoint) -> Result<(), BindError> {
    let failed = |error| BindError::new(endpoint, error);
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(error)),
        Ok(found) if !found.file_type().is_socket() => Err(BindError::NotASocket(endpoint.clone())),
        Ok(_) => match UnixStream::connect(path).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path).map_err(failed)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed(error)),
            Ok(_) => Err(BindError::InUse(endpoint.clone())),
        },
    }
}

#[cfg(test)]
#[path = "listener_tests.rs"]
mod tests;
