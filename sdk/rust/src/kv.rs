//! A durable store of keys and values, this plugin's own: it survives reloads and restarts of the server.
//!
//! 512 octets of key, 64 KiB of value, 64 MiB in all, where each key counts 64 octets more. A call takes some 10 µs. What is written is
//! on stable storage some milliseconds later. All calls are atomic, across all messages that are treated at the same time.
//!
//! ```no_run
//! use std::time::Duration;
//! use wasmilter_sdk::{Verdict, export, kv, session};
//!
//! export!(connect = check);
//!
//! /// At the most 100 connections an hour from one address.
//! fn check() -> Option<Verdict> {
//!     let key = format!("seen/{}", session::client_address());
//!     let hour = Duration::from_secs(3600);
//!     // A store that does not answer keeps nobody out.
//!     let seen = kv::increment(&key, 1, Some(hour)).unwrap_or(0);
//!     (seen > 100).then(|| Verdict::tempfail("too many connections from your address"))
//! }
//! ```

use crate::Refusal;
use crate::bindings::kv;
use std::time::Duration;

/// The octets kept under this key.
pub fn get(key: &str) -> Result<Option<Vec<u8>>, Refusal> {
    kv::get(key)
}

/// The text kept under this key; none, too, where it is not UTF-8.
pub fn text(key: &str) -> Result<Option<String>, Refusal> {
    Ok(get(key)?.and_then(|octets| String::from_utf8(octets).ok()))
}

/// Keep it for that long, in whole seconds, rounded up; without a time to live, until it is deleted.
pub fn set(key: &str, value: impl AsRef<[u8]>, ttl: Option<Duration>) -> Result<(), Refusal> {
    kv::set(key, value.as_ref(), seconds(ttl))
}

/// True if it was there.
pub fn delete(key: &str) -> Result<bool, Refusal> {
    kv::delete(key)
}

/// Add to the decimal number kept there, 0 if there is none; what it is now. The time to live counts from the first call.
pub fn increment(key: &str, by: i64, ttl: Option<Duration>) -> Result<i64, Refusal> {
    kv::increment(key, by, seconds(ttl))
}

/// Set it if it holds just this (none: if it is not there); whether it did.
///
/// ```no_run
/// # use wasmilter_sdk::{Refusal, kv};
/// // Exactly one message is the first.
/// fn is_first() -> Result<bool, Refusal> {
///     kv::compare_and_set("first", None, "taken", None)
/// }
/// ```
pub fn compare_and_set(
    key: &str,
    expected: Option<&[u8]>,
    value: impl AsRef<[u8]>,
    ttl: Option<Duration>,
) -> Result<bool, Refusal> {
    kv::compare_and_set(key, expected, value.as_ref(), seconds(ttl))
}

/// One page of those whose keys begin so, in the order of their octets, after this key: 1,000 and 1 MiB at the most.
pub fn page(
    prefix: &str,
    after: Option<&str>,
    most: u32,
) -> Result<Vec<(String, Vec<u8>)>, Refusal> {
    kv::scan(prefix, after, most)
}

/// All whose keys begin so, page by page. Ends at a refusal, which it gives.
pub fn scan(prefix: &str) -> impl Iterator<Item = Result<(String, Vec<u8>), Refusal>> {
    let mut ended = false;
    let mut last: Option<String> = None;
    let mut waiting = Vec::new().into_iter();
    let prefix = prefix.to_owned();
    std::iter::from_fn(move || {
        loop {
            if let Some(entry) = waiting.next() {
                return Some(Ok(entry));
            }
            if ended {
                return None;
            }
            match page(&prefix, last.as_deref(), 1000) {
                Ok(found) => {
                    ended = found.is_empty();
                    last = found.last().map(|(key, _)| key.clone());
                    waiting = found.into_iter();
                }
                Err(refusal) => {
                    ended = true;
                    return Some(Err(refusal));
                }
            }
        }
    })
}

fn seconds(ttl: Option<Duration>) -> Option<u32> {
    let seconds = |ttl: Duration| ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
    ttl.map(|ttl| u32::try_from(seconds(ttl)).unwrap_or(u32::MAX))
}
