//! Accounts that were looked up lately, so that not every recipient of a busy server costs a read of the index.
//! Remembers nobody who was not there, and does not read the index itself.

use super::io_error;
use crate::mail::Address;
use crate::store::{Account, StoreError};
use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Accounts that are remembered at once.
const MOST: usize = 10_000;

/// If the program that changed an account died before it could say so.
const BELIEVED: Duration = Duration::from_secs(10);

/// Any program that changes an account makes a file one octet longer that all of them have open: what was remembered of an older
/// length does not count.
pub struct Roster {
    changes: File,
    path: PathBuf,
    known: Mutex<Known>,
}

/// How long the file of changes is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Version(u64);

#[derive(Default)]
struct Known {
    version: Version,
    accounts: HashMap<Address, (Account, Instant)>,
}

impl Roster {
    /// `changes` is opened for appending.
    pub fn new(changes: File, path: PathBuf) -> Self {
        Self {
            changes,
            path,
            known: Mutex::default(),
        }
    }

    /// To be asked before the index is read.
    pub fn version(&self) -> Result<Version, StoreError> {
        let metadata = self.changes.metadata();
        let metadata = metadata.map_err(|error| io_error(&self.path, &error))?;
        Ok(Version(metadata.len()))
    }

    pub fn find(&self, login: &Address, version: Version) -> Option<Account> {
        let known = self.known();
        let (account, since) = known.accounts.get(login)?;
        let counts = known.version == version && since.elapsed() < BELIEVED;
        counts.then(|| account.clone())
    }

    /// As the index had it when the version was that one, or later.
    pub fn remember(&self, login: &Address, account: &Account, version: Version) {
        let mut known = self.known();
        if known.version != version || known.accounts.len() >= MOST {
            known.accounts.clear();
            known.version = version;
        }
        let entry = (account.clone(), Instant::now());
        known.accounts.insert(login.clone(), entry);
    }

    /// After the commit that changed or removed an account.
    pub fn changed(&self) -> Result<(), StoreError> {
        let written = (&self.changes).write_all(b".");
        written.map_err(|error| io_error(&self.path, &error))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
