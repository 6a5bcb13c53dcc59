//! The store in one directory: an SQLite index with small messages in it, longer ones in files beside it, many to one or each in its own.
//! Knows what each method of `Store` does to the index; when that is written and synced is the writer's business.

mod accounts;
mod blobs;
mod checkpoint;
mod deliver;
mod directory;
mod encoding;
mod flags;
mod journal;
mod log;
mod mailboxes;
mod messages;
mod packs;
mod quarantine;
mod queue;
mod readers;
mod removal;
mod roster;
mod schema;
mod service;
mod shelves;
mod sweeper;
mod watchers;
mod writer;

use super::StoreError;
use blobs::Blobs;
use directory::{Directory, Use};
use readers::Readers;
use roster::Roster;
use schema::Found;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use watchers::Watchers;
pub use writer::Stats;
use writer::Writer;

#[derive(Debug, Clone)]
pub struct Config {
    /// Made if it is not there.
    pub directory: PathBuf,
    /// The most connections that read at the same time. Each is opened when it is first needed.
    pub readers: usize,
    pub meter: crate::metrics::Commits,
    /// The most octets that the index may grow to: what a full disk looks like, for tests.
    #[doc(hidden)]
    pub max_bytes: Option<u64>,
}

impl Config {
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            readers: 4,
            meter: crate::metrics::Commits::default(),
            max_bytes: None,
        }
    }
}

/// Dropping it waits until what was asked for is on the disk.
pub struct SqliteStore {
    // Dropped in this order: the locks go when nothing uses the directory any more.
    readers: Arc<Readers>,
    writer: Writer,
    watchers: Arc<Watchers>,
    blobs: Arc<Blobs>,
    roster: Roster,
    directory: Directory,
}

impl SqliteStore {
    /// Opens it beside others, a server among them: for tools.
    pub fn open(config: Config) -> Result<Self, StoreError> {
        Self::open_as(config, Use::Shared)
    }

    /// The same where there is one: `Refused` if not, and nothing is made.
    pub fn open_existing(config: Config) -> Result<Self, StoreError> {
        exists(&config)?;
        Self::open(config)
    }

    /// The same where no server runs: `Refused` if one does.
    pub fn open_idle(config: Config) -> Result<Self, StoreError> {
        exists(&config)?;
        Self::open_exclusive(config)
    }

    /// Opens it as the one server of this directory and clears away what an interrupted one left. `Refused` if there is one already.
    pub fn open_exclusive(config: Config) -> Result<Self, StoreError> {
        Self::open_as(config, Use::Server)
    }

    fn open_as(config: Config, usage: Use) -> Result<Self, StoreError> {
        let (directory, opening) = Directory::open(&config.directory, usage)?;
        let index = directory.index();
        let blobs = Arc::new(Blobs::open(directory.blobs(), directory.staging())?);
        // Others that have it open know it as it is.
        let is_used = usage == Use::Shared && !opening.alone;
        let connection = schema::open(&index, config.max_bytes, |found| match found {
            Found::Nothing if is_used => Err(StoreError::Refused(format!(
                "{} is missing or empty, and another program, such as a server, has the store open: stop it first",
                index.display()
            ))),
            Found::Older if is_used => Err(StoreError::Refused(format!(
                "{} is as an older wasmilter made it, and that has it open: restart the running server first",
                index.display()
            ))),
            Found::Nothing => blobs.refuse_any(&index),
            Found::Older => Ok(()),
        })?;
        if usage == Use::Server {
            blobs.empty_staging()?;
            if opening.alone {
                let count = blobs.remove_orphans(&blobs::known_files(&connection)?)?;
                if count > 0 {
                    tracing::info!(
                        "{count} files in blobs/ removed that index.sqlite does not name"
                    );
                }
            }
        }
        drop(opening);
        let watchers = Arc::new(Watchers::default());
        Ok(Self {
            readers: Arc::new(Readers::new(index.clone(), config.readers.max(1))),
            writer: Writer::start(
                connection,
                &index,
                watchers.clone(),
                blobs.clone(),
                config.meter,
            )?,
            watchers,
            blobs,
            roster: directory.roster()?,
            directory,
        })
    }

    /// For a directory that was restored from a backup: UIDs that were given out since may be given out again, for other messages, and
    /// clients that know them must not take one for the other (RFC 3501 §2.3.1.1).
    pub async fn renew_uid_validity(&self) -> Result<(), StoreError> {
        self.writer.change(mailboxes::renew_uid_validity).await
    }

    /// Where messages are staged as they come in: on the same file system, so that taking them over copies nothing.
    pub fn staging(&self) -> &Path {
        self.blobs.staging()
    }

    /// For when the disk is short: has the log of the index give back what it takes up. Octets in the index that removed mail has left; new
    /// mail is written there before the index grows.
    pub fn reclaim(&self) -> u64 {
        self.writer.shorten_log();
        // What cannot be read is not counted on.
        schema::spare(&self.directory.index()).unwrap_or_default()
    }

    pub fn stats(&self) -> Stats {
        self.writer.stats()
    }
}

fn exists(config: &Config) -> Result<(), StoreError> {
    match directory::index_in(&config.directory).exists() {
        true => Ok(()),
        false => Err(StoreError::Refused(format!(
            "no store in {}; is data-dir right?",
            config.directory.display()
        ))),
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full,
            Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => {
                Self::Failed("another program holds the lock of the index for too long".into())
            }
            _ => Self::Failed(format!("index.sqlite: {error}")),
        }
    }
}

/// The error of a file or directory, with its path.
fn io_error(path: &Path, error: &std::io::Error) -> StoreError {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    match error.kind() {
        StorageFull | QuotaExceeded => StoreError::Full,
        _ => StoreError::Failed(format!("{}: {error}", path.display())),
    }
}
