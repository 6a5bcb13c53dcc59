//! Files that many messages share, for octets that are too many for the index, whose log would carry them twice, and too few for a file
//! and syncs of their own. One thread appends, and syncs at once what all who came meanwhile asked for.
//! What is in a pack, and what of it is still needed, is the index's business.

use super::blobs::Landing;
use super::io_error;
use super::shelves::{ALIGNED, InFile, Part, Shelves};
use crate::private;
use crate::store::StoreError;
use bytes::Bytes;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use tokio::sync::oneshot;

/// Octets in a pack past which another one is begun.
const FULL: u64 = 256 * 1024 * 1024;

/// Octets past which those who ask wait for the next sync.
const MOST: usize = 16 * 1024 * 1024;

type Landed = Result<Arc<Landing>, StoreError>;

struct Ask {
    octets: Bytes,
    answer: oneshot::Sender<Landed>,
}

pub struct Packs {
    /// None once it is to stop.
    asks: Option<Sender<Ask>>,
    thread: Option<JoinHandle<()>>,
}

impl Packs {
    pub fn start(shelves: Arc<Shelves>) -> Result<Self, StoreError> {
        let (asks, asked) = channel();
        let mut packer = Packer {
            shelves,
            pack: None,
        };
        let thread = std::thread::Builder::new()
            .name("store-packs".into())
            .spawn(move || packer.work(&asked))
            .map_err(|error| StoreError::Failed(format!("no thread for the store: {error}")))?;
        Ok(Self {
            asks: Some(asks),
            thread: Some(thread),
        })
    }

    /// When this returns `Ok`, the octets are on stable storage.
    pub async fn land(&self, octets: Bytes) -> Landed {
        let stopped = || StoreError::Failed("its packs are closed".into());
        let (answer, landed) = oneshot::channel();
        let asks = self.asks.as_ref().ok_or_else(stopped)?;
        asks.send(Ask { octets, answer }).map_err(|_| stopped())?;
        landed.await.map_err(|_| stopped())?
    }
}

impl Drop for Packs {
    fn drop(&mut self) {
        self.asks = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Where the thread works.
struct Packer {
    shelves: Arc<Shelves>,
    /// None: the next octets begin a new one.
    pack: Option<Pack>,
}

/// The file that is appended to, by nobody else.
struct Pack {
    name: String,
    path: PathBuf,
    file: File,
    end: u64,
}

impl Packer {
    fn work(&mut self, asked: &Receiver<Ask>) {
        while let Ok(first) = asked.recv() {
            let mut octets = first.octets.len();
            let mut group = vec![first];
            while octets < MOST
                && let Ok(ask) = asked.try_recv()
            {
                octets += ask.octets.len();
                group.push(ask);
            }
            self.append(group);
        }
    }

    fn append(&mut self, group: Vec<Ask>) {
        if self.pack.as_ref().is_some_and(|pack| pack.end >= FULL) {
            self.pack = None;
        }
        let mut written = Vec::with_capacity(group.len());
        for ask in group {
            match self.write(&ask.octets) {
                Ok(file) => written.push((file, ask.answer)),
                Err(error) => drop(ask.answer.send(Err(error))),
            }
        }
        let synced = self.sync();
        if synced.is_err() {
            // What a sync that failed has left of the file is not known.
            self.pack = None;
        }
        for (file, answer) in written {
            let landing = Arc::new(Landing::new(file, self.shelves.clone()));
            // Whoever has gone does not need it: what was written goes with the answer.
            let _ = answer.send(synced.clone().map(|()| landing));
        }
    }

    fn write(&mut self, octets: &[u8]) -> Result<InFile, StoreError> {
        let pack = match &mut self.pack {
            Some(pack) => pack,
            none => none.insert(Pack::begin(&self.shelves)?),
        };
        pack.write(octets)
            .map_err(|error| io_error(&pack.path, &error))
    }

    fn sync(&self) -> Result<(), StoreError> {
        let Some(pack) = &self.pack else {
            return Ok(());
        };
        let synced = pack.file.sync_data();
        synced.map_err(|error| io_error(&pack.path, &error))
    }
}

impl Pack {
    fn begin(shelves: &Shelves) -> Result<Self, StoreError> {
        let make = || {
            let (name, path) = shelves.fresh()?;
            let file = private::create_new(&path)?;
            shelves.keep(&path)?;
            Ok(Self {
                name,
                path,
                file,
                end: 0,
            })
        };
        make().map_err(|error| io_error(shelves.directory(), &error))
    }

    fn write(&mut self, octets: &[u8]) -> io::Result<InFile> {
        let part = Part {
            start: self.end,
            length: octets.len() as u64,
        };
        self.file.write_all_at(octets, part.start)?;
        self.end = (part.start + part.length).next_multiple_of(ALIGNED);
        Ok(InFile {
            name: self.name.clone(),
            part: Some(part),
        })
    }
}
