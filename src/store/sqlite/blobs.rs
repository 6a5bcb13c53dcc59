//! The octets of messages: in the index, in files that many share, or in files of their own. Stored once, and gone with the last message that
//! has them. Does not know what is in them.

use super::encoding::{signed, unsigned};
use super::io_error;
use super::packs::Packs;
use super::readers;
use super::shelves::{InFile, Part, Shelves, remove_file};
use super::sweeper::Sweeper;
use super::writer::{Change, When};
use crate::mail::Content;
use crate::private;
use crate::store::StoreError;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row};
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The most octets that go into the index.
const MAX_IN_INDEX: usize = 32 * 1024;
/// The most that go into a file with others; more have one of their own.
const MAX_IN_PACK: usize = 1024 * 1024;

/// The octets of a message, where the index can take them over.
#[derive(Debug)]
pub enum Landed {
    Memory(Bytes),
    File(Arc<Landing>),
}

/// When the index is to take these over.
pub fn when(landed: &[Landed]) -> When {
    match landed.iter().all(|one| matches!(one, Landed::Memory(_))) {
        true => When::WithOthers,
        false => When::AtOnce,
    }
}

/// Octets in a file that are on stable storage and that the index does not name yet. Removed when it is dropped, unless the index does then.
#[derive(Debug)]
pub struct Landing {
    file: InFile,
    shelves: Arc<Shelves>,
    kept: AtomicBool,
}

impl Landing {
    pub fn new(file: InFile, shelves: Arc<Shelves>) -> Self {
        Self {
            file,
            shelves,
            kept: AtomicBool::new(false),
        }
    }

    pub fn kept(&self) {
        self.kept.store(true, Relaxed);
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        if !self.kept.load(Relaxed) {
            self.shelves.remove(&self.file);
        }
    }
}

pub struct Blobs {
    shelves: Arc<Shelves>,
    staging: PathBuf,
    packs: Packs,
    sweeper: Sweeper,
}

impl Blobs {
    pub fn open(directory: PathBuf, staging: PathBuf) -> Result<Self, StoreError> {
        let shelves = Arc::new(Shelves::new(directory));
        Ok(Self {
            packs: Packs::start(shelves.clone())?,
            sweeper: Sweeper::start(shelves.clone())?,
            shelves,
            staging,
        })
    }

    pub fn staging(&self) -> &Path {
        &self.staging
    }

    /// The received octets of each content, those that the index does not hold synced in a file.
    pub async fn land(self: &Arc<Self>, contents: Vec<Content>) -> Result<Vec<Landed>, StoreError> {
        let mut landed = Vec::with_capacity(contents.len());
        for content in contents {
            landed.push(self.land_one(content).await?);
        }
        Ok(landed)
    }

    async fn land_one(self: &Arc<Self>, content: Content) -> Result<Landed, StoreError> {
        match content.in_memory() {
            Some(octets) if octets.len() <= MAX_IN_INDEX => {
                return Ok(Landed::Memory(octets.clone()));
            }
            Some(octets) if octets.len() <= MAX_IN_PACK => {
                return self.packs.land(octets.clone()).await.map(Landed::File);
            }
            _ => {}
        }
        let blobs = self.clone();
        tokio::task::spawn_blocking(move || blobs.land_file(&content).map(Landed::File))
            .await
            .map_err(|error| StoreError::Failed(format!("a write was broken off: {error}")))?
    }

    fn land_file(&self, content: &Content) -> Result<Arc<Landing>, StoreError> {
        let shelf_error = |error| io_error(self.shelves.directory(), &error);
        let (name, path) = self.shelves.fresh().map_err(shelf_error)?;
        let landing = Landing::new(InFile { name, part: None }, self.shelves.clone());
        self.write(content, &path)
            .and_then(|()| self.shelves.keep(&path))
            .map_err(|error| io_error(&path, &error))?;
        Ok(Arc::new(landing))
    }

    fn write(&self, content: &Content, path: &Path) -> io::Result<()> {
        if let Some((from, file)) = content.in_file() {
            // A file of ours does not change any more; of another one only the octets as they are now are wanted.
            let is_ours =
                from.starts_with(&self.staging) || from.starts_with(self.shelves.directory());
            if is_ours && fs::hard_link(from, path).is_ok() {
                return file.sync_all();
            }
        }
        let mut copy = private::create_new(path)?;
        if let Some((from, _)) = content.in_file() {
            io::copy(&mut File::open(from)?, &mut copy)?;
        } else if let Some(octets) = content.in_memory() {
            copy.write_all(octets)?;
        }
        copy.sync_all()
    }

    /// In one state of the index.
    pub fn reading<'a>(&'a self, index: &'a Connection) -> Reading<'a> {
        Reading {
            blobs: self,
            index,
            parts: Vec::new(),
        }
    }

    /// After the commit that took them out of the index.
    pub fn remove(&self, files: Vec<InFile>) {
        if !files.is_empty() {
            self.sweeper.remove(files);
        }
    }

    pub fn empty_staging(&self) -> Result<(), StoreError> {
        for path in entries(&self.staging)? {
            remove_file(&path);
        }
        Ok(())
    }

    /// Removes the files that the index does not name: an interrupted delivery's, or a removed message's. How many.
    pub fn remove_orphans(&self, known: &HashSet<String>) -> Result<usize, StoreError> {
        let mut orphans = self.files()?;
        orphans.retain(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            !known.contains(name.as_ref())
        });
        orphans.iter().for_each(|path| remove_file(path));
        Ok(orphans.len())
    }

    /// Before an index is made: a file of another one would be taken for an orphan.
    pub fn refuse_any(&self, index: &Path) -> Result<(), StoreError> {
        match self.files()?.len() {
            0 => Ok(()),
            count => Err(StoreError::Refused(format!(
                "{} has messages in it (files: {count}), but {} is missing or empty: put that index back, or move the files away",
                self.shelves.directory().display(),
                index.display()
            ))),
        }
    }

    fn files(&self) -> Result<Vec<PathBuf>, StoreError> {
        let mut files = Vec::new();
        for shelf in entries(self.shelves.directory())? {
            if shelf.is_dir() {
                files.extend(entries(&shelf)?);
            }
        }
        Ok(files)
    }

    pub fn disk_is_full(&self) -> bool {
        let probe = || -> io::Result<()> {
            let mut file = tempfile::tempfile_in(self.shelves.directory())?;
            file.write_all(&[0; 64 * 1024])?;
            file.sync_all()
        };
        probe().is_err_and(|error| {
            matches!(io_error(self.shelves.directory(), &error), StoreError::Full)
        })
    }
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, StoreError> {
    fs::read_dir(directory)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
        .map_err(|error| io_error(directory, &error))
}

/// Blobs as they are read, for one message.
pub struct Reading<'a> {
    blobs: &'a Blobs,
    index: &'a Connection,
    /// What of it lies in files that others share, by the blob.
    parts: Vec<(i64, InFile)>,
}

impl Reading<'_> {
    /// None: there is no such blob, or not any more.
    pub fn content(&mut self, id: i64) -> Result<Option<Content>, StoreError> {
        let found = self
            .index
            .prepare_cached("SELECT file, start, length, octets FROM blob WHERE id = ?1")?
            .query_row([id], |row| {
                Ok((in_file(row)?, row.get::<_, Option<Vec<u8>>>(3)?))
            })
            .optional()?;
        let file = match found {
            None => return Ok(None),
            Some((None, octets)) => {
                return Ok(Some(Content::from_bytes(octets.unwrap_or_default())));
            }
            Some((Some(file), _)) => file,
        };
        let path = self.blobs.shelves.path(&file.name);
        let opened = match file.part {
            None => Content::open(&path),
            Some(part) => read(&path, part).map(Content::from_bytes),
        };
        match opened {
            Ok(content) => {
                if file.part.is_some() {
                    self.parts.push((id, file));
                }
                Ok(Some(content))
            }
            Err(error) => {
                // Removed since this state of the index, unless the newest one has it still.
                readers::renew(self.index)?;
                match self.is_there(id, &file)? {
                    true => Err(io_error(&path, &error)),
                    false => Ok(None),
                }
            }
        }
    }

    /// Whether all of it is a message's: what is in a part may have been removed since this state of the index, and be a hole.
    /// To be asked last, for the connection reads the newest state from then on.
    pub fn ends_whole(self) -> Result<bool, StoreError> {
        if self.parts.is_empty() {
            return Ok(true);
        }
        readers::renew(self.index)?;
        for (id, file) in &self.parts {
            if !self.is_there(*id, file)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn is_there(&self, id: i64, file: &InFile) -> Result<bool, StoreError> {
        let found = self
            .index
            .prepare_cached("SELECT file, start, length FROM blob WHERE id = ?1")?
            .query_row([id], in_file)
            .optional()?;
        Ok(found.flatten().as_ref() == Some(file))
    }
}

fn read(path: &Path, part: Part) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    if part.start.saturating_add(part.length) > file.metadata()?.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let mut octets = vec![0; usize::try_from(part.length).map_err(io::Error::other)?];
    file.read_exact_at(&mut octets, part.start)?;
    // No message is nothing but NUL.
    if octets.iter().all(|octet| *octet == 0) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a hole at {}", part.start),
        ));
    }
    Ok(octets)
}

/// From the columns `file`, `start` and `length`, the first three of the row.
fn in_file(row: &Row<'_>) -> rusqlite::Result<Option<InFile>> {
    let Some(name) = row.get(0)? else {
        return Ok(None);
    };
    let (start, length): (i64, Option<i64>) = (row.get(1)?, row.get(2)?);
    let part = length.map(|length| Part {
        start: unsigned(start),
        length: unsigned(length),
    });
    Ok(Some(InFile { name, part }))
}

/// From one to the next: a file that many messages share has an entry in the index for each.
pub fn known_files(index: &Connection) -> Result<HashSet<String>, StoreError> {
    let mut statement = index.prepare(
        "WITH RECURSIVE known (file) AS (
             SELECT min(file) FROM blob INDEXED BY blob_file WHERE file IS NOT NULL
             UNION ALL SELECT (SELECT min(file) FROM blob INDEXED BY blob_file WHERE file > known.file)
                 FROM known WHERE file IS NOT NULL)
         SELECT file FROM known WHERE file IS NOT NULL",
    )?;
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
            (Some(&landing.file), None)
        }
    };
    let part = file.and_then(|file| file.part);
    let (splices, laid_over) = match kind {
        Kind::Received([]) => (None, None),
        Kind::Received(splices) => (Some(splices), None),
        Kind::LaidOver(received) => (None, Some(received)),
    };
    change
        .index
        .prepare_cached(
            "INSERT INTO blob (file, start, length, octets, splices, laid_over) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((
            file.map(|file| &file.name),
            part.map_or(0, |part| signed(part.start)),
            part.map(|part| signed(part.length)),
            octets,
            splices,
            laid_over,
        ))?;
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
             AND NOT EXISTS (SELECT 1 FROM quarantine WHERE blob = ?1) RETURNING file, start, length",
    )?;
    let mut laid_over = index
        .prepare_cached("DELETE FROM blob WHERE laid_over = ?1 RETURNING file, start, length")?;
    for blob in blobs {
        let Some(file) = delete.query_row([blob], in_file).optional()? else {
            continue;
        };
        let long: Vec<Option<InFile>> = laid_over
            .query_map([blob], in_file)?
            .collect::<Result<_, _>>()?;
        for file in long.into_iter().chain([file]).flatten() {
            change.unlink(file);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Config, SqliteStore};
    use super::*;
    use crate::mail::Address;
    use crate::store::{Append, FlagChange, FlagOp, Flags, MailboxName, Store};
    use tokio::sync::oneshot;

    /// In a file that others share, its room is given back while that file stays.
    #[tokio::test]
    async fn what_is_removed_before_it_is_read_is_gone_and_not_a_hole() {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(Config::new(directory.path())).unwrap();
        let alice = Address::parse("alice@example.test").unwrap();
        let alice = store.add_account(&alice, "x").await.unwrap();
        let inbox = MailboxName::new("INBOX").unwrap();
        let inbox = store.mailbox(alice, &inbox).await.unwrap().id;
        let message = Append {
            content: Content::from_bytes(vec![b'x'; MAX_IN_INDEX + 1]),
            flags: Flags::new(),
            internal_date: jiff::Timestamp::UNIX_EPOCH,
        };
        store.append(inbox, vec![message]).await.unwrap();

        let (begins, begun) = oneshot::channel();
        let (expunged, go_on) = oneshot::channel();
        let blobs = store.blobs.clone();
        let reading = store.readers.read(move |index| {
            let id = index.query_row("SELECT blob FROM message", [], |row| row.get(0))?;
            begins.send(()).unwrap();
            go_on.blocking_recv().unwrap();
            let mut reading = blobs.reading(index);
            // The hole is seen at once, if it is there by now.
            Ok(reading.content(id)?.is_some() && reading.ends_whole()?)
        });
        let expunging = async {
            begun.await.unwrap();
            let deleted = FlagChange {
                op: FlagOp::Add,
                flags: Flags::from(["\\Deleted".to_owned()]),
                unchanged_since: None,
            };
            store.store_flags(inbox, &[1], deleted).await.unwrap();
            store.expunge(inbox, None).await.unwrap();
            expunged.send(()).unwrap();
        };
        let (read, ()) = tokio::join!(reading, expunging);
        assert!(!read.unwrap());
    }
}
