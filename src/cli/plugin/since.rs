//! How far back a command looks into the journal.

use crate::mail::{Clock, SystemClock, TransactionId};
use anyhow::Context;
use jiff::{SignedDuration, Timestamp};

pub fn age(text: &str) -> Result<SignedDuration, String> {
    let wrong = || format!("{text:?} is not an age: write 90s, 30m, 12h or 7d");
    let (number, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or_else(wrong)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    let number: u32 = number.parse().map_err(|_| wrong())?;
    Ok(SignedDuration::from_secs(i64::from(number) * unit))
}

/// That long ago.
pub fn time(age: SignedDuration) -> anyhow::Result<Timestamp> {
    let begin = SystemClock.now().checked_sub(age);
    begin.context("--since is too long ago")
}

/// Before all transactions that began then or later: identifiers sort by time.
pub fn first(begin: Timestamp) -> TransactionId {
    TransactionId::new(u64::try_from(begin.as_millisecond()).unwrap_or_default(), 0)
}
