//! The identifier of a transaction: what the SMTP reply, the log, the journal and `explain` call it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Crockford's base 32: no I, L, O, U to misread.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// 18 characters: 50 bits of milliseconds since 1970, 40 bits of randomness. Sorts by time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TransactionId(String);

impl TransactionId {
    pub fn new(millis: u64, random: u64) -> Self {
        let digits = |value: u64, count: u32| {
            (0..count).rev().map(move |place| {
                let index = (value >> (5 * place)) & 31;
                ALPHABET
                    .get(index as usize)
                    .copied()
                    .map_or('0', char::from)
            })
        };
        // 10 digits of 5 bits hold 48 bits; 8 hold 40 of the random ones.
        Self(digits(millis, 10).chain(digits(random, 8)).collect())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_by_time() {
        let earlier = TransactionId::new(1_763_873_000_000, u64::MAX);
        let later = TransactionId::new(1_763_873_000_001, 0);
        assert!(earlier < later);
        assert_eq!(earlier.as_str().len(), 18);
    }
}
