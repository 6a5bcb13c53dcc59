//! The files whose names the index holds: where each stands, and the names of new ones.
//! Does not know what is in them.

use crate::private;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// From where to where in a file that many messages share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    pub start: u64,
    pub length: u64,
}

/// Octets outside of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InFile {
    pub name: String,
    /// None: the whole file.
    pub part: Option<Part>,
}

/// Parts begin at multiples of this, the block of most file systems, so that each can be given back without its neighbours.
pub const ALIGNED: u64 = 4096;

#[derive(Debug, Clone)]
pub struct Shelves {
    directory: PathBuf,
}

impl Shelves {
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub fn path(&self, name: &str) -> PathBuf {
        let shelf = name.get(..2).unwrap_or("00");
        self.directory.join(shelf).join(name)
    }

    /// A name that no file has, and the path for it.
    pub fn fresh(&self) -> io::Result<(String, PathBuf)> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)
            .map_err(|error| io::Error::other(format!("no random numbers: {error}")))?;
        let name = format!("{:032x}", u128::from_be_bytes(random));
        let path = self.path(&name);
        if let Some(shelf) = path.parent().filter(|shelf| !shelf.is_dir()) {
            private::directory(shelf)?;
            File::open(&self.directory)?.sync_all()?;
        }
        Ok((name, path))
    }

    /// Makes the name of a new file last.
    pub fn keep(&self, path: &Path) -> io::Result<()> {
        File::open(path.parent().unwrap_or(&self.directory))?.sync_all()
    }

    /// Once the index does not name it any more.
    pub fn remove(&self, file: &InFile) {
        let path = self.path(&file.name);
        match file.part {
            None => remove_file(&path),
            Some(part) => report(&path, give_back(&path, part)),
        }
    }
}

/// It may be gone already.
pub fn remove_file(path: &Path) {
    report(path, fs::remove_file(path));
}

fn report(path: &Path, removed: io::Result<()>) {
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "what is not needed any more could not be removed");
        }
        _ => {}
    }
}

/// Its room in the file system, where that can be done; elsewhere with the whole file, once none of it is needed.
fn give_back(path: &Path, part: Part) -> io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::Errno;
        let file = fs::OpenOptions::new().write(true).open(path)?;
        let length = part.length.next_multiple_of(ALIGNED);
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match fallocate(&file, hole, part.start, length) {
            Err(error) if error != Errno::OPNOTSUPP => return Err(error.into()),
            _ => {}
        }
    }
    let _ = (path, part);
    Ok(())
}
