//! Messages from where people keep them: a file with one, an mbox, a maildir, a folder of files. Changes nothing there.

use super::with_crlf;
use crate::mail::Content;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Each with a name to call it by: its file, and its number if the file is an mbox.
pub struct Messages {
    /// The next one last.
    files: Vec<PathBuf>,
    /// What is left of the mbox in hand, and the number of its next message.
    mbox: Option<(PathBuf, Vec<u8>, usize, usize)>,
    octets: u64,
    /// Of files that have been read, but for the mbox in hand.
    read: u64,
}

impl Messages {
    /// Files of a folder are taken by name; folders within it are not looked into, but `cur` and `new` of a maildir.
    pub fn of(paths: &[PathBuf]) -> io::Result<Self> {
        let mut files = Vec::new();
        for path in paths {
            let named = |error: io::Error| named(path, &error);
            if !path.is_dir() {
                files.push(path.clone());
                continue;
            }
            let maildir = ["cur", "new"].map(|part| path.join(part));
            if maildir.iter().all(|part| part.is_dir()) {
                for part in &maildir {
                    files.extend(in_folder(part).map_err(named)?);
                }
            } else {
                files.extend(in_folder(path).map_err(named)?);
            }
        }
        files.reverse();
        let sizes = files.iter().filter_map(|file| fs::metadata(file).ok());
        Ok(Self {
            octets: sizes.map(|file| file.len()).sum(),
            read: 0,
            files,
            mbox: None,
        })
    }

    /// Octets of all files.
    pub fn octets(&self) -> u64 {
        self.octets
    }

    /// How many of them the messages so far took.
    pub fn done(&self) -> u64 {
        let within = self.mbox.as_ref().map_or(0, |(_, _, at, _)| *at as u64);
        self.read.saturating_add(within)
    }

    fn read(&mut self) -> io::Result<Option<(String, Content)>> {
        loop {
            if let Some((path, octets, at, number)) = self.mbox.take() {
                if at >= octets.len() {
                    self.read = self.read.saturating_add(octets.len() as u64);
                    continue;
                }
                let (message, next) = first_of_mbox(&octets, at);
                let name = format!("{} #{number}", path.display());
                self.mbox = Some((path, octets, next, number + 1));
                return Ok(Some((name, Content::from_bytes(with_crlf(&message)))));
            }
            let Some(path) = self.files.pop() else {
                return Ok(None);
            };
            let octets = fs::read(&path).map_err(|error| named(&path, &error))?;
            if octets.starts_with(b"From ") {
                self.mbox = Some((path, octets, 0, 1));
                continue;
            }
            self.read = self.read.saturating_add(octets.len() as u64);
            let name = path.display().to_string();
            return Ok(Some((name, Content::from_bytes(with_crlf(&octets)))));
        }
    }
}

impl Iterator for Messages {
    type Item = io::Result<(String, Content)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn in_folder(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        // Expectations of cases lie beside their messages.
        if path.is_file() && !name.starts_with('.') && !name.ends_with(".toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The message that begins with the line `From ` at this place, without that line, and where the next one begins (RFC 4155).
fn first_of_mbox(octets: &[u8], at: usize) -> (Vec<u8>, usize) {
    let mut message = Vec::new();
    let mut end = at;
    let mut after_empty = false;
    let rest = octets.get(at..).unwrap_or_default();
    for (index, line) in rest.split_inclusive(|octet| *octet == b'\n').enumerate() {
        if index > 0 && after_empty && line.starts_with(b"From ") {
            break;
        }
        end += line.len();
        if index == 0 {
            continue;
        }
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        after_empty = text.strip_suffix(b"\r").unwrap_or(text).is_empty();
        // `>From ` was `From `, `>>From ` was `>From `.
        let unquoted = line.iter().position(|octet| *octet != b'>');
        let quoted = unquoted
            .and_then(|start| line.get(start..))
            .is_some_and(|text| text.starts_with(b"From "));
        let line = match line.strip_prefix(b">") {
            Some(shorter) if quoted => shorter,
            _ => line,
        };
        message.extend_from_slice(line);
    }
    // The empty line before the next `From ` is the format's.
    for ending in [&b"\r\n\r\n"[..], b"\n\n"] {
        if message.ends_with(ending) {
            message.truncate(message.len() - ending.len() / 2);
        }
    }
    (message, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(paths: &[PathBuf]) -> Vec<(String, String)> {
        let messages = Messages::of(paths).unwrap().map(|message| {
            let (name, content) = message.unwrap();
            let octets = content.read(0, usize::MAX).unwrap();
            let name = name.rsplit('/').next().unwrap().to_owned();
            (name, String::from_utf8(octets.to_vec()).unwrap())
        });
        messages.collect()
    }

    #[test]
    fn an_mbox_is_taken_apart() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("mbox");
        fs::write(
            &path,
            "From a@x Tue Nov 17\nSubject: 1\n\n>From me\n>>From you\nFrom here on\n\nFrom b@x Tue Nov 17\nSubject: 2\n\nend\n",
        )
        .unwrap();
        assert_eq!(
            read(&[path]),
            [
                (
                    "mbox #1".to_owned(),
                    "Subject: 1\r\n\r\nFrom me\r\n>From you\r\nFrom here on\r\n".to_owned()
                ),
                ("mbox #2".to_owned(), "Subject: 2\r\n\r\nend\r\n".to_owned()),
            ]
        );
    }

    #[test]
    fn maildirs_and_folders_are_read() {
        let home = tempfile::tempdir().unwrap();
        let maildir = home.path().join("mail");
        for part in ["cur", "new", "tmp"] {
            fs::create_dir_all(maildir.join(part)).unwrap();
            fs::write(maildir.join(part).join(format!("1.{part}")), "\nx\n").unwrap();
        }
        let names = |path: &Path| -> Vec<String> {
            read(&[path.to_owned()])
                .into_iter()
                .map(|read| read.0)
                .collect()
        };
        assert_eq!(names(&maildir), ["1.cur", "1.new"]);
        let cases = home.path().join("cases");
        fs::create_dir(&cases).unwrap();
        for name in ["b.eml", "a.eml", "a.toml", ".hidden"] {
            fs::write(cases.join(name), "\nx\n").unwrap();
        }
        assert_eq!(names(&cases), ["a.eml", "b.eml"]);
        let missing = Messages::of(&[home.path().join("none")]).unwrap().next();
        assert!(
            missing
                .unwrap()
                .unwrap_err()
                .to_string()
                .contains("none: No such file")
        );
    }
}
