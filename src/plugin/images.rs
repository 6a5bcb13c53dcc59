//! Start images on disk, so that a restart doesn't run `on-load` and take its snapshot again. Knows nothing of how they are made.
//! As with compiled code, who can write there decides what plugins do.

use super::digest::Digest;
use super::state::Profile;
use crate::private;
use sha2::{Digest as _, Sha256};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// Files that are kept; the oldest go first.
const MOST: usize = 200;

const SUM: usize = 32;
const IMAGE: u8 = b'I';
const EACH: u8 = b'E';

#[derive(Debug, Clone)]
pub struct Images {
    directory: PathBuf,
}

/// What came of a plugin's `on-load` the last time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    Image(Arc<[u8]>),
    /// No image could be made, and why.
    Each(String),
}

impl Images {
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Of all that an image depends on.
    pub fn key(profile: &Profile, component: &[u8]) -> Digest {
        let limits = profile.load;
        let depends = format!(
            "{} {} {} {:?} {} {}",
            env!("CARGO_PKG_VERSION"),
            profile.name,
            Digest::of(component),
            profile.mode,
            limits.memory,
            profile.config,
        );
        Digest::of(depends.as_bytes())
    }

    /// None for what is not there or damaged.
    pub fn get(&self, key: Digest) -> Option<Kept> {
        let octets = fs::read(self.path(key)).ok()?;
        let (sum, rest) = octets.split_at_checked(SUM)?;
        if Sha256::digest(rest).as_slice() != sum {
            tracing::warn!(
                "{}: a start image is damaged; it is made anew",
                self.path(key).display()
            );
            return None;
        }
        match rest.split_first()? {
            (&IMAGE, image) => Some(Kept::Image(image.into())),
            (&EACH, why) => Some(Kept::Each(String::from_utf8_lossy(why).into_owned())),
            _ => None,
        }
    }

    pub fn put(&self, key: Digest, kept: &Kept) -> io::Result<()> {
        private::directory(&self.directory)?;
        let (tag, octets) = match kept {
            Kept::Image(image) => (IMAGE, &image[..]),
            Kept::Each(why) => (EACH, why.as_bytes()),
        };
        let mut sum = Sha256::new();
        sum.update([tag]);
        sum.update(octets);
        let mut file = tempfile::NamedTempFile::new_in(&self.directory)?;
        file.write_all(&sum.finalize())?;
        file.write_all(&[tag])?;
        file.write_all(octets)?;
        file.persist(self.path(key)).map_err(|error| error.error)?;
        prune(&self.directory)
    }

    fn path(&self, key: Digest) -> PathBuf {
        self.directory.join(key.to_string())
    }
}

fn prune(directory: &Path) -> io::Result<()> {
    let mut files: Vec<(SystemTime, PathBuf)> = fs::read_dir(directory)?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.metadata().ok()?.modified().ok()?, entry.path()))
        })
        .collect();
    files.sort();
    let excess = files.len().saturating_sub(MOST);
    for (_, path) in files.into_iter().take(excess) {
        fs::remove_file(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_there_unless_it_was_damaged() {
        let directory = tempfile::tempdir().unwrap();
        let images = Images::new(directory.path().join("images"));
        let key = |n: usize| Digest::of(&[u8::try_from(n % 256).unwrap(), u8::from(n > 255)]);
        assert_eq!(images.get(key(0)), None);
        let image = Kept::Image(b"octets"[..].into());
        let each = Kept::Each("for a reason".to_owned());
        images.put(key(0), &image).unwrap();
        images.put(key(1), &each).unwrap();
        assert_eq!(images.get(key(0)), Some(image.clone()));
        assert_eq!(images.get(key(1)), Some(each));
        let path = images.path(key(0));
        let mut octets = fs::read(&path).unwrap();
        *octets.last_mut().unwrap() ^= 1;
        fs::write(&path, &octets).unwrap();
        assert_eq!(images.get(key(0)), None);
        fs::write(&path, "").unwrap();
        assert_eq!(images.get(key(0)), None);
        for n in 0..MOST + 20 {
            images.put(key(n), &image).unwrap();
        }
        assert_eq!(fs::read_dir(&images.directory).unwrap().count(), MOST);
    }
}
