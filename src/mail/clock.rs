//! Time and chance as seen by the rest, so that a test can own them.

use super::TransactionId;
use jiff::Timestamp;
use std::hash::{BuildHasher, RandomState};

pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
    /// A fresh identifier, at this time.
    fn transaction_id(&self) -> TransactionId;
}

pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn transaction_id(&self) -> TransactionId {
        let millis = u64::try_from(self.now().as_millisecond()).unwrap_or_default();
        // Each state has another key, from chance that a thread asks the system for once.
        TransactionId::new(millis, RandomState::new().hash_one(millis))
    }
}
