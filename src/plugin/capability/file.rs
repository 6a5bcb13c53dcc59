//! The operator's file on disk, as it was seen last. Does not wait for changes: whoever watches has it look.

use super::Grants;
use arc_swap::ArcSwap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const MAX_OCTETS: u64 = 1024 * 1024;
/// Looks at a file that keeps changing before it is left for later.
const MOST_LOOKS: u32 = 40;

/// Where grants come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Granting {
    /// From this file; without it plugins have what all have.
    File(PathBuf),
    /// Whatever a plugin asks for: where an author tries a plugin, and mail is none of anybody's.
    Everything,
}

impl Granting {
    /// What is granted before the file has been read.
    pub fn first(&self) -> Grants {
        match self {
            Self::File(path) => Grants::none(path),
            Self::Everything => Grants::everything(),
        }
    }

    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Everything => None,
        }
    }
}

impl Grants {
    /// What the file says now. One that is not there says nothing.
    pub fn read(path: &Path) -> Result<Self, String> {
        Self::parse(path, &text(path)?).map_err(|error| format!("{}, {error}", path.display()))
    }
}

/// The text of the file; none if it is not there, and its directory is.
pub fn text(path: &Path) -> Result<String, String> {
    let file = match File::open(path) {
        Ok(file) => file,
        // With all that it lies in gone, it says nothing about what it said.
        Err(error) if error.kind() == io::ErrorKind::NotFound && is_in_place(path) => {
            return Ok(String::new());
        }
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    let mut text = String::new();
    // A pipe has no length to ask for.
    match file.take(MAX_OCTETS + 1).read_to_string(&mut text) {
        Ok(length) if length as u64 > MAX_OCTETS => Err(format!(
            "{} is larger than {MAX_OCTETS} octets, the limit",
            path.display()
        )),
        Ok(_) => Ok(text),
        Err(error) => Err(format!("{}: {error}", path.display())),
    }
}

fn is_in_place(path: &Path) -> bool {
    let parent = path.parent();
    parent.is_some_and(|parent| parent.as_os_str().is_empty() || parent.is_dir())
}

/// What the file said last.
#[derive(Debug)]
pub struct GrantsFile {
    path: Option<PathBuf>,
    seen: Option<Result<String, String>>,
    /// Why what it says now is not in force.
    pub problem: Option<String>,
}

impl GrantsFile {
    pub fn new(granting: &Granting) -> Self {
        Self {
            path: granting.file().map(Path::to_owned),
            seen: None,
            problem: None,
        }
    }

    /// Whether it says something else than at the last look.
    pub async fn is_touched(&self) -> bool {
        match &self.path {
            Some(path) => self.seen.as_ref() != Some(&read(path).await),
            None => false,
        }
    }

    /// Puts into force what it says once two looks have seen the same. True if that is something else than before. What cannot be read leaves
    /// the former grants in force.
    pub async fn look(&mut self, settle: Duration, grants: &ArcSwap<Grants>) -> bool {
        let Some(path) = &self.path else {
            return false;
        };
        let mut now = read(path).await;
        if self.seen.as_ref() == Some(&now) {
            return false;
        }
        // At the first look there is nothing to be overtaken by.
        if self.seen.is_some() {
            for _ in 0..MOST_LOOKS {
                tokio::time::sleep(settle).await;
                let next = read(path).await;
                let same = next == now;
                now = next;
                if same {
                    break;
                }
            }
        }
        let parsed = now.clone().and_then(|text| {
            Grants::parse(path, &text).map_err(|error| format!("{}, {error}", path.display()))
        });
        let first = self.seen.replace(now).is_none();
        match parsed {
            Ok(parsed) => {
                self.problem = None;
                let parsed = Arc::new(parsed);
                let before = grants.swap(Arc::clone(&parsed));
                if !first && before != parsed {
                    tracing::info!("{}: other grants are in force", path.display());
                }
                before != parsed
            }
            Err(why) => {
                let meanwhile = match first {
                    true => "plugins are granted what all have, and no more",
                    false => "the former grants stay in force",
                };
                tracing::warn!("{why}; {meanwhile}");
                self.problem = Some(format!("{why}; {meanwhile}"));
                false
            }
        }
    }
}

async fn read(path: &Path) -> Result<String, String> {
    let path = path.to_owned();
    let work = move || {
        // A server reads it again and again, and would wait for who writes into it.
        let found = path.metadata();
        if found.is_ok_and(|found| found.file_type().is_fifo()) {
            return Err(format!("{} is a pipe and no file", path.display()));
        }
        text(&path)
    };
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(error.to_string()))
}
