//! Sets of message sequence numbers and UIDs as sorted ranges (RFC 3501 §9 sequence-set), and sets of UIDs as text.
//! Doesn't know which messages there are.

use imap_types::sequence::{SeqOrUid, Sequence, SequenceSet};
use std::fmt::Write;

/// Sorted, apart, each with both ends in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ranges(Vec<(u32, u32)>);

impl Ranges {
    /// With `*` as `last`, the largest number in use (RFC 3501 §9 seq-number).
    pub fn new(set: &SequenceSet, last: u32) -> Self {
        let number = |at: &SeqOrUid| match at {
            SeqOrUid::Value(value) => value.get(),
            SeqOrUid::Asterisk => last,
        };
        let mut ranges: Vec<(u32, u32)> = set
            .0
            .as_ref()
            .iter()
            .map(|sequence| match sequence {
                Sequence::Single(at) => (number(at), number(at)),
                // The order of the ends does not matter.
                Sequence::Range(from, to) => {
                    let (from, to) = (number(from), number(to));
                    (from.min(to), from.max(to))
                }
            })
            .collect();
        ranges.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
        for (from, to) in ranges {
            match merged.last_mut() {
                Some((_, end)) if from <= end.saturating_add(1) => *end = (*end).max(to),
                _ => merged.push((from, to)),
            }
        }
        Self(merged)
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, u32)> {
        self.0.iter().copied()
    }

    pub fn contains(&self, number: u32) -> bool {
        let after = self.0.partition_point(|(from, _)| *from <= number);
        after
            .checked_sub(1)
            .and_then(|at| self.0.get(at))
            .is_some_and(|(_, to)| number <= *to)
    }

    /// The largest number of them.
    pub fn last(&self) -> Option<u32> {
        self.0.last().map(|(_, to)| *to)
    }
}

/// As uid-set of RFC 4315 §4, in the given order: `4,9:11`.
pub fn uid_set(uids: impl IntoIterator<Item = u32>) -> String {
    let mut out = String::new();
    let mut write = |range: Option<(u32, u32)>| {
        let Some((from, to)) = range else { return };
        if !out.is_empty() {
            out.push(',');
        }
        let _ = if from == to {
            write!(out, "{from}")
        } else {
            write!(out, "{from}:{to}")
        };
    };
    let mut range: Option<(u32, u32)> = None;
    for uid in uids {
        range = match range {
            Some((from, to)) if to.checked_add(1) == Some(uid) => Some((from, uid)),
            other => {
                write(other);
                Some((uid, uid))
            }
        };
    }
    write(range);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(set: &str, last: u32) -> Vec<(u32, u32)> {
        Ranges::new(&SequenceSet::try_from(set).unwrap(), last).0
    }

    #[test]
    fn sets_are_sorted_and_merged() {
        assert_eq!(ranges("5,1:3,2:4,9", 20), [(1, 5), (9, 9)]);
        assert_eq!(ranges("3:1", 20), [(1, 3)]);
        assert_eq!(ranges("15:*", 20), [(15, 20)]);
        // RFC 3501 §6.4.8: a range with * always has the last message.
        assert_eq!(ranges("559:*", 20), [(20, 559)]);
        assert_eq!(ranges("*", 20), [(20, 20)]);
        assert_eq!(ranges("4294967295,1:4294967294", 3), [(1, u32::MAX)]);
    }

    #[test]
    fn membership() {
        let ranges = Ranges::new(&SequenceSet::try_from("2:4,7,10:*").unwrap(), 12);
        let members: Vec<u32> = (0..15).filter(|n| ranges.contains(*n)).collect();
        assert_eq!(members, [2, 3, 4, 7, 10, 11, 12]);
    }

    #[test]
    fn uid_sets_keep_their_order() {
        assert_eq!(uid_set([4, 9, 10, 11]), "4,9:11");
        assert_eq!(uid_set([3, 2, 1]), "3,2,1");
        assert_eq!(uid_set([]), "");
        assert_eq!(uid_set([u32::MAX, 1]), "4294967295,1");
    }
}
