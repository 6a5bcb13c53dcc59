//! The versions of each plugin that came into force, with their files: what a rollback goes back to. Decides nothing.
//! `NAME/ID/` holds `plugin.toml`, `filter.wasm` and `version.json`; the last few of each name are kept.

use super::digest::Digest;
use super::loader::{self, Files};
use crate::private;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Versions of one plugin.
const MOST: usize = 10;
/// In the state of a host.
pub const FOLDER: &str = "history";
const WASM: &str = "filter.wasm";
const NOTE: &str = "version.json";

#[derive(Debug, Clone)]
pub struct History {
    root: PathBuf,
}

/// A version as it came into force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Version {
    /// Of the component and the manifest together.
    pub id: Digest,
    pub version: String,
    /// Of the component.
    pub digest: Digest,
    /// The last time.
    pub in_force_at: Timestamp,
    /// It did well for as long as a new version is watched.
    pub passed: bool,
}

impl Version {
    /// By what an administrator calls it: its version, or the first digits of one of its digests.
    pub fn is_called(&self, name: &str) -> bool {
        let digits = |digest: &Digest| name.len() >= 4 && digest.to_string().starts_with(name);
        self.version == name || digits(&self.id) || digits(&self.digest)
    }
}

impl History {
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The one that came into force last comes first.
    pub fn of(&self, name: &str) -> Vec<Version> {
        let entries = fs::read_dir(self.root.join(name)).into_iter().flatten();
        let mut versions: Vec<Version> = entries
            .filter_map(|entry| {
                let note = fs::read(entry.ok()?.path().join(NOTE)).ok()?;
                serde_json::from_slice(&note).ok()
            })
            .collect();
        versions.sort_by_key(|version| std::cmp::Reverse(version.in_force_at));
        versions
    }

    /// The version that an administrator calls so.
    pub fn find(&self, name: &str, version: &str) -> Result<Version, String> {
        let known = self.of(name);
        let names: Vec<_> = known.iter().map(|known| known.version.clone()).collect();
        let found = known.into_iter().find(|known| known.is_called(version));
        found.ok_or_else(|| {
            format!(
                "{name} {version} is not among the versions that were in force here: {}",
                if names.is_empty() {
                    "none".to_owned()
                } else {
                    names.join(", ")
                }
            )
        })
    }

    /// Notes that a version is in force, and keeps its files. What it passed before, it has passed.
    /// Without files only what is known already can be noted.
    pub fn record(&self, name: &str, version: Version, files: Option<&Files>) -> io::Result<()> {
        let folder = self.folder(name, version.id);
        if let Some(known) = self.note(name, version.id) {
            let passed = version.passed || known.passed;
            write_note(&folder, &Version { passed, ..version })?;
        } else if let Some(files) = files {
            let aside = self
                .root
                .join(name)
                .join(format!(".{}", version.id.short()));
            if aside.exists() {
                fs::remove_dir_all(&aside)?;
            }
            private::directory(&aside)?;
            private::write(&aside.join(loader::MANIFEST), files.manifest.as_bytes())?;
            private::write(&aside.join(WASM), &files.bytes)?;
            write_note(&aside, &version)?;
            if folder.exists() {
                fs::remove_dir_all(&folder)?;
            }
            fs::rename(&aside, &folder)?;
        }
        for old in self.of(name).into_iter().skip(MOST) {
            fs::remove_dir_all(self.folder(name, old.id))?;
        }
        Ok(())
    }

    pub fn note(&self, name: &str, id: Digest) -> Option<Version> {
        self.of(name).into_iter().find(|version| version.id == id)
    }

    pub fn set_passed(&self, name: &str, id: Digest) -> io::Result<()> {
        match self.note(name, id) {
            Some(version) => {
                let passed = Version {
                    passed: true,
                    ..version
                };
                write_note(&self.folder(name, id), &passed)
            }
            None => Ok(()),
        }
    }

    /// What was in force before this version and did well; if none did, what was in force before it.
    pub fn before(&self, name: &str, id: Digest) -> Option<Version> {
        let mut others = self.of(name);
        others.retain(|version| version.id != id);
        let well = others.iter().position(|version| version.passed);
        others.into_iter().nth(well.unwrap_or(0))
    }

    /// The files of a version, whole.
    pub fn files(&self, name: &str, id: Digest) -> Result<(PathBuf, Files), String> {
        let folder = self.folder(name, id);
        let wasm = folder.join(WASM);
        let files = loader::files(&wasm, Some(&folder.join(loader::MANIFEST)))?;
        if files.fingerprint.id() != id {
            return Err(format!("{} is damaged", folder.display()));
        }
        Ok((wasm, files))
    }

    fn folder(&self, name: &str, id: Digest) -> PathBuf {
        self.root.join(name).join(id.to_string())
    }
}

/// Where the component of a version that was in force lies, with its manifest beside it. `state` is [`super::Config::state`].
pub fn former(state: &Path, name: &str, version: &str) -> Result<PathBuf, String> {
    let history = History::new(state.join(FOLDER));
    let found = history.find(name, version)?;
    history.files(name, found.id).map(|(wasm, _)| wasm)
}

fn write_note(folder: &Path, version: &Version) -> io::Result<()> {
    loader::write_whole(&folder.join(NOTE), &serde_json::to_vec_pretty(version)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::loader::Fingerprint;

    fn files(n: u8) -> Files {
        let manifest = format!("version = \"{n}\"");
        Files {
            fingerprint: Fingerprint {
                wasm: Digest::of(&[n]),
                manifest: Digest::of(manifest.as_bytes()),
            },
            bytes: [n][..].into(),
            manifest,
        }
    }

    fn version(n: u8, at: i64, passed: bool) -> Version {
        Version {
            id: files(n).fingerprint.id(),
            version: n.to_string(),
            digest: files(n).fingerprint.wasm,
            in_force_at: Timestamp::from_second(at).unwrap(),
            passed,
        }
    }

    #[test]
    fn the_last_versions_are_kept_whole() {
        let directory = tempfile::tempdir().unwrap();
        let history = History::new(directory.path().to_owned());
        assert!(history.of("a").is_empty());
        for n in 0..15 {
            history
                .record("a", version(n, i64::from(n), true), Some(&files(n)))
                .unwrap();
        }
        let names = |history: &History| -> Vec<String> {
            let versions = history.of("a").into_iter();
            versions.map(|version| version.version).collect()
        };
        assert_eq!(names(&history).len(), MOST);
        assert_eq!(names(&history)[0], "14");
        // An old one comes again.
        history
            .record("a", version(9, 100, false), Some(&files(9)))
            .unwrap();
        assert_eq!(names(&history)[..2], ["9", "14"]);
        assert!(history.of("a")[0].passed);
        let id = version(9, 0, true).id;
        let (_, kept) = history.files("a", id).unwrap();
        assert_eq!(
            (&kept.bytes[..], kept.manifest.as_str()),
            (&[9][..], "version = \"9\"")
        );
        let wasm = history.folder("a", id).join(WASM);
        fs::write(wasm, "other").unwrap();
        assert!(history.files("a", id).unwrap_err().contains("damaged"));
    }

    #[test]
    fn what_did_well_is_gone_back_to() {
        let directory = tempfile::tempdir().unwrap();
        let history = History::new(directory.path().to_owned());
        assert_eq!(history.before("a", version(1, 0, true).id), None);
        for (n, passed) in [(1, true), (2, false), (3, false)] {
            history
                .record("a", version(n, i64::from(n), passed), Some(&files(n)))
                .unwrap();
        }
        let before = |n: u8| history.before("a", version(n, 0, true).id).unwrap().version;
        assert_eq!((before(3).as_str(), before(1).as_str()), ("1", "3"));
        history.set_passed("a", version(2, 0, true).id).unwrap();
        assert_eq!(before(3), "2");
        let known = history.of("a");
        assert!(
            known[0].is_called("3")
                && known[0].is_called(known[0].id.to_string().get(..8).unwrap())
        );
        assert!(!known[0].is_called("2") && !known[0].is_called(""));
    }
}
