//! The parts of one message, decoded on demand for all who ask: what is small is decoded once and kept.
//! Decides nothing about who may read what.

use super::entity::{Entity, TransferEncoding};
use super::reader::{Form, MAX_READ, Reader, Source, cut};
use super::scan;
use crate::mail::Content;
use bytes::Bytes;
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};

/// A part that has no more octets decoded is kept.
const MAX_KEPT: usize = 256 * 1024;
/// The most octets kept of one message.
const MAX_KEPT_IN_ALL: usize = 4 * 1024 * 1024;
/// Parts too large to be kept that are read at the same time without starting over.
const MAX_READERS: usize = 4;

/// Why a part can't be read.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    #[error("the message has no part {0:?}: ask for one that the list of parts names")]
    NoSuchPart(String),
    #[error("reading the message: {0}")]
    Io(#[from] io::Error),
}

/// The structure of a message and its parts, shared by all who look at it.
pub struct Mime {
    content: Content,
    root: Entity,
    decoded: Mutex<Decoded>,
}

/// A body and what it is read as.
type Key = (u64, u64, Form);

#[derive(Default)]
struct Decoded {
    kept: HashMap<Key, Bytes>,
    kept_octets: usize,
    /// The one used last is the last.
    readers: Vec<(Key, Reader)>,
}

impl Mime {
    pub fn new(content: Content) -> io::Result<Self> {
        Ok(Self {
            root: scan(&content)?,
            content,
            decoded: Mutex::default(),
        })
    }

    /// The message itself.
    pub fn root(&self) -> &Entity {
        &self.root
    }

    /// What is not multipart, with its section number. An attached message counts as a leaf.
    pub fn leaves(&self) -> Vec<(String, &Entity)> {
        self.root.leaves()
    }

    /// The part with this section number, such as "1.2", if it is not multipart. Parts of attached messages are found too.
    pub fn leaf(&self, path: &str) -> Result<&Entity, PartError> {
        let no_such_part = || PartError::NoSuchPart(path.to_owned());
        let section = Entity::section(path).ok_or_else(no_such_part)?;
        self.root
            .find(&section)
            .filter(|entity| !entity.is_multipart())
            .ok_or_else(no_such_part)
    }

    /// The part's text in UTF-8, transfer encoding and charset decoded: at most `length` octets of it (and at most 1 MiB) from `offset`, cut
    /// at a character's end, but one character at least. Empty at the end. The charset of a part that is not text counts as UTF-8.
    pub fn text(&self, path: &str, offset: u64, length: usize) -> Result<String, PartError> {
        let octets = self.read(path, Form::Text, offset, length)?;
        // It is UTF-8 already, which is quicker to see than to make sure of.
        Ok(String::from_utf8(octets.into())
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    /// The part's octets, transfer encoding decoded, in the same way.
    pub fn octets(&self, path: &str, offset: u64, length: usize) -> Result<Bytes, PartError> {
        self.read(path, Form::Octets, offset, length)
    }

    fn read(&self, path: &str, form: Form, offset: u64, length: usize) -> Result<Bytes, PartError> {
        let length = length.min(MAX_READ);
        let entity = self.leaf(path)?;
        if form == Form::Octets && entity.transfer_encoding() == TransferEncoding::Identity {
            let left = (entity.body.end - entity.body.start).saturating_sub(offset);
            let length = left.min(length as u64) as usize;
            return Ok(self
                .content
                .read(entity.body.start.saturating_add(offset), length)?);
        }
        let key = (entity.body.start, entity.body.end, form);
        let source = || Source::new(&self.content, entity, form);
        // What a panic can have left there is a reader; it starts over if it has to.
        let mut decoded = self.decoded.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(decoded.read(key, source, offset, length)?)
    }
}

impl Decoded {
    fn read(
        &mut self,
        key: Key,
        source: impl Fn() -> Source,
        offset: u64,
        length: usize,
    ) -> io::Result<Bytes> {
        if let Some(whole) = self.kept.get(&key) {
            return Ok(slice(whole, key.2, offset, length));
        }
        let mut reader = match self.readers.iter().position(|(of, _)| *of == key) {
            Some(at) => self.readers.remove(at).1,
            None => {
                let mut reader = Reader::new(source());
                let most = MAX_KEPT.min(MAX_KEPT_IN_ALL - self.kept_octets);
                if let Some(whole) = reader.read_all(most)? {
                    let octets = slice(&whole, key.2, offset, length);
                    self.kept_octets += whole.len();
                    self.kept.insert(key, whole);
                    return Ok(octets);
                }
                reader
            }
        };
        let octets = reader.read(offset, length)?;
        if self.readers.len() >= MAX_READERS {
            self.readers.remove(0);
        }
        self.readers.push((key, reader));
        Ok(octets)
    }
}

fn slice(whole: &Bytes, form: Form, offset: u64, length: usize) -> Bytes {
    let offset = usize::try_from(offset).unwrap_or(usize::MAX);
    let Some(rest) = whole.get(offset..).filter(|_| length > 0) else {
        return Bytes::new();
    };
    let range = cut(rest, length, form);
    whole.slice(offset + range.start..offset + range.end)
}

impl fmt::Debug for Mime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mime")
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}
