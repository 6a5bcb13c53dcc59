//! Copies the write-ahead log into the index beside the writer, which would otherwise stand still for as long as that takes.
//! The log can only start again from its beginning once all of it is copied: the writer does the last, short piece itself.

use super::schema;
use crate::store::StoreError;
use rusqlite::Connection;
use rusqlite::hooks::Wal;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Pages (of 4 KiB) in the log that are worth a copy.
const WORTH: i64 = 4_000;
/// New ones after which it looks how many are still to be copied: to look at each commit would cost as much as a small one.
const LOOK: i32 = 1_000;
/// What the writer may be asked to copy itself at once.
const SHORT: i64 = 4_000;

/// The most octets that the log keeps when the disk is short.
const KEPT: u64 = 4 << 20;
/// How long the log is waited for then, which keeps the writer waiting too.
const BUSY: Duration = Duration::from_millis(100);

/// Calls the thread that copies.
#[derive(Clone)]
pub struct Bell {
    sender: SyncSender<()>,
    word: Arc<Word>,
}

/// What the thread is to know when it hears the bell.
#[derive(Default)]
struct Word {
    /// The disk is short.
    short: AtomicBool,
    /// It is to stop.
    over: AtomicBool,
}

impl Bell {
    fn ring(&self) {
        // If it has not heard the last time yet, it will see this commit too.
        let _ = self.sender.try_send(());
    }

    /// The disk is short.
    pub fn shorten(&self) {
        self.word.short.store(true, SeqCst);
        self.ring();
    }
}

pub struct Checkpointer {
    bell: Bell,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// `finish` asks the writer for `Checkpointer::finish` and waits until it is done: two copies at the same time would get in
    /// each other's way. The thread ends when this is dropped.
    pub fn start(index: &Path, finish: impl Fn() + Send + 'static) -> Result<Self, StoreError> {
        let connection = schema::connect(index)?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.busy_timeout(BUSY)?;
        let (sender, commits) = sync_channel(1);
        let word = Arc::new(Word::default());
        let bell = Bell {
            sender,
            word: Arc::clone(&word),
        };
        let mut copier = Copier {
            connection,
            log: schema::log_of(index),
            asked_at: 0,
        };
        let work = move || {
            while commits.recv().is_ok() && !word.over.load(SeqCst) {
                if word.short.swap(false, SeqCst) {
                    copier.shorten();
                }
                copier.copy_when_worth_it(&finish);
            }
        };
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".into())
            .spawn(work)
            .map_err(|error| StoreError::Failed(format!("no thread for the store: {error}")))?;
        Ok(Self {
            bell,
            thread: Some(thread),
        })
    }

    pub fn bell(&self) -> Bell {
        self.bell.clone()
    }

    /// Has it look whenever the log of this, the writer's, connection has got long: SQLite says after each commit how long.
    pub fn watch(&self, connection: &mut Connection) -> Result<(), StoreError> {
        let bell = self.bell.clone();
        let mut looked = 0;
        let committed = move |_: &mut Wal, pages: i32| {
            // It may have begun again.
            looked = looked.min(pages);
            if pages - looked >= LOOK {
                looked = pages;
                bell.ring();
            }
            Ok(())
        };
        Ok(connection.wal_hook(Some(committed))?)
    }

    /// On the writer's connection, between two commits: when this is done, the next commit starts the log again.
    pub fn finish(&self, connection: &Connection) {
        checkpoint(connection, "PASSIVE");
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.bell.word.over.store(true, SeqCst);
        self.bell.ring();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the thread works with.
struct Copier {
    connection: Connection,
    /// The file of the log.
    log: PathBuf,
    /// Pages in the log when the writer was asked last.
    asked_at: i64,
}

impl Copier {
    fn copy_when_worth_it(&mut self, finish: &dyn Fn()) {
        let connection = &self.connection;
        let Some(log) = checkpoint(connection, "NOOP") else {
            return;
        };
        if log.left() < WORTH {
            return;
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
            && (log.pages < self.asked_at || log.pages >= self.asked_at + WORTH)
        {
            self.asked_at = log.pages;
            finish();
        }
    }

    /// Gives the disk back what the log takes up, if nobody who reads keeps it.
    fn shorten(&self) {
        if fs::metadata(&self.log).is_ok_and(|log| log.len() > KEPT) {
            checkpoint(&self.connection, "TRUNCATE");
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
