//! Work that nobody waits for: a bounded queue, some of it at a time, drained at the end. Knows nothing of what the work is.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Cheap to clone.
#[derive(Clone)]
pub struct Background(Arc<Inner>);

struct Inner {
    name: &'static str,
    queue: mpsc::Sender<Job>,
    dropped: AtomicU64,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Background {
    /// `waiting`: jobs in the queue; what comes when it is full is dropped. `at_once`: jobs at work; with 1 they go in order.
    pub fn start(name: &'static str, waiting: usize, at_once: usize) -> Self {
        let (queue, jobs) = mpsc::channel(waiting);
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(work(jobs, at_once, stop.clone(), tasks.clone()));
        Self(Arc::new(Inner {
            name,
            queue,
            dropped: AtomicU64::new(0),
            stop,
            tasks,
        }))
    }

    pub fn add(&self, job: impl Future<Output = ()> + Send + 'static) {
        if self.0.queue.try_send(Box::pin(job)).is_ok() {
            return;
        }
        let dropped = self.0.dropped.fetch_add(1, Relaxed) + 1;
        // Said at 1, 2, 4, 8 …: when there is too much to do is no time for a line about each.
        if dropped.is_power_of_two() {
            tracing::warn!(
                "{}: more than can be done: {dropped} dropped since the start; filters that are too slow, or too much mail",
                self.0.name
            );
        }
    }

    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Relaxed)
    }

    /// Takes nothing more, and waits until all is done, but no longer than this.
    pub async fn drain(&self, most: Duration) {
        self.0.stop.cancel();
        self.0.tasks.close();
        if tokio::time::timeout(most, self.0.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("{}: not done in time at the end", self.0.name);
        }
    }
}

async fn work(
    mut jobs: mpsc::Receiver<Job>,
    at_once: usize,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let places = Arc::new(Semaphore::new(at_once));
    loop {
        let job = tokio::select! {
            biased;
            () = stop.cancelled(), if !jobs.is_closed() => {
                jobs.close();
                continue;
            }
            job = jobs.recv() => job,
        };
        let Some(job) = job else { return };
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        tasks.spawn(async move {
            job.await;
            drop(place);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[tokio::test]
    async fn jobs_go_in_order_and_what_is_too_much_is_dropped() {
        let background = Background::start("test", 4, 1);
        let done = Arc::new(Mutex::new(Vec::new()));
        let gate = Arc::new(Semaphore::new(0));
        // Nothing runs before this task waits, so the queue fills.
        for number in 0..6 {
            let (done, gate) = (Arc::clone(&done), Arc::clone(&gate));
            background.add(async move {
                let _passed = gate.acquire().await;
                done.lock().unwrap().push(number);
            });
        }
        assert_eq!(background.dropped(), 2);
        gate.add_permits(1);
        background.drain(Duration::from_secs(60)).await;
        assert_eq!(*done.lock().unwrap(), [0, 1, 2, 3]);
        background.add(async {});
        assert_eq!(background.dropped(), 3);
    }
}
