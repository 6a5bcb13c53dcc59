//! The threads that mail's connections live on, each with a runtime of its own. A connection stays where it was put: what it touches is in
//! the caches of one core, and no thread wakes another to share in its work.
//! Knows nothing of what connections do; what takes long belongs on other threads (`spawn_blocking`), as it does on any runtime.

use super::stream::Plain;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::{Builder, Handle};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// None by default: connections live on the runtime that serves them. The threads end with the last of these that is dropped, and with them
/// what is still there.
#[derive(Debug, Clone, Default)]
pub struct Workers(Arc<[Arc<Worker>]>);

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    connections: AtomicUsize,
    stop: CancellationToken,
}

/// One connection's, on the thread that had the fewest.
#[derive(Debug)]
pub struct Place(Arc<Worker>);

impl Workers {
    /// As many as can run at a time.
    pub fn start() -> io::Result<Self> {
        let count = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let workers: io::Result<Vec<_>> = (0..count).map(|_| Worker::start()).collect();
        Ok(Self(workers?.into()))
    }

    /// None if there are none.
    pub fn place(&self) -> Option<Place> {
        let connections = |worker: &&Arc<Worker>| worker.connections.load(Relaxed);
        let worker = self.0.iter().min_by_key(connections)?;
        worker.connections.fetch_add(1, Relaxed);
        Some(Place(Arc::clone(worker)))
    }
}

impl Worker {
    fn start() -> io::Result<Arc<Self>> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let worker = Arc::new(Self {
            runtime: runtime.handle().clone(),
            connections: AtomicUsize::new(0),
            stop: CancellationToken::new(),
        });
        let stop = worker.stop.clone();
        std::thread::Builder::new()
            .name("mail-worker".to_owned())
            .spawn(move || runtime.block_on(until(&stop)))?;
        Ok(worker)
    }
}

/// With a timer that ends before nearly all of connections: for one that begins and ends before all others the runtime wakes itself by a
/// system call, and that would be each one that begins when there is no other.
async fn until(stop: &CancellationToken) {
    while timeout(Duration::from_secs(1), stop.cancelled())
        .await
        .is_err()
    {}
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Place {
    pub fn runtime(&self) -> Handle {
        self.0.runtime.clone()
    }

    /// Its thread is told from now on when there is something to read.
    pub(super) fn take(&self, connection: Plain) -> io::Result<Plain> {
        let _entered = self.0.runtime.enter();
        Ok(match connection {
            Plain::Tcp(stream) => Plain::Tcp(TcpStream::from_std(stream.into_std()?)?),
            Plain::Unix(stream) => Plain::Unix(UnixStream::from_std(stream.into_std()?)?),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_goes_where_the_fewest_are() {
        let workers = Workers((0..3).map(|_| Worker::start().unwrap()).collect());
        let places: Vec<_> = (0..6).map(|_| workers.place().unwrap()).collect();
        let counts = || {
            workers
                .0
                .iter()
                .map(|worker| worker.connections.load(Relaxed))
                .collect::<Vec<_>>()
        };
        assert_eq!(counts(), [2, 2, 2]);
        let left = places.into_iter().skip(2).collect::<Vec<_>>();
        assert_eq!(counts(), [1, 1, 2]);
        let _next = [workers.place().unwrap(), workers.place().unwrap()];
        assert_eq!(counts(), [2, 2, 2]);
        drop(left);
        assert_eq!(counts(), [1, 1, 0]);
    }
}
