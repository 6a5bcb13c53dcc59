//! The expiry of quarantine and journals: what is too old goes, and of the quarantine the oldest when there is too much.
//! Asks nobody: the configuration has said it.

use crate::mail::Clock;
use crate::store::{Expired, Keep, Store, StoreError};
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expiry {
    pub age: Duration,
    /// Octets of all messages in quarantine, with what is kept of their transactions.
    pub size: u64,
}

impl Expiry {
    /// Removes what may not stay at this time; how many messages.
    pub async fn sweep(&self, store: &dyn Store, now: Timestamp) -> Result<usize, StoreError> {
        let since = before(now, self.age);
        let keep = Keep {
            since,
            octets: self.size,
        };
        let mut count = 0;
        loop {
            let gone = store.expire_held(keep, now).await?;
            if gone.is_empty() {
                return Ok(count);
            }
            count += gone.len();
            for Expired { id, at, entry } in gone {
                let why = if at < since {
                    "too old"
                } else {
                    "no room for it: raise max-size under [quarantine] to keep more"
                };
                let transaction = entry.as_ref().map(|entry| entry.transaction.as_str());
                let size = entry.as_ref().map(|entry| entry.size);
                tracing::info!(id, transaction, set_aside = %at, size, "removed from quarantine: {why}");
            }
        }
    }
}

/// Removes the journals of transactions that were too long ago; how many. A message in quarantine or in a mailbox stays when its
/// journal goes.
pub async fn sweep_journals(
    store: &dyn Store,
    age: Duration,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let mut count = 0;
    loop {
        let gone = store.expire_journals(before(now, age)).await?;
        if gone == 0 {
            return Ok(count);
        }
        count += gone;
    }
}

fn before(now: Timestamp, age: Duration) -> Timestamp {
    let age = SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX);
    now.checked_sub(age).unwrap_or(Timestamp::MIN)
}

/// Looks at once and then every minute, until it is stopped. Nothing goes for its age before `settled` has passed.
pub async fn expire(
    expiry: Expiry,
    journals: Duration,
    settled: Duration,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) {
    let start = Instant::now();
    let by_size = Expiry {
        age: Duration::MAX,
        ..expiry
    };
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let is_settled = start.elapsed() >= settled;
        let bounds = if is_settled { expiry } else { by_size };
        if let Err(error) = bounds.sweep(&*store, clock.now()).await {
            tracing::error!(%error, "what is to leave the quarantine could not be removed");
        }
        let cleared = tokio::select! {
            () = stop.cancelled() => return,
            cleared = store.clear_removed() => cleared,
        };
        if let Err(error) = cleared {
            tracing::error!(%error, "what is left of removed mailboxes could not be removed");
        }
        if !is_settled {
            continue;
        }
        match sweep_journals(&*store, journals, clock.now()).await {
            Ok(0) => {}
            Ok(count) => tracing::info!("{count} old journals removed"),
            Err(error) => tracing::error!(%error, "old journals could not be removed"),
        }
    }
}
