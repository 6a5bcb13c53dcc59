//! Which plugins are held to a version, whatever lies in the directory, and why. A file, so that it outlives the server.

use super::digest::Digest;
use super::loader;
use crate::private;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Pin {
    /// As in the history.
    pub id: Digest,
    pub version: String,
    pub at: Timestamp,
    pub why: String,
    /// The version that left its probation: the pin ends when yet another one lies in the directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<Digest>,
}

/// By the plugins' names.
pub type Pinned = BTreeMap<String, Pin>;

#[derive(Debug, Clone)]
pub struct Pins {
    path: PathBuf,
}

impl Pins {
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// None are there without the file. A file that cannot be read is an error: what it held must not be lost by writing it anew.
    pub fn read(&self) -> io::Result<Pinned> {
        match std::fs::read(&self.path) {
            Ok(json) => serde_json::from_slice(&json).map_err(|error| {
                io::Error::other(format!(
                    "{}: {error}; mend it or remove it",
                    self.path.display()
                ))
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Pinned::new()),
            Err(error) => Err(error),
        }
    }

    pub fn write(&self, pinned: &Pinned) -> io::Result<()> {
        if let Some(directory) = self.path.parent() {
            private::directory(directory)?;
        }
        loader::write_whole(&self.path, &serde_json::to_vec_pretty(pinned)?)
    }
}
