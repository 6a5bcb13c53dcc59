//! The data directory and who may use it: any number of programs at the same time, but only one server.
//! Does not look into the files.

use super::io_error;
use super::roster::Roster;
use crate::private;
use crate::store::StoreError;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    Server,
    Shared,
}

/// Holds its locks until it is dropped; the system drops them when the process ends in any way.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    _server: Option<File>,
    _user: File,
}

/// While it is there, nobody else gets past opening the directory.
#[derive(Debug)]
pub struct Opening {
    /// Nobody else has the directory open.
    pub alone: bool,
    _lock: File,
}

impl Directory {
    pub fn open(path: &Path, usage: Use) -> Result<(Self, Opening), StoreError> {
        let made = |directory: &Path| {
            private::directory(directory).map_err(|error| io_error(directory, &error))
        };
        // One that is there may hold what others use too, such as sockets.
        if !path.is_dir() {
            if let Some(above) = path.parent() {
                fs::create_dir_all(above).map_err(|error| io_error(above, &error))?;
            }
            made(path)?;
        }
        made(&path.join("blobs"))?;
        made(&path.join("staging"))?;
        let opening = lock_file(path, "lock.open")?;
        opening.lock().map_err(|error| io_error(path, &error))?;
        let server = match usage {
            Use::Shared => None,
            Use::Server => {
                let file = lock_file(path, "lock.server")?;
                match file.try_lock() {
                    Ok(()) => Some(file),
                    Err(TryLockError::WouldBlock) => {
                        return Err(StoreError::Refused(format!(
                            "another server uses the data directory {}: stop it, or give this one a data directory of its own",
                            path.display()
                        )));
                    }
                    Err(TryLockError::Error(error)) => return Err(io_error(path, &error)),
                }
            }
        };
        let user = lock_file(path, "lock.users")?;
        let alone = user.try_lock().is_ok();
        if alone {
            user.unlock().map_err(|error| io_error(path, &error))?;
        }
        user.lock_shared().map_err(|error| io_error(path, &error))?;
        Ok((
            Self {
                path: path.to_owned(),
                _server: server,
                _user: user,
            },
            Opening {
                alone,
                _lock: opening,
            },
        ))
    }

    pub fn index(&self) -> PathBuf {
        index_in(&self.path)
    }

    pub fn roster(&self) -> Result<Roster, StoreError> {
        let path = self.path.join("accounts.changes");
        let file = private::options().create(true).append(true).open(&path);
        let file = file.map_err(|error| io_error(&path, &error))?;
        Ok(Roster::new(file, path))
    }

    pub fn blobs(&self) -> PathBuf {
        self.path.join("blobs")
    }

    pub fn staging(&self) -> PathBuf {
        self.path.join("staging")
    }
}

pub fn index_in(directory: &Path) -> PathBuf {
    directory.join("index.sqlite")
}

fn lock_file(directory: &Path, name: &str) -> Result<File, StoreError> {
    let path = directory.join(name);
    // Whoever can read it could hold the lock.
    private::close(&path);
    private::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| io_error(&path, &error))
}
