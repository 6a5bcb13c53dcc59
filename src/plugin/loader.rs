//! The plugin directory: `NAME/plugin.toml` with `NAME/*.wasm`, or a bare `NAME.wasm`. Finds and reads; judges nothing but whether
//! the files are there.

use super::digest::Digest;
use rustix::fs::{Mode, OFlags};
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Larger files are not plugins: an interpreter with its library has 20 MB.
const MAX_WASM: u64 = 256 * 1024 * 1024;
const MAX_MANIFEST: u64 = 16 * 1024 * 1024;

pub const MANIFEST: &str = "plugin.toml";

/// Where a plugin lies, and what tells whether its files have been touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The name of its folder, or of its file without `.wasm`.
    pub key: String,
    /// The file, or what is wrong with the folder.
    pub wasm: Result<PathBuf, String>,
    pub manifest: Option<PathBuf>,
    stamps: Vec<Stamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    len: u64,
    /// Seconds and nanoseconds of the last change of content or attributes.
    changed: (i64, i64),
}

/// What a version of a plugin is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    pub wasm: Digest,
    pub manifest: Digest,
}

impl Fingerprint {
    /// One for both.
    pub fn id(&self) -> Digest {
        Digest::of(format!("{} {}", self.wasm, self.manifest).as_bytes())
    }
}

/// A plugin's files as read.
#[derive(Debug, Clone)]
pub struct Source {
    pub key: String,
    pub path: Option<PathBuf>,
    pub files: Result<Files, String>,
}

#[derive(Debug, Clone)]
pub struct Files {
    pub bytes: Arc<[u8]>,
    pub manifest: String,
    pub fingerprint: Fingerprint,
}

impl Source {
    /// Equal for two looks between which nothing changed.
    pub fn state(&self) -> (&str, Result<Fingerprint, &str>) {
        let files = self.files.as_ref();
        (
            &self.key,
            files.map(|files| files.fingerprint).map_err(String::as_str),
        )
    }
}

/// Sorted by key.
pub fn scan(directory: &Path) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let Some(name) = path.file_name().and_then(OsStr::to_str) else {
            continue;
        };
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            found.extend(folder(name, &path));
        } else if let Some(stem) = name.strip_suffix(".wasm") {
            found.push(Found {
                key: stem.to_owned(),
                stamps: stamp(&path).into_iter().collect(),
                wasm: Ok(path),
                manifest: None,
            });
        }
    }
    found.sort_by(|a, b| (&a.key, a.manifest.is_none()).cmp(&(&b.key, b.manifest.is_none())));
    let mut last: Option<String> = None;
    for plugin in &mut found {
        if last.as_ref() == Some(&plugin.key) {
            plugin.wasm = Err(format!(
                "there is a folder {0} beside the file {0}.wasm: remove one of them",
                plugin.key
            ));
            plugin.key = format!("{}.wasm", plugin.key);
        } else {
            last = Some(plugin.key.clone());
        }
    }
    Ok(found)
}

/// The plugin at a path: a folder as it would lie in the plugin directory, or a component with the `plugin.toml` beside it.
pub fn at(path: &Path) -> Result<Found, String> {
    let name = |path: &Path| path.file_name().and_then(OsStr::to_str).map(str::to_owned);
    if path.is_dir() {
        // `.` has no name of its own.
        let key = fs::canonicalize(path).ok().as_deref().and_then(name);
        return folder(key.as_deref().unwrap_or("plugin"), path).ok_or_else(|| {
            format!(
                "{} has no .wasm file and no {MANIFEST}: it is not a plugin's folder",
                path.display()
            )
        });
    }
    let manifest = Some(path.with_file_name(MANIFEST)).filter(|path| path.is_file());
    let key = path.file_stem().and_then(OsStr::to_str);
    Ok(Found {
        key: key.unwrap_or("plugin").to_owned(),
        wasm: Ok(path.to_owned()),
        manifest,
        stamps: Vec::new(),
    })
}

/// None for a folder that has nothing of a plugin.
fn folder(name: &str, path: &Path) -> Option<Found> {
    // Whatever it is: one that cannot be read is not the same as none.
    let manifest = Some(path.join(MANIFEST)).filter(|path| path.symlink_metadata().is_ok());
    let mut files: Vec<PathBuf> = fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension() == Some(OsStr::new("wasm")))
        .filter(|path| {
            let name = path.file_name().and_then(OsStr::to_str);
            !name.is_some_and(|name| name.starts_with('.'))
        })
        .collect();
    files.sort();
    let wasm = match files.as_slice() {
        [] if manifest.is_none() => return None,
        [] => Err(format!(
            "{} has a {MANIFEST} but no .wasm file",
            path.display()
        )),
        [file] => Ok(file.clone()),
        several => Err(format!(
            "{} has {} .wasm files: a plugin is one",
            path.display(),
            several.len()
        )),
    };
    let paths = wasm.iter().chain(&manifest);
    Some(Found {
        key: name.to_owned(),
        stamps: paths.filter_map(|path| stamp(path)).collect(),
        wasm,
        manifest,
    })
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    Some(Stamp {
        inode: metadata.ino(),
        len: metadata.len(),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

/// Reads what `scan` found.
pub fn read(found: Found) -> Source {
    let path = found.wasm.as_ref().ok().cloned();
    let files = found
        .wasm
        .and_then(|wasm| files(&wasm, found.manifest.as_deref()));
    Source {
        key: found.key,
        path,
        files,
    }
}

/// A component and its manifest, if there is one.
pub fn files(wasm: &Path, manifest: Option<&Path>) -> Result<Files, String> {
    let bytes = limited(wasm, MAX_WASM)?;
    let manifest = match manifest {
        None => String::new(),
        Some(path) => String::from_utf8(limited(path, MAX_MANIFEST)?)
            .map_err(|_| format!("{} is not UTF-8", path.display()))?,
    };
    Ok(Files {
        fingerprint: Fingerprint {
            wasm: Digest::of(&bytes),
            manifest: Digest::of(manifest.as_bytes()),
        },
        bytes: bytes.into(),
        manifest,
    })
}

/// A file is the old one or the new one, whatever happens.
pub fn write_whole(path: &Path, octets: &[u8]) -> io::Result<()> {
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(directory.unwrap_or(Path::new(".")))?;
    file.write_all(octets)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn limited(path: &Path, limit: u64) -> Result<Vec<u8>, String> {
    let fail = |error: io::Error| format!("{}: {error}", path.display());
    // A pipe would have us wait for who writes into it, a device may have no end.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags, Mode::empty());
    let file = fs::File::from(file.map_err(|error| fail(error.into()))?);
    if !file.metadata().map_err(fail)?.is_file() {
        return Err(format!("{} is no regular file", path.display()));
    }
    let mut octets = Vec::new();
    // It may grow while it is read.
    let len = file
        .take(limit + 1)
        .read_to_end(&mut octets)
        .map_err(fail)?;
    if len as u64 > limit {
        return Err(format!(
            "{} has more than {limit} octets, the limit",
            path.display()
        ));
    }
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(directory: &Path) -> Vec<(String, bool)> {
        let found = scan(directory).unwrap();
        found
            .into_iter()
            .map(|found| (found.key, found.wasm.is_ok()))
            .collect()
    }

    #[test]
    fn folders_and_bare_files_are_found() {
        let directory = tempfile::tempdir().unwrap();
        let at = |path: &str| directory.path().join(path);
        for folder in ["full", "bare", "no-wasm", "empty", "two", ".hidden"] {
            fs::create_dir(at(folder)).unwrap();
        }
        for file in [
            "full/plugin.toml",
            "full/full.wasm",
            "bare/x.wasm",
            "no-wasm/plugin.toml",
            "two/a.wasm",
            "two/b.wasm",
            ".hidden/a.wasm",
            "alone.wasm",
            ".alone.wasm.part",
            "README.md",
        ] {
            fs::write(at(file), "x").unwrap();
        }
        let expected = [
            ("alone", true),
            ("bare", true),
            ("full", true),
            ("no-wasm", false),
            ("two", false),
        ];
        assert_eq!(
            keys(directory.path()),
            expected.map(|(key, fine)| (key.to_owned(), fine))
        );
    }

    #[test]
    fn a_file_beside_a_folder_of_its_name_is_not_taken() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("a")).unwrap();
        fs::write(directory.path().join("a/plugin.toml"), "").unwrap();
        fs::write(directory.path().join("a/a.wasm"), "x").unwrap();
        fs::write(directory.path().join("a.wasm"), "x").unwrap();
        let expected = [("a".to_owned(), true), ("a.wasm".to_owned(), false)];
        assert_eq!(keys(directory.path()), expected);
    }

    #[test]
    fn a_touched_file_shows_in_the_scan() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.wasm");
        fs::write(&file, "x").unwrap();
        let before = scan(directory.path()).unwrap();
        assert_eq!(before, scan(directory.path()).unwrap());
        fs::write(&file, "xy").unwrap();
        assert_ne!(before, scan(directory.path()).unwrap());
    }
}
