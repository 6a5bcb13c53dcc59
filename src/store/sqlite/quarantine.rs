//! The quarantine in the index: an entry for listings, what is needed to go on with it, and the octets as received.
//! Decides nothing of what leaves it.

use super::blobs::{self, Blobs};
use super::encoding::{from_millis, signed, to_millis, unsigned};
use super::journal;
use super::writer::Change;
use crate::mail::{Content, Departure, Entry, Held};
use crate::store::{Expired, Keep, Leaving, Quarantined, StoreError};
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension};

/// The step of the schema that brings it about.
pub const SCHEMA: &str = "
-- AUTOINCREMENT: the number of an entry that is gone never becomes another one's.
CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL, -- milliseconds since 1970
    size INTEGER NOT NULL,
    blob INTEGER NOT NULL REFERENCES blob,
    entry TEXT NOT NULL,
    held TEXT NOT NULL
) STRICT;
CREATE INDEX quarantine_at ON quarantine (at, id, size);
CREATE INDEX quarantine_blob ON quarantine (blob);
";

/// The most that expire in one change.
const BATCH: i64 = 200;

/// An entry as JSON, written before it is the writer's turn.
#[derive(Debug)]
pub struct Row {
    at: i64,
    /// All that it takes up: with many recipients the octets of the message are the least of it.
    size: i64,
    entry: String,
    held: String,
}

impl Row {
    pub fn new(entry: &Entry, held: &Held) -> Result<Self, StoreError> {
        let (at, octets) = (to_millis(entry.at), entry.size);
        let (entry, held) = (journal::to_json(entry)?, journal::to_json(held)?);
        let beside = (entry.len() + held.len()) as u64;
        Ok(Self {
            at,
            size: signed(octets.saturating_add(beside)),
            entry,
            held,
        })
    }

    /// Its number.
    pub fn insert(&self, index: &Connection, blob: i64) -> Result<u64, StoreError> {
        index
            .prepare_cached(
                "INSERT INTO quarantine (at, size, blob, entry, held) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute((self.at, self.size, blob, &self.entry, &self.held))?;
        Ok(unsigned(index.last_insert_rowid()))
    }
}

/// What is in a damaged row may not even be text: so JSON is read as octets.
pub fn list(index: &Connection) -> Result<Quarantined, StoreError> {
    let mut statement = index.prepare_cached(
        "SELECT id, CAST(entry AS BLOB) FROM quarantine ORDER BY at DESC, id DESC",
    )?;
    let mut rows = statement.query([])?;
    let mut listed = Quarantined::default();
    while let Some(row) = rows.next()? {
        let (id, json): (i64, Vec<u8>) = (row.get(0)?, row.get(1)?);
        match entry(id, &json) {
            Ok(entry) => listed.entries.push(entry),
            Err(_) => listed.unreadable.push(unsigned(id)),
        }
    }
    Ok(listed)
}

pub fn get(
    index: &Connection,
    blobs: &Blobs,
    id: u64,
) -> Result<(Entry, Held, Content), StoreError> {
    let (json, held, blob): (Vec<u8>, Vec<u8>, i64) = index
        .prepare_cached(
            "SELECT CAST(entry AS BLOB), CAST(held AS BLOB), blob FROM quarantine WHERE id = ?1",
        )?
        .query_row([signed(id)], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?
        .ok_or_else(|| missing(id))?;
    // What is missing left since this state of the index.
    let mut reading = blobs.reading(index);
    let content = reading.content(blob)?.ok_or_else(|| missing(id))?;
    if !reading.ends_whole()? {
        return Err(missing(id));
    }
    let held = serde_json::from_slice(&held).map_err(|error| unreadable(id, &error))?;
    Ok((entry(signed(id), &json)?, held, content))
}

/// Takes it, or some of its recipients, out, and has the journal say so.
pub fn leave(
    change: &mut Change<'_>,
    leaving: &Leaving,
    departure: &Departure,
) -> Result<Entry, StoreError> {
    let (found, blob) = find(change.index, leaving.id)?;
    let mut entry = found?;
    let was = entry.clone();
    if !leaving
        .recipients
        .iter()
        .all(|leaving| entry.recipients.contains(leaving))
    {
        return Err(missing(leaving.id));
    }
    entry
        .recipients
        .retain(|recipient| !leaving.recipients.contains(recipient));
    if entry.recipients.is_empty() {
        take_out(change, leaving.id, blob)?;
    } else {
        change
            .index
            .prepare_cached("UPDATE quarantine SET entry = ?2 WHERE id = ?1")?
            .execute((signed(leaving.id), journal::to_json(&entry)?))?;
    }
    journal::depart(change.index, &was.transaction, leaving, departure)?;
    Ok(was)
}

fn take_out(change: &mut Change<'_>, id: u64, blob: i64) -> Result<(), StoreError> {
    change
        .index
        .prepare_cached("DELETE FROM quarantine WHERE id = ?1")?
        .execute([signed(id)])?;
    blobs::release(change, vec![blob])
}

pub fn delete(change: &mut Change<'_>, id: u64, at: Timestamp) -> Result<(), StoreError> {
    remove(change, id, &Departure::Deleted(at)).map(drop)
}

pub fn expire(
    change: &mut Change<'_>,
    keep: Keep,
    at: Timestamp,
) -> Result<Vec<Expired>, StoreError> {
    let mut octets: i64 = change
        .index
        .prepare_cached("SELECT coalesce(sum(size), 0) FROM quarantine")?
        .query_row([], |row| row.get(0))?;
    let oldest = change
        .index
        .prepare_cached("SELECT id, at, size FROM quarantine ORDER BY at, id LIMIT ?1")?
        .query_map([BATCH], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
        .collect::<Result<Vec<(i64, i64, i64)>, _>>()?;
    let (since, most) = (to_millis(keep.since), signed(keep.octets));
    let mut gone = Vec::new();
    for (id, of, size) in oldest {
        if of >= since && octets <= most {
            break;
        }
        octets -= size;
        let id = unsigned(id);
        gone.push(Expired {
            id,
            at: from_millis(of)?,
            entry: remove(change, id, &Departure::Expired(at))?,
        });
    }
    Ok(gone)
}

/// None: it could not be read, and its journal goes on to say that it is there.
fn remove(
    change: &mut Change<'_>,
    id: u64,
    departure: &Departure,
) -> Result<Option<Entry>, StoreError> {
    let (found, blob) = find(change.index, id)?;
    match found {
        Ok(Entry { recipients, .. }) => {
            leave(change, &Leaving { id, recipients }, departure).map(Some)
        }
        Err(error) => {
            tracing::warn!(%error, "removed all the same");
            take_out(change, id, blob)?;
            Ok(None)
        }
    }
}

/// The entry, if it can be read, and its octets.
fn find(index: &Connection, id: u64) -> Result<(Result<Entry, StoreError>, i64), StoreError> {
    let (json, blob): (Vec<u8>, i64) = index
        .prepare_cached("SELECT CAST(entry AS BLOB), blob FROM quarantine WHERE id = ?1")?
        .query_row([signed(id)], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?
        .ok_or_else(|| missing(id))?;
    Ok((entry(signed(id), &json), blob))
}

fn entry(id: i64, json: &[u8]) -> Result<Entry, StoreError> {
    let id = unsigned(id);
    let entry: Entry = serde_json::from_slice(json).map_err(|error| unreadable(id, &error))?;
    Ok(Entry { id, ..entry })
}

fn missing(id: u64) -> StoreError {
    StoreError::NotFound(format!("message {id} of the quarantine"))
}

fn unreadable(id: u64, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Failed(format!(
        "message {id} of the quarantine cannot be read: {error}"
    ))
}
