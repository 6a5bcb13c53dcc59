//! The store in an SQLite database of its own. Changes are made in a transaction that stays open; a thread commits it every few
//! milliseconds and then syncs, so that no caller waits for the disk. Without a path it lives in memory.

use super::{KEY_COST, Kv, KvError, MAX_SCAN, MAX_SCAN_OCTETS, MAX_SPACE, check_key, check_value};
use crate::mail::{Clock, SystemClock};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two commits: what a crash loses at the most, besides the time of a sync.
const COMMIT_EVERY: Duration = Duration::from_millis(5);
/// Between two looks for what has expired.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// Expired keys that are deleted at a time, so that nobody waits long.
const SWEEP: u32 = 500;
/// Between two copies of the log into the database.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(2);
/// Pages of the log above which writers wait for that.
const MOST_PAGES: i64 = 16 * 1024;

/// The number of the schema, in `user_version`.
const VERSION: i64 = 1;
const SCHEMA: &str = "
CREATE TABLE entry (
    space TEXT NOT NULL,
    key BLOB NOT NULL,
    value BLOB NOT NULL,
    expires INTEGER, -- milliseconds since 1970
    PRIMARY KEY (space, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX entry_expires ON entry (expires) WHERE expires IS NOT NULL;
";

/// Dropping it waits until all is on the disk.
pub struct Database {
    shared: Arc<Shared>,
    committer: Option<(Sender<()>, JoinHandle<()>)>,
}

struct Shared {
    desk: Mutex<Desk>,
    clock: Arc<dyn Clock>,
}

struct Desk {
    /// None: one in memory that nobody has used yet.
    connection: Option<Connection>,
    /// Changed since the last commit.
    dirty: bool,
    /// What each space holds, counted when it is first written to.
    octets: HashMap<String, u64>,
    /// Why the last commit failed.
    problem: Option<String>,
}

struct Entry {
    value: Vec<u8>,
    expires: Option<i64>,
}

impl Entry {
    fn is_expired(&self, now: i64) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }
}

impl From<rusqlite::Error> for KvError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Failed(format!("the database of plugins: {error}"))
    }
}

impl Database {
    /// Opens it or makes it. One process at a time.
    pub fn open(path: &Path) -> Result<Self, KvError> {
        Self::with_clock(Some(path), Arc::new(SystemClock))
    }

    /// Gone when dropped. Costs nothing until it is used.
    pub fn in_memory() -> Self {
        Self {
            shared: Arc::new(Shared::new(None, Arc::new(SystemClock))),
            committer: None,
        }
    }

    /// As [`Database::open`] or [`Database::in_memory`], with a time of the caller's.
    pub fn with_clock(path: Option<&Path>, clock: Arc<dyn Clock>) -> Result<Self, KvError> {
        let Some(path) = path else {
            return Ok(Self {
                shared: Arc::new(Shared::new(None, clock)),
                committer: None,
            });
        };
        let failed =
            |error: &dyn std::fmt::Display| KvError::Failed(format!("{}: {error}", path.display()));
        let connection = connect(path).map_err(|error| failed(&error))?;
        let checkpointer = Connection::open(path).map_err(|error| failed(&error))?;
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let shared = Arc::new(Shared::new(Some(connection), clock));
        let (stop, stopped) = channel();
        let committer = Committer {
            shared: Arc::clone(&shared),
            log: PathBuf::from(log),
            checkpointer,
        };
        let thread = std::thread::Builder::new()
            .name("kv-writer".into())
            .spawn(move || {
                let (mut swept, mut copied) = (Instant::now(), Instant::now());
                loop {
                    let end = stopped.recv_timeout(COMMIT_EVERY);
                    committer.commit();
                    if end != Err(RecvTimeoutError::Timeout) {
                        return;
                    }
                    if copied.elapsed() >= CHECKPOINT_EVERY {
                        committer.checkpoint();
                        copied = Instant::now();
                    }
                    if swept.elapsed() >= SWEEP_EVERY {
                        committer.shared.sweep();
                        swept = Instant::now();
                    }
                }
            })
            .map_err(|error| failed(&error))?;
        Ok(Self {
            shared,
            committer: Some((stop, thread)),
        })
    }

    /// Deletes what has expired.
    #[cfg(test)]
    pub(super) fn sweep(&self) {
        self.shared.sweep();
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.committer.take() {
            drop(stop);
            let _ = thread.join();
        }
    }
}

fn connect(path: &Path) -> Result<Connection, KvError> {
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
        connection.pragma_update(None, "user_version", VERSION)?;
    } else if found > VERSION {
        return Err(KvError::Failed(format!(
            "it has schema version {found}, this program knows {VERSION}: it was written by a newer wasmilter"
        )));
    }
    Ok(())
}

/// Commits, syncs, and keeps the log short.
struct Committer {
    shared: Arc<Shared>,
    log: PathBuf,
    checkpointer: Connection,
}

impl Committer {
    fn commit(&self) {
        match self.shared.lock().commit() {
            Ok(false) => return,
            Ok(true) => {}
            Err(error) => {
                tracing::error!("what plugins keep could not be written: {error}");
                return;
            }
        }
        if let Err(error) = File::open(&self.log).and_then(|file| file.sync_data()) {
            tracing::error!("{} cannot be synced: {error}", self.log.display());
        }
    }

    /// Copies the log into the database, so that it can begin anew.
    fn checkpoint(&self) {
        let copy = || -> rusqlite::Result<i64> {
            let sql = "PRAGMA wal_checkpoint(PASSIVE)";
            self.checkpointer.query_row(sql, [], |row| row.get(1))
        };
        let copied = copy().and_then(|pages| {
            if pages < MOST_PAGES {
                return Ok(pages);
            }
            // Writers never rest long enough: this time they wait.
            let mut desk = self.shared.lock();
            let _ = desk.commit();
            copy()
        });
        if let Err(error) = copied {
            tracing::warn!("the log of plugins.db cannot be copied into it: {error}");
        }
    }
}

impl Desk {
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
        self.dirty = true;
        self.connection()
    }

    /// Whether there was anything to commit.
    fn commit(&mut self) -> Result<bool, KvError> {
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

    fn entry(&mut self, space: &str, key: &str) -> Result<Option<Entry>, KvError> {
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
    fn put(
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
            self.sweep_space(space, now)?;
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

    fn remove(&mut self, space: &str, key: &str, value: usize) -> Result<(), KvError> {
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

    fn sweep_space(&mut self, space: &str, now: i64) -> Result<(), KvError> {
        let connection = self.begin()?;
        connection
            .prepare_cached("DELETE FROM entry WHERE space = ? AND expires <= ?")?
            .execute(params![space, now])?;
        self.octets.remove(space);
        Ok(())
    }

    /// Whether there may be more.
    fn sweep(&mut self, now: i64) -> Result<bool, KvError> {
        let sql = "DELETE FROM entry WHERE (space, key) IN
            (SELECT space, key FROM entry WHERE expires <= ? LIMIT ?) RETURNING space";
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
        let spaces: Vec<String> = statement
            .query_map(params![now, SWEEP], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        drop(statement);
        let more = spaces.len() >= SWEEP as usize;
        for space in spaces {
            self.octets.remove(&space);
        }
        Ok(more)
    }
}

impl Shared {
    fn new(connection: Option<Connection>, clock: Arc<dyn Clock>) -> Self {
        Self {
            desk: Mutex::new(Desk {
                connection,
                dirty: false,
                octets: HashMap::new(),
                problem: None,
            }),
            clock,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> i64 {
        self.clock.now().as_millisecond()
    }

    fn expires(&self, ttl: Option<Duration>) -> Option<i64> {
        let ttl = i64::try_from(ttl?.as_millis()).unwrap_or(i64::MAX);
        Some(self.now().saturating_add(ttl))
    }

    fn sweep(&self) {
        loop {
            // The lock is given back in between.
            let more = self.lock().sweep(self.now());
            match more {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!("what has expired could not be deleted: {error}");
                    return;
                }
            }
        }
    }

    /// Reads an entry and does something with it and what stood there, in one step.
    fn with<T>(
        &self,
        space: &str,
        key: &str,
        work: impl FnOnce(&mut Desk, Option<Entry>, Option<usize>, i64) -> Result<T, KvError>,
    ) -> Result<T, KvError> {
        check_key(key)?;
        let now = self.now();
        let mut desk = self.lock();
        let found = desk.entry(space, key)?;
        let before = found.as_ref().map(|entry| entry.value.len());
        let valid = found.filter(|entry| !entry.is_expired(now));
        work(&mut desk, valid, before, now)
    }
}

impl Kv for Database {
    fn get(&self, space: &str, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        self.shared.with(space, key, |_, valid, _, _| {
            Ok(valid.map(|entry| entry.value))
        })
    }

    fn set(
        &self,
        space: &str,
        key: &str,
        value: &[u8],
        ttl: Option<Duration>,
    ) -> Result<(), KvError> {
        check_value(value)?;
        let entry = Entry {
            value: value.to_vec(),
            expires: self.shared.expires(ttl),
        };
        self.shared.with(space, key, |desk, _, before, now| {
            desk.put(space, key, before, &entry, now)
        })
    }

    fn delete(&self, space: &str, key: &str) -> Result<bool, KvError> {
        self.shared.with(space, key, |desk, valid, before, _| {
            if let Some(value) = before {
                desk.remove(space, key, value)?;
            }
            Ok(valid.is_some())
        })
    }

    fn increment(
        &self,
        space: &str,
        key: &str,
        by: i64,
        ttl: Option<Duration>,
    ) -> Result<i64, KvError> {
        self.shared.with(space, key, |desk, valid, before, now| {
            let was = match &valid {
                None => 0,
                Some(entry) => number(&entry.value)
                    .ok_or_else(|| KvError::BadValue(format!("{key:?} does not hold a number")))?,
            };
            let sum = was.checked_add(by).ok_or_else(|| {
                KvError::TooMuch(format!("{was} and {by} are more than 64 bits hold"))
            })?;
            let entry = Entry {
                value: sum.to_string().into_bytes(),
                expires: match &valid {
                    Some(entry) => entry.expires,
                    None => self.shared.expires(ttl),
                },
            };
            desk.put(space, key, before, &entry, now)?;
            Ok(sum)
        })
    }

    fn compare_and_set(
        &self,
        space: &str,
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
        ttl: Option<Duration>,
    ) -> Result<bool, KvError> {
        check_value(value)?;
        let entry = Entry {
            value: value.to_vec(),
            expires: self.shared.expires(ttl),
        };
        self.shared.with(space, key, |desk, valid, before, now| {
            if valid.as_ref().map(|entry| entry.value.as_slice()) != expected {
                return Ok(false);
            }
            desk.put(space, key, before, &entry, now)?;
            Ok(true)
        })
    }

    fn scan(
        &self,
        space: &str,
        prefix: &str,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, KvError> {
        // No octet of UTF-8 is 255, so adding to the last one is the end of those that begin so.
        let mut end = prefix.as_bytes().to_vec();
        match end.last_mut() {
            Some(last) => *last = last.saturating_add(1),
            None => end.push(u8::MAX),
        }
        let now = self.shared.now();
        let mut desk = self.shared.lock();
        let connection = desk.connection()?;
        // The empty key is before all of them, and there is none.
        let mut statement = connection.prepare_cached(
            "SELECT key, value FROM entry
             WHERE space = ? AND key >= ? AND key < ? AND key > ? AND (expires IS NULL OR expires > ?)
             ORDER BY key LIMIT ?",
        )?;
        let most = i64::try_from(most.min(MAX_SCAN)).unwrap_or(0);
        let after = after.unwrap_or_default().as_bytes();
        let mut rows = statement.query(params![space, prefix.as_bytes(), end, after, now, most])?;
        let mut found = Vec::new();
        let mut octets = 0;
        while let Some(row) = rows.next()? {
            let (key, value): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
            octets += key.len() + value.len();
            if octets > MAX_SCAN_OCTETS && !found.is_empty() {
                break;
            }
            found.push((String::from_utf8_lossy(&key).into_owned(), value));
        }
        Ok(found)
    }
}

fn number(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}
