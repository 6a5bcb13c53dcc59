//! Journals in the index: JSON by transaction id, found by queue id and Message-ID too.
//! The dispositions stand apart from the rest: they are known only inside the transaction that files the message.

use crate::mail::{Departure, Disposition, Journal, TransactionId, Turn, Where};
use crate::store::{Leaving, StoreError};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row};
use sha2::{Digest, Sha256};

/// All but the dispositions, written before it is the writer's turn.
#[derive(Debug)]
pub struct Entry {
    transaction_id: String,
    queue_id: Option<String>,
    message_key: Option<i64>,
    json: String,
}

impl Entry {
    pub fn new(journal: &Journal) -> Result<Self, StoreError> {
        Ok(Self {
            transaction_id: journal.id.as_str().to_owned(),
            queue_id: journal.queue_id.clone(),
            message_key: journal.message_id.as_deref().map(message_key),
            json: to_json(journal)?,
        })
    }

    /// A second one of the same transaction takes the place of the first.
    pub fn insert(&self, index: &Connection, dispositions: &[Where]) -> Result<(), StoreError> {
        index
            .prepare_cached(
                "INSERT INTO journal (transaction_id, queue_id, message_key, json, dispositions) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (transaction_id) DO UPDATE SET
                     queue_id = excluded.queue_id, message_key = excluded.message_key,
                     json = excluded.json, dispositions = excluded.dispositions",
            )?
            .execute((
                &self.transaction_id,
                &self.queue_id,
                self.message_key,
                &self.json,
                to_json(dispositions)?,
            ))?;
        Ok(())
    }
}

/// Octets of a journal that nothing is added to any more: a message can be moved to and fro for years.
const MAX_GROWN: usize = 4 * 1024 * 1024;

/// Turns for a journal that is there.
#[derive(Debug)]
pub struct More {
    transaction_id: String,
    turns: Vec<serde_json::Value>,
}

impl More {
    pub fn new(id: &TransactionId, turns: &[Turn]) -> Result<Self, StoreError> {
        let turns = turns.iter().map(serde_json::to_value);
        Ok(Self {
            transaction_id: id.as_str().to_owned(),
            turns: turns.collect::<Result<_, _>>().map_err(unwritable)?,
        })
    }

    pub fn append(&self, index: &Connection) -> Result<(), StoreError> {
        let id = &self.transaction_id;
        let json: Option<String> = index
            .prepare_cached("SELECT json FROM journal WHERE transaction_id = ?1")?
            .query_row([id], |row| row.get(0))
            .optional()?;
        let json = json.ok_or_else(|| StoreError::NotFound(format!("the journal of {id}")))?;
        if json.len() > MAX_GROWN {
            return Err(StoreError::Refused(format!(
                "the journal of {id} has {} octets, and no more is added to it",
                json.len()
            )));
        }
        let mut journal: serde_json::Value = serde_json::from_str(&json).map_err(unreadable)?;
        if let Some(turns) = journal
            .get_mut("turns")
            .and_then(|turns| turns.as_array_mut())
        {
            turns.extend(self.turns.iter().cloned());
        }
        index
            .prepare_cached("UPDATE journal SET json = ?2 WHERE transaction_id = ?1")?
            .execute((id, to_json(&journal)?))?;
        Ok(())
    }
}

/// Notes what became of these recipients of a message in quarantine. The journal itself may be gone; one that cannot be read stays as it is.
pub fn depart(
    index: &Connection,
    transaction: &TransactionId,
    leaving: &Leaving,
    departure: &Departure,
) -> Result<(), StoreError> {
    let found: Option<Vec<u8>> = index
        .prepare_cached("SELECT CAST(dispositions AS BLOB) FROM journal WHERE transaction_id = ?1")?
        .query_row([transaction.as_str()], |row| row.get(0))
        .optional()?;
    let Some(json) = found else { return Ok(()) };
    let mut dispositions: Vec<Where> = match serde_json::from_slice(&json) {
        Ok(dispositions) => dispositions,
        Err(error) => {
            tracing::warn!(transaction = transaction.as_str(), id = leaving.id, %error, "what leaves the quarantine is not noted in its journal, which cannot be read");
            return Ok(());
        }
    };
    for place in &mut dispositions {
        if let Disposition::Quarantined { id, then, .. } = &mut place.disposition
            && *id == leaving.id
            && leaving.recipients.contains(&place.recipient)
        {
            *then = Some(departure.clone());
        }
    }
    index
        .prepare_cached("UPDATE journal SET dispositions = ?2 WHERE transaction_id = ?1")?
        .execute((transaction.as_str(), to_json(&dispositions)?))?;
    Ok(())
}

pub fn find(index: &Connection, key: &str) -> Result<Option<Journal>, StoreError> {
    let by_transaction = index
        .prepare_cached("SELECT json, dispositions FROM journal WHERE transaction_id = ?1")?
        .query_row([key], texts)
        .optional()?;
    if let Some(texts) = by_transaction {
        return from_json(&texts).map(Some);
    }
    // A mail server may give the same one again, months later.
    let by_queue = index
        .prepare_cached(
            "SELECT json, dispositions FROM journal WHERE queue_id = ?1 ORDER BY id DESC LIMIT 1",
        )?
        .query_row([key], texts)
        .optional()?;
    if let Some(texts) = by_queue {
        return from_json(&texts).map(Some);
    }
    let message_id = key.strip_prefix('<').unwrap_or(key);
    let message_id = message_id.strip_suffix('>').unwrap_or(message_id);
    let mut by_message = index.prepare_cached(
        "WITH RECURSIVE block (number) AS (
             SELECT max(id) >> 8 FROM journal
             UNION ALL SELECT number - 1 FROM block WHERE number > (SELECT min(id) >> 8 FROM journal))
         SELECT json, dispositions FROM block
             CROSS JOIN journal INDEXED BY journal_message ON id >> 8 = number AND message_key = ?1
         ORDER BY id DESC",
    )?;
    let mut rows = by_message.query([message_key(message_id)])?;
    while let Some(row) = rows.next()? {
        let journal = from_json(&texts(row)?)?;
        // Another Message-ID can have the same key, though it takes 2⁶⁴ tries to make one.
        if journal.message_id.as_deref() == Some(message_id) {
            return Ok(Some(journal));
        }
    }
    Ok(None)
}

/// Of transactions after this one, in their order: identifiers sort by time.
pub fn after(index: &Connection, id: &str, most: u32) -> Result<Vec<Journal>, StoreError> {
    let mut after = index.prepare_cached(
        "SELECT json, dispositions FROM journal WHERE transaction_id > ?1 ORDER BY transaction_id LIMIT ?2",
    )?;
    let mut rows = after.query((id, most))?;
    let mut journals = Vec::new();
    while let Some(row) = rows.next()? {
        journals.push(from_json(&texts(row)?)?);
    }
    Ok(journals)
}

/// The most that expire in one change: mail waits for the writer meanwhile.
const MOST_EXPIRED: u32 = 500;

/// Those of transactions before this time; how many it were.
pub fn expire(index: &Connection, before: Timestamp) -> Result<usize, StoreError> {
    let millis = u64::try_from(before.as_millisecond()).unwrap_or_default();
    // The least identifier of that time.
    let first = TransactionId::new(millis, 0);
    let count = index
        .prepare_cached(
            "DELETE FROM journal WHERE id IN
                 (SELECT id FROM journal WHERE transaction_id < ?1 ORDER BY transaction_id LIMIT ?2)",
        )?
        .execute((first.as_str(), MOST_EXPIRED))?;
    Ok(count)
}

fn texts(row: &Row<'_>) -> rusqlite::Result<(String, String)> {
    Ok((row.get(0)?, row.get(1)?))
}

fn message_key(message_id: &str) -> i64 {
    let digest: [u8; 32] = Sha256::digest(message_id).into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    i64::from_be_bytes([a, b, c, d, e, f, g, h])
}

pub fn to_json<T: serde::Serialize + ?Sized>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(unwritable)
}

fn unwritable(error: serde_json::Error) -> StoreError {
    StoreError::Failed(format!("a journal cannot be written: {error}"))
}

fn unreadable(error: serde_json::Error) -> StoreError {
    StoreError::Failed(format!("a journal of index.sqlite cannot be read: {error}"))
}

fn from_json((json, dispositions): &(String, String)) -> Result<Journal, StoreError> {
    let mut journal: Journal = serde_json::from_str(json).map_err(unreadable)?;
    journal.dispositions = serde_json::from_str(dispositions).map_err(unreadable)?;
    Ok(journal)
}
