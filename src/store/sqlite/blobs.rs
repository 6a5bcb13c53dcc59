//! The octets of messages: in the index, or in files of their own if that is how they came. Stored once, and gone with the last message that has them.
//! Does not know what is in them.

use super::io_error;
use super::writer::Change;
use crate::mail::Content;
use crate::store::StoreError;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension};
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The most octets that go into the index; more go into a file.
const MAX_IN_INDEX: usize = 1024 * 1024;

/// The received octets of a message, where the index can take them over.
#[derive(Debug)]
pub enum Landed {
    Memory(Bytes),
    File(Arc<Landing>),
}

impl Landed {
    /// Octets that go into the index.
    pub fn in_index(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            Self::File(_) => 0,
        }
    }
}

/// A file that is on stable storage and that the index does not name yet. Removed when it is dropped, unless the index does then.
#[derive(Debug)]
pub struct Landing {
    name: String,
    path: PathBuf,
    kept: AtomicBool,
}

impl Landing {
    pub fn kept(&self) {
        self.kept.store(true, Relaxed);
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        if !self.kept.load(Relaxed) {
            remove_file(&self.path);
        }
    }
}

/// Where octets that land in a file come from.
enum Source<'a> {
    File(&'a Path, &'a File),
    Memory(&'a Bytes),
}

pub struct Blobs {
    directory: PathBuf,
    staging: PathBuf,
}

impl Blobs {
    pub fn new(directory: PathBuf, staging: PathBuf) -> Self {
        Self { directory, staging }
    }

    pub fn staging(&self) -> &Path {
        &self.staging
    }

    pub fn path(&self, name: &str) -> PathBuf {
        let shelf = name.get(..2).unwrap_or("00");
        self.directory.join(shelf).join(name)
    }

    /// The received octets of each content, those in files linked into the directory and synced, and long ones written there.
    pub async fn land(self: &Arc<Self>, contents: Vec<Content>) -> Result<Vec<Landed>, StoreError> {
        let here = |content: &Content| {
            let octets = content
                .in_memory()
                .filter(|octets| octets.len() <= MAX_IN_INDEX);
            octets.cloned().map(Landed::Memory)
        };
        if let Some(landed) = contents.iter().map(here).collect() {
            return Ok(landed);
        }
        let blobs = self.clone();
        let work = move || {
            let land = |content: &Content| match (content.in_file(), content.in_memory()) {
                (Some((path, file)), _) => {
                    blobs.land_file(Source::File(path, file)).map(Landed::File)
                }
                (None, Some(octets)) if octets.len() > MAX_IN_INDEX => {
                    blobs.land_file(Source::Memory(octets)).map(Landed::File)
                }
                _ => here(content)
                    .ok_or_else(|| StoreError::Failed("a message has no octets".into())),
            };
            contents.iter().map(land).collect()
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| StoreError::Failed(format!("a write was broken off: {error}")))?
    }

    fn land_file(&self, source: Source<'_>) -> Result<Arc<Landing>, StoreError> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|error| StoreError::Failed(format!("no random numbers: {error}")))?;
        let name = format!("{:032x}", u128::from_be_bytes(random));
        let path = self.path(&name);
        let landing = Landing {
            name,
            path: path.clone(),
            kept: AtomicBool::new(false),
        };
        // A file of ours does not change any more; of another one only the octets as they are now are wanted.
        let ours =
            |from: &Path| from.starts_with(&self.staging) || from.starts_with(&self.directory);
        let write = || -> io::Result<()> {
            let shelf = path.parent().unwrap_or(&self.directory);
            if !shelf.is_dir() {
                fs::create_dir_all(shelf)?;
                File::open(&self.directory)?.sync_all()?;
            }
            match source {
                Source::File(from, file) if ours(from) && fs::hard_link(from, &path).is_ok() => {
                    file.sync_all()?;
                }
                Source::File(from, _) => {
                    let mut copy = File::create_new(&path)?;
                    io::copy(&mut File::open(from)?, &mut copy)?;
                    copy.sync_all()?;
                }
                Source::Memory(octets) => {
                    let mut file = File::create_new(&path)?;
                    file.write_all(octets)?;
                    file.sync_all()?;
                }
            }
            File::open(shelf)?.sync_all()
        };
        write().map_err(|error| io_error(&path, &error))?;
        Ok(Arc::new(landing))
    }

    /// After the commit that took it out of the index.
    pub fn remove(&self, name: &str) {
        remove_file(&self.path(name));
    }

    pub fn empty_staging(&self) -> Result<(), StoreError> {
        for path in entries(&self.staging)? {
            remove_file(&path);
        }
        Ok(())
    }

    /// Removes the files that the index does not name: an interrupted delivery's, or a removed message's.
    pub fn remove_orphans(&self, known: &HashSet<String>) -> Result<(), StoreError> {
        for shelf in entries(&self.directory)?
            .into_iter()
            .filter(|path| path.is_dir())
        {
            for path in entries(&shelf)? {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                if !known.contains(name.as_ref()) {
                    remove_file(&path);
                }
            }
        }
        Ok(())
    }

    pub fn disk_is_full(&self) -> bool {
        let probe = || -> io::Result<()> {
            let mut file = tempfile::tempfile_in(&self.directory)?;
            file.write_all(&[0; 64 * 1024])?;
            file.sync_all()
        };
        probe().is_err_and(|error| matches!(io_error(&self.directory, &error), StoreError::Full))
    }
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, StoreError> {
    fs::read_dir(directory)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(|error| io_error(directory, &error))
}

fn remove_file(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "a file that is not needed any more could not be removed");
        }
        _ => {}
    }
}

pub fn known_files(index: &Connection) -> Result<HashSet<String>, StoreError> {
    let mut statement =
        index.prepare("SELECT file FROM blob INDEXED BY blob_file WHERE file IS NOT NULL")?;
    let names = statement.query_map([], |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}

/// What octets are in the index.
#[derive(Debug, Clone, Copy)]
pub enum Kind<'a> {
    /// Those of a message, with what its first version lays over them. No splices: there is no such version, or it stands elsewhere.
    Received(&'a [u8]),
    /// Put in by splices of this received message.
    LaidOver(i64),
}

/// Their id in the index.
pub fn insert(change: &mut Change<'_>, landed: &Landed, kind: Kind<'_>) -> Result<i64, StoreError> {
    let (file, octets) = match landed {
        Landed::Memory(bytes) => (None, Some(bytes.as_ref())),
        Landed::File(landing) => {
            change.keep(landing);
            (Some(landing.name.as_str()), None)
        }
    };
    let (splices, laid_over) = match kind {
        Kind::Received([]) => (None, None),
        Kind::Received(splices) => (Some(splices), None),
        Kind::LaidOver(received) => (None, Some(received)),
    };
    change
        .index
        .prepare_cached(
            "INSERT INTO blob (file, octets, splices, laid_over) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute((file, octets, splices, laid_over))?;
    Ok(change.index.last_insert_rowid())
}

pub fn insert_splices(
    index: &Connection,
    blob: i64,
    version: i64,
    splices: &[u8],
    long: Option<&[u8]>,
) -> Result<(), StoreError> {
    index
        .prepare_cached(
            "INSERT INTO splices (blob, version, splices, long) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute((blob, version, splices, long))?;
    Ok(())
}

/// Removes those of the blobs that no message has any more.
pub fn release(change: &mut Change<'_>, mut blobs: Vec<i64>) -> Result<(), StoreError> {
    blobs.sort_unstable();
    blobs.dedup();
    let index = change.index;
    let mut delete = index.prepare_cached(
        "DELETE FROM blob WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM message WHERE blob = ?1)
             AND NOT EXISTS (SELECT 1 FROM quarantine WHERE blob = ?1) RETURNING file",
    )?;
    let mut laid_over =
        index.prepare_cached("DELETE FROM blob WHERE laid_over = ?1 RETURNING file")?;
    for blob in blobs {
        let file: Option<Option<String>> = delete.query_row([blob], |row| row.get(0)).optional()?;
        let Some(file) = file else {
            continue;
        };
        let long: Vec<Option<String>> = laid_over
            .query_map([blob], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for file in long.into_iter().chain([file]).flatten() {
            change.unlink(file);
        }
    }
    Ok(())
}
