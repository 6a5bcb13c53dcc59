//! The tables of the index, how they come about, and how a connection to them is set up.
//! Reads and writes no mail.

use super::encoding::unsigned;
use super::io_error;
use super::log::GATHERING;
use crate::private;
use crate::store::StoreError;
use rusqlite::{Connection, OpenFlags};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One step for each version of the schema; the last one's number is in `user_version`. Never changed, only added to.
const STEPS: &[&str] = &["
CREATE TABLE account (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    login TEXT NOT NULL,
    login_key TEXT NOT NULL UNIQUE, -- in lower case
    password TEXT NOT NULL
) STRICT;

-- AUTOINCREMENT: the id of a mailbox that is gone never becomes another one's.
CREATE TABLE mailbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    account INTEGER NOT NULL REFERENCES account ON DELETE CASCADE,
    name TEXT NOT NULL,
    special_use TEXT,
    uid_validity INTEGER NOT NULL,
    uid_next INTEGER NOT NULL DEFAULT 1,
    modseq INTEGER NOT NULL DEFAULT 1,
    messages INTEGER NOT NULL DEFAULT 0,
    unseen INTEGER NOT NULL DEFAULT 0,
    UNIQUE (account, name)
) STRICT;

CREATE TABLE subscription (
    account INTEGER NOT NULL REFERENCES account ON DELETE CASCADE,
    name TEXT NOT NULL,
    PRIMARY KEY (account, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE counter (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO counter VALUES ('uid_validity', 0);

-- The octets of a message as received: here, or in the file of that name.
CREATE TABLE blob (
    id INTEGER PRIMARY KEY,
    file TEXT,
    octets BLOB
) STRICT;
CREATE UNIQUE INDEX blob_file ON blob (file) WHERE file IS NOT NULL;

-- What is laid over them. Not in `message`, so that a listing of a mailbox reads few pages. Version 0 has no row: as received.
CREATE TABLE splices (
    blob INTEGER NOT NULL REFERENCES blob ON DELETE CASCADE,
    version INTEGER NOT NULL,
    splices BLOB NOT NULL,
    PRIMARY KEY (blob, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE message (
    mailbox INTEGER NOT NULL REFERENCES mailbox ON DELETE CASCADE,
    uid INTEGER NOT NULL,
    modseq INTEGER NOT NULL,
    system INTEGER NOT NULL, -- flags of RFC 3501 as bits
    keywords TEXT NOT NULL,
    date INTEGER NOT NULL, -- milliseconds since 1970
    size INTEGER NOT NULL,
    blob INTEGER NOT NULL REFERENCES blob,
    version INTEGER NOT NULL,
    PRIMARY KEY (mailbox, uid)
) STRICT, WITHOUT ROWID;
CREATE INDEX message_modseq ON message (mailbox, modseq);
CREATE INDEX message_blob ON message (blob);
CREATE INDEX message_deleted ON message (mailbox, uid) WHERE system & 4 <> 0;

-- UIDs that are gone, in runs from the first to the last.
CREATE TABLE expunged (
    mailbox INTEGER NOT NULL REFERENCES mailbox ON DELETE CASCADE,
    modseq INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    PRIMARY KEY (mailbox, modseq, first)
) STRICT, WITHOUT ROWID;

-- `message_key`: eight octets of a digest of the Message-ID, which may be of any length.
CREATE TABLE journal (
    id INTEGER PRIMARY KEY,
    transaction_id TEXT NOT NULL UNIQUE,
    message_key INTEGER,
    json TEXT NOT NULL,
    dispositions TEXT NOT NULL
) STRICT;
CREATE INDEX journal_message ON journal (message_key) WHERE message_key IS NOT NULL;
",
super::quarantine::SCHEMA,
"
-- Long octets that splices put in are blobs too, once for all versions of the received message that they are laid over.
ALTER TABLE blob ADD COLUMN laid_over INTEGER;
CREATE INDEX blob_laid_over ON blob (laid_over) WHERE laid_over IS NOT NULL;
-- Pairs of the number of a splice and of its blob.
ALTER TABLE splices ADD COLUMN long BLOB;
",
"
-- What the mail server before this one calls the message.
ALTER TABLE journal ADD COLUMN queue_id TEXT;
CREATE INDEX journal_queue ON journal (queue_id) WHERE queue_id IS NOT NULL;
",
"
-- The MODSEQ that a message came with: ascending with the UIDs of its mailbox, so that only those which have got another one since
-- need an index. Those of before this column count as changed.
ALTER TABLE message ADD COLUMN arrived INTEGER NOT NULL DEFAULT 0;
DROP INDEX message_modseq;
CREATE INDEX message_changed ON message (mailbox, modseq) WHERE modseq <> arrived;

-- By blocks of 256 journals: a digest is looked for in each block, and a new one changes the last block only, where it would
-- change a page of its own among those of all digests.
DROP INDEX journal_message;
CREATE INDEX journal_message ON journal (id >> 8, message_key) WHERE message_key IS NOT NULL;

-- Version 1 of what is laid over the octets, for most messages the only one: beside them, unless it is in the table of that name.
ALTER TABLE blob ADD COLUMN splices BLOB;
",
"
-- In a file that many share: from which octet on, and how many. No length: the whole file.
ALTER TABLE blob ADD COLUMN start INTEGER NOT NULL DEFAULT 0;
ALTER TABLE blob ADD COLUMN length INTEGER;
DROP INDEX blob_file;
CREATE UNIQUE INDEX blob_file ON blob (file, start) WHERE file IS NOT NULL;
",
];

/// How long to wait for another program's write. The writer of a server holds the lock for milliseconds.
const BUSY: Duration = Duration::from_secs(20);
const PAGE: u64 = 4096;

/// What is there of an index that is to be brought up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    Nothing,
    Older,
}

/// The connection that writes, with the schema brought up to date. `may_change` is asked before anything is written for that.
pub fn open(
    index: &Path,
    max_bytes: Option<u64>,
    may_change: impl Fn(Found) -> Result<(), StoreError>,
) -> Result<Connection, StoreError> {
    // SQLite would throw away a log beside an empty file; it may be that of the index that should be there.
    if fs::metadata(index).map_or(0, |file| file.len()) == 0 {
        may_change(Found::Nothing)?;
    }
    private::database(index).map_err(|error| io_error(index, &error))?;
    let connection = Connection::open_with_flags_and_vfs(index, OpenFlags::default(), GATHERING)?;
    let mut connection = prepared(connection)?;
    match version(&connection)? {
        0 => may_change(Found::Nothing)?,
        found if found < current() => may_change(Found::Older)?,
        _ => {}
    }
    connection.pragma_update(None, "journal_mode", "wal")?;
    // With less than FULL, a commit may be lost when the power fails, and others may learn of what is gathered yet.
    connection.pragma_update(None, "synchronous", "full")?;
    // The log is copied into the index by a thread of its own (`checkpoint`).
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", 64 << 20)?;
    // A commit that has rearranged a tree goes through the whole table of these pages, so it is not larger than pays.
    connection.pragma_update(None, "cache_size", -16 * 1024)?;
    if let Some(max) = max_bytes {
        let pages = i64::try_from(max / PAGE).unwrap_or(i64::MAX);
        connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))?;
    }
    migrate(&mut connection, index)?;
    Ok(connection)
}

/// The file of the write-ahead log.
pub fn log_of(index: &Path) -> PathBuf {
    let mut path = index.as_os_str().to_owned();
    path.push("-wal");
    path.into()
}

/// A connection that only reads.
pub fn open_reader(index: &Path) -> Result<Connection, StoreError> {
    let connection = connect(index)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -8 * 1024)?;
    Ok(connection)
}

/// Octets of pages that nothing is in. The index never gets smaller by itself.
pub fn spare(index: &Path) -> Result<u64, StoreError> {
    let pages: i64 =
        open_reader(index)?.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
    Ok(unsigned(pages) * PAGE)
}

/// No memory mapping: with it, an error of the disk would be a signal that ends the process.
pub fn connect(index: &Path) -> Result<Connection, StoreError> {
    prepared(Connection::open(index)?)
}

fn prepared(connection: Connection) -> Result<Connection, StoreError> {
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "temp_store", "memory")?;
    connection.set_prepared_statement_cache_capacity(128);
    Ok(connection)
}

/// The version of the schema that this program knows.
fn current() -> i64 {
    i64::try_from(STEPS.len()).unwrap_or(i64::MAX)
}

fn version(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.pragma_query_value(None, "user_version", |row| row.get(0))?)
}

fn migrate(connection: &mut Connection, index: &Path) -> Result<(), StoreError> {
    let current = current();
    let transaction =
        connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    if found > current {
        return Err(StoreError::Refused(format!(
            "{} has schema version {found}, this program knows {current}: it was written by a newer wasmilter; use that one, or restore a backup",
            index.display()
        )));
    }
    let done = usize::try_from(found).unwrap_or(0);
    for step in STEPS.iter().skip(done) {
        transaction.execute_batch(step)?;
    }
    if found < current {
        transaction.pragma_update(None, "user_version", current)?;
    }
    Ok(transaction.commit()?)
}
