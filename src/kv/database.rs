//! The store in an SQLite database of its own. Changes are made in a transaction that stays open; a thread commits it every few
//! milliseconds and then syncs, so that no caller waits for the disk. Without a path it lives in memory.

use super::desk::{Desk, Entry, Range, Wake, connect};
use super::{Kv, KvError, MAX_SCAN, MAX_SCAN_OCTETS, check_key, check_value};
use crate::mail::{Clock, SystemClock};
use crate::private;
use rusqlite::Connection;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two commits: what a crash loses at the most, besides the time of a sync.
const COMMIT_EVERY: Duration = Duration::from_millis(5);
/// Between two looks for what has expired.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// How often it may take the lock, so that expired keys in great number hold up nobody.
const MAX_LOOKS: usize = 100;
/// Between two copies of the log into the database.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(2);
/// Pages of the log above which writers wait for that.
const MOST_PAGES: i64 = 16 * 1024;

/// Dropping it waits until all is on the disk.
pub struct Database {
    shared: Arc<Shared>,
    committer: Option<(Sender<Wake>, JoinHandle<()>)>,
}

struct Shared {
    desk: Mutex<Desk>,
    clock: Arc<dyn Clock>,
}

impl Database {
    /// Opens it or makes it. One process at a time.
    pub fn open(path: &Path) -> Result<Self, KvError> {
        Self::with_clock(Some(path), Arc::new(SystemClock))
    }

    /// Gone when dropped. Costs nothing until it is used.
    pub fn in_memory() -> Self {
        Self {
            shared: Arc::new(Shared::new(Desk::default(), Arc::new(SystemClock))),
            committer: None,
        }
    }

    /// As [`Database::open`] or [`Database::in_memory`], with a time of the caller's.
    pub fn with_clock(path: Option<&Path>, clock: Arc<dyn Clock>) -> Result<Self, KvError> {
        let Some(path) = path else {
            return Ok(Self {
                shared: Arc::new(Shared::new(Desk::default(), clock)),
                committer: None,
            });
        };
        let failed =
            |error: &dyn std::fmt::Display| KvError::Failed(format!("{}: {error}", path.display()));
        private::database(path).map_err(|error| failed(&error))?;
        let connection = connect(path).map_err(|error| failed(&error))?;
        let checkpointer = Connection::open(path).map_err(|error| failed(&error))?;
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let (wake, woken) = channel();
        let desk = Desk::new(connection, wake.clone()).map_err(|error| failed(&error))?;
        let shared = Arc::new(Shared::new(desk, clock));
        let committer = Committer {
            shared: Arc::clone(&shared),
            log: PathBuf::from(log),
            checkpointer,
        };
        let thread = std::thread::Builder::new()
            .name("kv-writer".into())
            .spawn(move || committer.work(&woken))
            .map_err(|error| failed(&error))?;
        Ok(Self {
            shared,
            committer: Some((wake, thread)),
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
        if let Some((wake, thread)) = self.committer.take() {
            let _ = wake.send(Wake::Stop);
            let _ = thread.join();
        }
    }
}

/// Commits, syncs, and keeps the log short.
struct Committer {
    shared: Arc<Shared>,
    log: PathBuf,
    checkpointer: Connection,
}

impl Committer {
    fn work(&self, woken: &Receiver<Wake>) {
        let (mut swept, mut copied) = (Instant::now(), Instant::now());
        loop {
            match woken.recv_timeout(SWEEP_EVERY) {
                Ok(Wake::Dirty) => std::thread::sleep(COMMIT_EVERY),
                Ok(Wake::Flush(done)) => {
                    self.commit();
                    let _ = done.send(());
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => return self.commit(),
            }
            self.commit();
            if copied.elapsed() >= CHECKPOINT_EVERY {
                self.checkpoint();
                copied = Instant::now();
            }
            if swept.elapsed() >= SWEEP_EVERY {
                self.shared.sweep();
                swept = Instant::now();
            }
        }
    }

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

impl Shared {
    fn new(desk: Desk, clock: Arc<dyn Clock>) -> Self {
        Self {
            desk: Mutex::new(desk),
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
        let most = most.min(MAX_SCAN);
        let now = self.shared.now();
        // The empty key is before all of them, and there is none.
        let mut last = after.unwrap_or_default().as_bytes().to_vec();
        let mut found = Vec::new();
        let mut octets = 0;
        for _ in 0..MAX_LOOKS {
            // The lock is given back in between.
            let range = {
                let mut desk = self.shared.lock();
                desk.range(space, prefix.as_bytes(), &end, &last)?
            };
            let Range { entries, ended } = range;
            for (key, entry) in entries {
                last.clone_from(&key);
                if entry.is_expired(now) {
                    continue;
                }
                octets += key.len() + entry.value.len();
                if found.len() >= most || (octets > MAX_SCAN_OCTETS && !found.is_empty()) {
                    return Ok(found);
                }
                found.push((String::from_utf8_lossy(&key).into_owned(), entry.value));
            }
            if ended || found.len() >= most {
                return Ok(found);
            }
        }
        if found.is_empty() {
            return Err(KvError::Failed(
                "too many expired keys are in the way: they will be gone in half a minute"
                    .to_owned(),
            ));
        }
        Ok(found)
    }

    fn flush(&self) {
        let Some((wake, _)) = &self.committer else {
            return;
        };
        let (done, wait) = channel();
        if wake.send(Wake::Flush(done)).is_ok() {
            let _ = wait.recv();
        }
    }
}

fn number(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}
