//! Copies the write-ahead log into the index beside the writer, which would otherwise stand still for as long as that takes.
//! The log can only start again from its beginning once all of it is copied: the writer does the last, short piece itself.

use super::schema;
use crate::store::StoreError;
use rusqlite::Connection;
use std::cell::Cell;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Pages (of 4 KiB) in the log that are worth a copy.
const WORTH: i64 = 4_000;
/// Rows that may fill as many: the longest message that is in the index takes eight. To look at each commit would cost as much as a small one.
const ROWS: u64 = 500;
/// What the writer may be asked to copy itself at once.
const SHORT: i64 = 4_000;

pub struct Checkpointer {
    /// None once it is to stop.
    bell: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    /// Rows that had been changed when it was called last.
    rows: Cell<u64>,
}

impl Checkpointer {
    /// `finish` asks the writer for `Checkpointer::finish` and waits until it is done: two copies at the same time would get in
    /// each other's way. The thread ends when this is dropped.
    pub fn start(index: &Path, finish: impl Fn() + Send + 'static) -> Result<Self, StoreError> {
        let connection = schema::connect(index)?;
        connection.pragma_update(None, "synchronous", "full")?;
        let (bell, commits) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".into())
            .spawn(move || copy_when_worth_it(&connection, &commits, &finish))
            .map_err(|error| StoreError::Failed(format!("no thread for the store: {error}")))?;
        Ok(Self {
            bell: Some(bell),
            thread: Some(thread),
            rows: Cell::default(),
        })
    }

    /// There is more in the log of this, the writer's, connection.
    pub fn committed(&self, connection: &Connection) {
        let rows = connection.total_changes();
        if rows - self.rows.get() < ROWS {
            return;
        }
        self.rows.set(rows);
        // If it has not heard the last time yet, it will see this commit too.
        if let Some(bell) = &self.bell {
            let _ = bell.try_send(());
        }
    }

    /// On the writer's connection, between two commits: when this is done, the next commit starts the log again.
    pub fn finish(&self, connection: &Connection) {
        checkpoint(connection, "PASSIVE");
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.bell = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn copy_when_worth_it(connection: &Connection, commits: &Receiver<()>, finish: &dyn Fn()) {
    let mut asked_at = 0;
    while commits.recv().is_ok() {
        let Some(log) = checkpoint(connection, "NOOP") else {
            continue;
        };
        if log.left() < WORTH {
            continue;
        }
        // Until what came while copying is short; a writer that is faster than the disk's copying must not outrun it for ever.
        for _ in 0..4 {
            match checkpoint(connection, "PASSIVE").and_then(|_| checkpoint(connection, "NOOP")) {
                Some(log) if log.left() > SHORT => {}
                _ => break,
            }
        }
        // A reader in an old state keeps the log from starting again; ask once for each such stretch of it.
        if let Some(log) = checkpoint(connection, "NOOP")
            && (log.pages < asked_at || log.pages >= asked_at + WORTH)
        {
            asked_at = log.pages;
            finish();
        }
    }
}

struct Log {
    pages: i64,
    copied: i64,
}

impl Log {
    fn left(&self) -> i64 {
        self.pages - self.copied
    }
}

fn checkpoint(connection: &Connection, mode: &str) -> Option<Log> {
    let result = connection
        .prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))
        .and_then(|mut statement| {
            statement.query_row([], |row| {
                Ok(Log {
                    pages: row.get(1)?,
                    copied: row.get(2)?,
                })
            })
        });
    // Nothing is lost: what is not copied stays in the log.
    result
        .inspect_err(|error| tracing::warn!(%error, "the log of the index could not be copied"))
        .ok()
}
