//! The entries as tables: reading and changing them, what each space holds, and the transaction that stays open.
//! Knows neither threads nor the time.

use super::{KEY_COST, KvError, MAX_SCAN_OCTETS, MAX_SPACE};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::Sender;
use std::time::Duration;

/// Expired keys that are deleted at a time, so that nobody waits long.
const SWEEP: u32 = 500;
/// Keys that a scan looks at while it has the lock: 16 MiB at the most, as a rule some KiB.
const LOOK: usize = 250;

/// The number of the schema, in `user_version`; [`SCHEMA`] sets it.
const VERSION: i64 = 1;
const SCHEMA: &str = "
BEGIN;
CREATE TABLE entry (
    space TEXT NOT NULL,
    key BLOB NOT NULL,
    value BLOB NOT NULL,
    expires INTEGER, -- milliseconds since 1970
    PRIMARY KEY (space, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX entry_expires ON entry (expires) WHERE expires IS NOT NULL;
PRAGMA user_version = 1;
COMMIT;
";

/// What the thread that commits is told.
pub enum Wake {
    /// There is something to commit.
    Dirty,
    /// Commit now, and say when it is on the disk.
    Flush(Sender<()>),
    Stop,
}

#[derive(Default)]
pub struct Desk {
    /// None: one in memory that nobody has used yet.
    connection: Option<Connection>,
    /// Who commits. None: nobody, in memory.
    wake: Option<Sender<Wake>>,
    /// Changed since the last commit.
    dirty: bool,
    /// What each space holds. Counted when the database is opened, and where that is unknown when it is next written to.
    octets: HashMap<String, u64>,
    /// Why the last commit failed.
    problem: Option<String>,
}

pub struct Entry {
    pub value: Vec<u8>,
    pub expires: Option<i64>,
}

impl Entry {
    pub fn is_expired(&self, now: i64) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }
}

impl From<rusqlite::Error> for KvError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(format!("the database of plugins: {error}"))
    }
}

/// Entries in the order of their keys.
pub struct Range {
    pub entries: Vec<(Vec<u8>, Entry)>,
    /// There are no more.
    pub ended: bool,
}

pub fn connect(path: &Path) -> Result<Connection, KvError> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    // The log is synced after each commit, by the thread that commits and without the lock; the database only when it is copied there.
    connection.pragma_update(None, "synchronous", "normal")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "cache_size", -16 * 1024)?;
    prepare(&connection)?;
    Ok(connection)
}

fn prepare(connection: &Connection) -> Result<(), KvError> {
    connection.set_prepared_statement_cache_capacity(32);
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found == 0 {
        connection.execute_batch(SCHEMA)?;
    } else if found > VERSION {
        return Err(KvError::Failed(format!(
            "it has schema version {found}, this program knows {VERSION}: it was written by a newer wasmilter"
        )));
    }
    Ok(())
}

/// What each space holds.
fn counts(connection: &Connection) -> Result<HashMap<String, u64>, KvError> {
    let sql = "SELECT space, sum(length(key) + length(value) + ?) FROM entry GROUP BY space";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([KEY_COST as i64], |row| {
        let octets: i64 = row.get(1)?;
        Ok((row.get(0)?, u64::try_from(octets).unwrap_or(u64::MAX)))
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

impl Desk {
    /// On a connection of [`connect`].
    pub fn new(connection: Connection, wake: Sender<Wake>) -> Result<Self, KvError> {
        Ok(Self {
            wake: Some(wake),
            octets: counts(&connection)?,
            connection: Some(connection),
            ..Self::default()
        })
    }

    fn connection(&mut self) -> Result<&Connection, KvError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let connection = Connection::open_in_memory()?;
                prepare(&connection)?;
                connection
            }
        };
        Ok(self.connection.insert(connection))
    }

    /// Opens the transaction that the changes until the next commit are in.
    fn begin(&mut self) -> Result<&Connection, KvError> {
        if let Some(problem) = &self.problem {
            return Err(KvError::Failed(problem.clone()));
        }
        let connection = self.connection()?;
        if connection.is_autocommit() {
            connection.execute_batch("BEGIN IMMEDIATE")?;
        }
        if !std::mem::replace(&mut self.dirty, true)
            && let Some(wake) = &self.wake
        {
            let _ = wake.send(Wake::Dirty);
        }
        self.connection()
    }

    /// Whether there was anything to commit.
    pub fn commit(&mut self) -> Result<bool, KvError> {
        // The next write after a failure tries again.
        self.problem = None;
        if !std::mem::take(&mut self.dirty) {
            return Ok(false);
        }
        let connection = self.connection()?;
        if connection.is_autocommit() {
            return Ok(false);
        }
        let Err(error) = connection.execute_batch("COMMIT") else {
            return Ok(true);
        };
        let _ = connection.execute_batch("ROLLBACK");
        self.octets.clear();
        self.problem = Some(format!("the database of plugins: {error}"));
        Err(error.into())
    }

    pub fn entry(&mut self, space: &str, key: &str) -> Result<Option<Entry>, KvError> {
        let connection = self.connection()?;
        let mut statement = connection
            .prepare_cached("SELECT value, expires FROM entry WHERE space = ? AND key = ?")?;
        let row = statement.query_row(params![space, key.as_bytes()], |row| {
            Ok(Entry {
                value: row.get(0)?,
                expires: row.get(1)?,
            })
        });
        Ok(row.optional()?)
    }

    /// The first of those between these keys, expired ones too.
    pub fn range(
        &mut self,
        space: &str,
        start: &[u8],
        end: &[u8],
        after: &[u8],
    ) -> Result<Range, KvError> {
        let connection = self.connection()?;
        let mut statement = connection.prepare_cached(
            "SELECT key, value, expires FROM entry
             WHERE space = ? AND key >= ? AND key < ? AND key > ? ORDER BY key LIMIT ?",
        )?;
        let mut rows = statement.query(params![space, start, end, after, LOOK as i64])?;
        let mut entries = Vec::new();
        let mut octets = 0;
        while let Some(row) = rows.next()? {
            let (key, value): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
            let expires = row.get(2)?;
            octets += key.len() + value.len();
            entries.push((key, Entry { value, expires }));
            if octets > MAX_SCAN_OCTETS {
                return Ok(Range {
                    entries,
                    ended: false,
                });
            }
        }
        let ended = entries.len() < LOOK;
        Ok(Range { entries, ended })
    }

    fn octets(&mut self, space: &str) -> Result<u64, KvError> {
        if let Some(octets) = self.octets.get(space) {
            return Ok(*octets);
        }
        let connection = self.connection()?;
        let sql =
            "SELECT coalesce(sum(length(key) + length(value) + ?), 0) FROM entry WHERE space = ?";
        let octets: i64 =
            connection.query_row(sql, params![KEY_COST as i64, space], |row| row.get(0))?;
        let octets = u64::try_from(octets).unwrap_or(u64::MAX);
        self.octets.insert(space.to_owned(), octets);
        Ok(octets)
    }

    /// `before` is the octets of the value that stands there, if any.
    pub fn put(
        &mut self,
        space: &str,
        key: &str,
        before: Option<usize>,
        entry: &Entry,
        now: i64,
    ) -> Result<(), KvError> {
        let cost = |value: usize| KEY_COST + (key.len() + value) as u64;
        let old = before.map_or(0, cost);
        let new = cost(entry.value.len());
        let mut after = self.octets(space)?.saturating_sub(old).saturating_add(new);
        if new > old && after > MAX_SPACE {
            self.sweep(now)?;
            after = self.octets(space)?.saturating_sub(old).saturating_add(new);
            if after > MAX_SPACE {
                return Err(KvError::TooMuch(format!(
                    "a plugin may keep {} MiB; delete keys, or give them a time to live",
                    MAX_SPACE / (1024 * 1024)
                )));
            }
        }
        let connection = self.begin()?;
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO entry (space, key, value, expires) VALUES (?, ?, ?, ?)",
            )?
            .execute(params![space, key.as_bytes(), entry.value, entry.expires])?;
        self.octets.insert(space.to_owned(), after);
        Ok(())
    }

    pub fn remove(&mut self, space: &str, key: &str, value: usize) -> Result<(), KvError> {
        let octets = self.octets(space)?;
        let connection = self.begin()?;
        connection
            .prepare_cached("DELETE FROM entry WHERE space = ? AND key = ?")?
            .execute(params![space, key.as_bytes()])?;
        let freed = KEY_COST + (key.len() + value) as u64;
        self.octets
            .insert(space.to_owned(), octets.saturating_sub(freed));
        Ok(())
    }

    /// Whether there may be more.
    pub fn sweep(&mut self, now: i64) -> Result<bool, KvError> {
        let sql = "DELETE FROM entry WHERE (space, key) IN
            (SELECT space, key FROM entry WHERE expires <= ? LIMIT ?)
            RETURNING space, length(key) + length(value)";
        // Nothing is begun where nothing is to be done.
        let any: bool = self
            .connection()?
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM entry WHERE expires <= ?)")?
            .query_row([now], |row| row.get(0))?;
        if !any {
            return Ok(false);
        }
        let connection = self.begin()?;
        let mut statement = connection.prepare_cached(sql)?;
        let gone: Vec<(String, i64)> = statement
            .query_map(params![now, SWEEP], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        drop(statement);
        let more = gone.len() >= SWEEP as usize;
        for (space, length) in gone {
            if let Some(octets) = self.octets.get_mut(&space) {
                let freed = KEY_COST + u64::try_from(length).unwrap_or_default();
                *octets = octets.saturating_sub(freed);
            }
        }
        Ok(more)
    }
}
