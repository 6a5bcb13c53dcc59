//! Removes files and parts of files that no message has any more, beside the writer: a thousand of them take some tenths of a second.

use super::shelves::{InFile, Shelves};
use crate::store::StoreError;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

pub struct Sweeper {
    /// None once it is to stop.
    files: Option<Sender<Vec<InFile>>>,
    thread: Option<JoinHandle<()>>,
}

impl Sweeper {
    pub fn start(shelves: Arc<Shelves>) -> Result<Self, StoreError> {
        let (files, doomed) = channel::<Vec<InFile>>();
        let work = move || {
            doomed
                .into_iter()
                .flatten()
                .for_each(|file| shelves.remove(&file));
        };
        let thread = std::thread::Builder::new()
            .name("store-sweeper".into())
            .spawn(work)
            .map_err(|error| StoreError::Failed(format!("no thread for the store: {error}")))?;
        Ok(Self {
            files: Some(files),
            thread: Some(thread),
        })
    }

    /// The index does not name them any more.
    pub fn remove(&self, files: Vec<InFile>) {
        // It ends after this only: nobody can be left without it.
        if let Some(sweeper) = &self.files {
            let _ = sweeper.send(files);
        }
    }
}

impl Drop for Sweeper {
    /// Once all is removed.
    fn drop(&mut self) {
        self.files = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
