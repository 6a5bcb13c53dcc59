//! The octets of a message: received ones in memory or in a file, never changed, with splices laid over them.
//! Knows nothing of what the octets mean.

use bytes::{Bytes, BytesMut};
use std::fs::File;
use std::io::{self, BufWriter, IntoInnerError, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// At `at` octets into the received message, leave out `remove` octets and put `insert` there.
#[derive(Debug, Clone, PartialEq)]
pub struct Splice {
    pub at: u64,
    pub remove: u64,
    pub insert: Insert,
}

/// Octets that a splice puts in, in memory or in a file. Clones share them.
#[derive(Debug, Clone)]
pub struct Insert(Base);

impl Insert {
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As a message of its own, for those who store both alike.
    pub fn content(&self) -> Content {
        Content {
            len: self.len(),
            base: self.0.clone(),
            splices: Arc::new([]),
        }
    }

    /// None if they are in a file.
    pub fn in_memory(&self) -> Option<&Bytes> {
        match &self.0 {
            Base::Memory(bytes) => Some(bytes),
            Base::File(_) => None,
        }
    }
}

/// Its received octets.
impl From<Content> for Insert {
    fn from(content: Content) -> Self {
        Self(content.base)
    }
}

impl<B: Into<Bytes>> From<B> for Insert {
    fn from(bytes: B) -> Self {
        Self(Base::Memory(bytes.into()))
    }
}

impl PartialEq for Insert {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Base::Memory(a), Base::Memory(b)) => a == b,
            (Base::File(a), Base::File(b)) => a.path == b.path,
            _ => false,
        }
    }
}

/// A message as it stands: the received octets with splices over them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Content {
    base: Base,
    splices: Arc<[Splice]>,
    len: u64,
}

#[derive(Debug, Clone)]
enum Base {
    Memory(Bytes),
    File(Arc<BaseFile>),
}

#[derive(Debug)]
struct BaseFile {
    file: File,
    path: PathBuf,
    len: u64,
    temporary: bool,
}

impl Drop for BaseFile {
    fn drop(&mut self) {
        if self.temporary {
            // It may have been moved away; then there is nothing left to do.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

impl Content {
    pub fn from_bytes(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self {
            len: bytes.len() as u64,
            base: Base::Memory(bytes),
            splices: Arc::new([]),
        }
    }

    /// The octets of a file that stays where it is and is not changed any more.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::from_file(File::open(path)?, path, false)
    }

    fn from_file(file: File, path: &Path, temporary: bool) -> io::Result<Self> {
        let len = file.metadata()?.len();
        let path = path.to_owned();
        Ok(Self {
            base: Base::File(Arc::new(BaseFile {
                file,
                path,
                len,
                temporary,
            })),
            splices: Arc::new([]),
            len,
        })
    }

    /// Octets, splices applied.
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The same received octets with other splices over them, which must be in order, apart, and within them.
    pub fn with_splices(&self, splices: Vec<Splice>) -> io::Result<Self> {
        let base_len = self.base_len();
        let (mut end, mut len) = (0, base_len);
        for splice in &splices {
            let next = splice.at.checked_add(splice.remove);
            match next {
                Some(next) if splice.at >= end && next <= base_len => end = next,
                _ => {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "splices overlap or reach past the end",
                    ));
                }
            }
            len = len - splice.remove + splice.insert.len();
        }
        Ok(Self {
            base: self.base.clone(),
            splices: splices.into(),
            len,
        })
    }

    pub fn splices(&self) -> &[Splice] {
        &self.splices
    }

    /// The message as received.
    pub fn received(&self) -> Self {
        Self {
            base: self.base.clone(),
            splices: Arc::new([]),
            len: self.base_len(),
        }
    }

    /// The received octets if they are in memory.
    pub fn in_memory(&self) -> Option<&Bytes> {
        match &self.base {
            Base::Memory(bytes) => Some(bytes),
            Base::File(_) => None,
        }
    }

    /// The file that holds the received octets, if one does.
    pub fn in_file(&self) -> Option<(&Path, &File)> {
        match &self.base {
            Base::Memory(_) => None,
            Base::File(base) => Some((&base.path, &base.file)),
        }
    }

    fn base_len(&self) -> u64 {
        self.base.len()
    }

    /// At most `length` octets from `offset`; fewer only at the end. Copies nothing where the octets lie in memory in one piece.
    pub fn read(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let end = offset.saturating_add(length as u64).min(self.len);
        if offset >= end {
            return Ok(Bytes::new());
        }
        if self.splices.is_empty() {
            return self.base.read(offset, end);
        }
        let mut out = BytesMut::with_capacity((end - offset) as usize);
        let mut position = 0; // in the message as it stands
        let mut base = 0; // in the received octets
        let mut take = |from: u64, piece: Piece<'_>| -> io::Result<()> {
            let to = from + piece.len();
            let (start, stop) = (from.max(offset), to.min(end));
            if start < stop {
                let (base, at) = match piece {
                    Piece::Inserted(insert) => (&insert.0, 0),
                    Piece::Received { at, .. } => (&self.base, at),
                };
                out.extend_from_slice(&base.read(at + (start - from), at + (stop - from))?);
            }
            Ok(())
        };
        for splice in self.splices.iter() {
            let kept = splice.at - base;
            take(
                position,
                Piece::Received {
                    at: base,
                    len: kept,
                },
            )?;
            position += kept;
            take(position, Piece::Inserted(&splice.insert))?;
            position += splice.insert.len();
            base = splice.at + splice.remove;
        }
        let len = self.base_len() - base;
        take(position, Piece::Received { at: base, len })?;
        Ok(out.freeze())
    }

    /// The whole message. For small ones, tests and tools.
    pub fn bytes(&self) -> io::Result<Bytes> {
        self.read(0, usize::MAX)
    }
}

impl Base {
    fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(base) => base.len,
        }
    }

    /// The range must lie within.
    fn read(&self, from: u64, to: u64) -> io::Result<Bytes> {
        match self {
            Self::Memory(bytes) => Ok(bytes.slice(from as usize..to as usize)),
            Self::File(base) => {
                let mut out = BytesMut::zeroed((to - from) as usize);
                base.file.read_exact_at(&mut out, from)?;
                Ok(out.freeze())
            }
        }
    }
}

enum Piece<'a> {
    Inserted(&'a Insert),
    Received { at: u64, len: u64 },
}

impl Piece<'_> {
    fn len(&self) -> u64 {
        match self {
            Self::Inserted(insert) => insert.len(),
            Self::Received { len, .. } => *len,
        }
    }
}

/// Takes a message in as it comes: in memory up to a limit, in a file of the staging directory past it.
#[derive(Debug)]
pub struct ContentBuilder {
    directory: PathBuf,
    memory_limit: usize,
    memory: BytesMut,
    /// What comes in short pieces, such as lines that begin with a dot, is not written piece by piece.
    file: Option<BufWriter<tempfile::NamedTempFile>>,
    len: u64,
}

impl ContentBuilder {
    pub fn new(directory: &Path, memory_limit: usize) -> Self {
        Self {
            directory: directory.to_owned(),
            memory_limit,
            memory: BytesMut::new(),
            file: None,
            len: 0,
        }
    }

    /// Octets so far.
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn push(&mut self, octets: &[u8]) -> io::Result<()> {
        self.len += octets.len() as u64;
        if self.file.is_none() && self.memory.len() + octets.len() > self.memory_limit {
            let file = tempfile::Builder::new()
                .prefix("staged-")
                .tempfile_in(&self.directory)?;
            let mut file = BufWriter::new(file);
            file.write_all(&self.memory)?;
            self.memory = BytesMut::new();
            self.file = Some(file);
        }
        match &mut self.file {
            Some(file) => file.write_all(octets),
            None => {
                self.memory.extend_from_slice(octets);
                Ok(())
            }
        }
    }

    pub fn finish(self) -> io::Result<Content> {
        match self.file {
            None => Ok(Content::from_bytes(self.memory.freeze())),
            Some(file) => {
                let file = file.into_inner().map_err(IntoInnerError::into_error)?;
                let (file, path) = file.keep().map_err(|error| error.error)?;
                Content::from_file(file, &path, true)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spliced(base: &[u8], splices: &[Splice]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut at = 0;
        for splice in splices {
            out.extend_from_slice(&base[at..splice.at as usize]);
            out.extend_from_slice(splice.insert.in_memory().unwrap());
            at = (splice.at + splice.remove) as usize;
        }
        out.extend_from_slice(&base[at..]);
        out
    }

    fn splices() -> impl Strategy<Value = (Vec<u8>, Vec<Splice>)> {
        let steps =
            proptest::collection::vec((0u64..9, 0u64..9, "[a-z]{0,7}"), 0..6).prop_map(|steps| {
                let mut end = 0;
                let splices: Vec<_> = steps
                    .into_iter()
                    .map(|(gap, remove, insert)| {
                        let at = end + gap;
                        end = at + remove;
                        Splice {
                            at,
                            remove,
                            insert: insert.into(),
                        }
                    })
                    .collect();
                (end, splices)
            });
        (steps, 0usize..20).prop_map(|((end, splices), rest)| {
            let base = (0..end as usize + rest).map(|i| b'A' + (i % 26) as u8);
            (base.collect(), splices)
        })
    }

    proptest! {
        #[test]
        fn any_range_reads_as_the_spliced_whole((base, splices) in splices(), offset in 0u64..80, length in 0usize..80) {
            let whole = spliced(&base, &splices);
            let content = Content::from_bytes(base).with_splices(splices).unwrap();
            prop_assert_eq!(content.len(), whole.len() as u64);
            let from = (offset as usize).min(whole.len());
            let to = (from + length).min(whole.len());
            prop_assert_eq!(&content.read(offset, length).unwrap()[..], &whole[from..to]);
        }
    }

    #[test]
    fn splices_that_overlap_are_refused() {
        let splice = |at, remove| Splice {
            at,
            remove,
            insert: Bytes::new().into(),
        };
        let content = Content::from_bytes("0123456789");
        assert!(
            content
                .with_splices(vec![splice(0, 5), splice(4, 1)])
                .is_err()
        );
        assert!(content.with_splices(vec![splice(8, 3)]).is_err());
        assert!(content.with_splices(vec![splice(u64::MAX, 3)]).is_err());
    }

    #[test]
    fn a_large_message_goes_to_a_file_that_is_removed_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let mut builder = ContentBuilder::new(directory.path(), 10);
        builder.push(b"0123456789").unwrap();
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
        builder.push(b"abc").unwrap();
        let content = builder.finish().unwrap();
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1);
        assert_eq!(&content.read(8, 4).unwrap()[..], b"89ab");
        drop(content);
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
    }
}
