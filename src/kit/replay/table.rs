//! What came of many messages that were replayed: what would change, how often, and where. Prints nothing.

use super::{Originals, Replay};
use crate::mail::Journal;
use crate::store::{Store, StoreError};
use serde::Serialize;
use std::collections::BTreeMap;

/// Transactions named for each change.
const SAMPLES: usize = 5;

/// All counts are of transactions.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Table {
    /// That the journal has.
    pub transactions: u64,
    pub replayed: u64,
    /// Of these, those in which all would be the same.
    pub same: u64,
    /// Those in which the version failed where the other had not.
    pub failed: u64,
    /// Those in which it asked services for what the journal does not have: what differs there may be due to that.
    pub unanswered: u64,
    /// That were not replayed because their octets are not kept any more, by the reason.
    pub gone: BTreeMap<&'static str, u64>,
    /// That only went on with a message of the quarantine; the one that set it aside is replayed.
    pub releases: u64,
    /// What becomes of messages, then verdicts, symbols and edits; the most frequent of each first.
    pub changes: Vec<Changed>,
    #[serde(skip)]
    found: BTreeMap<(String, String, String), (u64, Vec<String>)>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Changed {
    /// "verdict at message", "symbol CASINO", "the message" …
    pub what: String,
    pub was: String,
    pub would_be: String,
    pub count: u64,
    /// The first transactions in which it is so.
    pub samples: Vec<String>,
}

impl Table {
    pub async fn add(
        &mut self,
        replay: &Replay,
        originals: &Originals,
        store: &dyn Store,
        journal: &Journal,
    ) -> Result<(), StoreError> {
        self.transactions += 1;
        if journal.release.is_some() {
            self.releases += 1;
            return Ok(());
        }
        let content = match originals.find(store, journal).await? {
            Ok(content) => content,
            Err(why) => {
                *self.gone.entry(why).or_default() += 1;
                return Ok(());
            }
        };
        let compared = replay.compare(journal, content).await.map_err(|error| {
            StoreError::Failed(format!(
                "the message of {} cannot be read: {error}",
                journal.id
            ))
        })?;
        self.replayed += 1;
        self.same += u64::from(compared.changes.is_empty());
        self.failed += u64::from(compared.failed);
        self.unanswered += u64::from(compared.unanswered);
        for change in compared.changes {
            let (count, samples) = self.found.entry(change).or_default();
            // Once for a transaction, however many recipients it has.
            if samples
                .last()
                .is_some_and(|last| last == journal.id.as_str())
            {
                continue;
            }
            *count += 1;
            samples.truncate(SAMPLES);
            samples.push(journal.id.as_str().to_owned());
        }
        Ok(())
    }

    /// When all have been added.
    pub fn end(mut self) -> Self {
        let found = std::mem::take(&mut self.found).into_iter();
        self.changes = found
            .map(|((what, was, would_be), (count, mut samples))| {
                samples.truncate(SAMPLES);
                Changed {
                    what,
                    was,
                    would_be,
                    count,
                    samples,
                }
            })
            .collect();
        let rank = |what: &str| {
            let kinds = ["the message", "verdict", "symbol"];
            kinds.iter().position(|kind| what.starts_with(kind))
        };
        self.changes.sort_by_key(|change| {
            let rank = rank(&change.what).unwrap_or(usize::MAX);
            (rank, std::cmp::Reverse(change.count))
        });
        self
    }
}

#[cfg(test)]
pub mod tests {
    use crate::mail::{Envelope, Journal, Session, TransactionId, Verdict};
    use std::time::Duration;

    /// Of nothing.
    pub fn journal() -> Journal {
        Journal {
            id: TransactionId::new(0, 0),
            queue_id: None,
            at: "2026-11-23T12:00:00Z".to_owned(),
            release: None,
            generation: 1,
            session: Session::default(),
            envelope: Envelope::default(),
            message_id: None,
            subject: None,
            size: 0,
            authentication: Vec::new(),
            turns: Vec::new(),
            score: 0.0,
            verdict: Verdict::Continue,
            dispositions: Vec::new(),
            elapsed: Duration::ZERO,
        }
    }
}
