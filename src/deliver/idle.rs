//! Connections to a next hop between two transactions: kept for a moment, for the next message.
//! Says nothing on them.

use super::connection::Connection;
use crate::proto::smtp::client::Ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How long one waits for the next message.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long one is used: behind a name there can be several servers, and each is to have its share.
const LIFE: Duration = Duration::from_secs(300);
const MOST: usize = 20;

/// Those of one next hop.
#[derive(Default)]
pub struct Idle(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    /// The one that waits longest is the first.
    kept: Vec<Kept>,
    /// Somebody ends those that nobody wants.
    is_swept: bool,
}

struct Kept {
    connection: Connection,
    ready: Ready,
    since: Instant,
}

impl Idle {
    /// The one that was used last and stands, as far as can be seen from here.
    pub async fn take(&self) -> Option<(Connection, Ready)> {
        loop {
            let kept = self.lock().kept.pop()?;
            let Kept {
                mut connection,
                ready,
                ..
            } = kept;
            if connection.is_alive().await {
                return Some((connection, ready));
            }
        }
    }

    /// For the next message.
    pub fn keep(self: &Arc<Self>, connection: Connection, ready: Ready) {
        let mut waiting = self.lock();
        if waiting.kept.len() >= MOST || connection.age() > LIFE {
            tokio::spawn(connection.part(ready.quit()));
            return;
        }
        waiting.kept.push(Kept {
            connection,
            ready,
            since: Instant::now(),
        });
        if !std::mem::replace(&mut waiting.is_swept, true) {
            tokio::spawn(Arc::clone(self).sweep());
        }
    }

    /// Ends those that have waited long enough, until none is left.
    async fn sweep(self: Arc<Self>) {
        while let Some(next) = self.end_overdue() {
            sleep_until(next).await;
        }
    }

    /// When the next one has waited long enough.
    fn end_overdue(&self) -> Option<Instant> {
        let mut waiting = self.lock();
        let now = Instant::now();
        let overdue = waiting
            .kept
            .partition_point(|kept| kept.since + PATIENCE <= now);
        for kept in waiting.kept.drain(..overdue) {
            tokio::spawn(kept.connection.part(kept.ready.quit()));
        }
        let next = waiting.kept.first().map(|kept| kept.since + PATIENCE);
        waiting.is_swept = next.is_some();
        next
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // It is whole between any two steps.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
