//! Keys and values that last: what plugins keep, each in a space of its own, bounded and with times to live.
//! Knows nothing of plugins: a space is a name.

mod database;
mod desk;
#[cfg(test)]
mod tests;

pub use database::Database;

use std::time::Duration;

/// Octets of a key.
pub const MAX_KEY: usize = 512;
/// Octets of a value.
pub const MAX_VALUE: usize = 64 * 1024;
/// Octets that a space may hold.
pub const MAX_SPACE: u64 = 64 * 1024 * 1024;
/// What a key costs besides its octets and those of its value, which bounds their number too.
pub const KEY_COST: u64 = 64;
/// Keys that one scan gives at the most.
pub const MAX_SCAN: usize = 1000;
/// Octets that one scan gives at the most; one entry at the least.
const MAX_SCAN_OCTETS: usize = 1024 * 1024;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KvError {
    #[error("{0}")]
    TooMuch(String),
    #[error("{0}")]
    BadValue(String),
    #[error("{0}")]
    Failed(String),
}

/// Calls take some microseconds and may be made on the runtime's threads. All of them are atomic.
pub trait Kv: Send + Sync {
    fn get(&self, space: &str, key: &str) -> Result<Option<Vec<u8>>, KvError>;

    /// None: until it is deleted.
    fn set(
        &self,
        space: &str,
        key: &str,
        value: &[u8],
        ttl: Option<Duration>,
    ) -> Result<(), KvError>;

    /// Whether it was there.
    fn delete(&self, space: &str, key: &str) -> Result<bool, KvError>;

    /// Adds to the decimal number kept there, 0 if there is none; what it is now. The time to live counts from the first one.
    fn increment(
        &self,
        space: &str,
        key: &str,
        by: i64,
        ttl: Option<Duration>,
    ) -> Result<i64, KvError>;

    /// Sets it if it holds just this (none: if it is not there); whether it did.
    fn compare_and_set(
        &self,
        space: &str,
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
        ttl: Option<Duration>,
    ) -> Result<bool, KvError>;

    /// Those whose keys begin so, in the order of their octets, after this key.
    fn scan(
        &self,
        space: &str,
        prefix: &str,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, KvError>;

    /// Waits until all that was written is on the disk.
    fn flush(&self) {}
}

fn check_key(key: &str) -> Result<(), KvError> {
    match key.len() {
        0 => Err(KvError::BadValue("the key is empty".to_owned())),
        octets if octets > MAX_KEY => Err(KvError::TooMuch(format!(
            "a key of {octets} octets: the limit is {MAX_KEY}"
        ))),
        _ => Ok(()),
    }
}

fn check_value(value: &[u8]) -> Result<(), KvError> {
    if value.len() > MAX_VALUE {
        return Err(KvError::TooMuch(format!(
            "a value of {} octets: the limit is {MAX_VALUE}",
            value.len()
        )));
    }
    Ok(())
}
