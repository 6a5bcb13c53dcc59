//! Reads a decoded part by range: going forward costs each octet once, going back starts over.
//! Holds a window of what is decoded, never a part.

use super::charset::Charset;
use super::entity::{Entity, TransferEncoding};
use super::transfer::Transfer;
use crate::mail::Content;
use bytes::Bytes;
use std::io;
use std::ops::Range;

/// Encoded octets decoded at a time.
const CHUNK: usize = 64 * 1024;
/// The most octets that one read gives.
pub const MAX_READ: usize = 1024 * 1024;

/// What a part is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Form {
    Octets,
    /// UTF-8.
    Text,
}

/// How to decode a part.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub content: Content,
    pub body: Range<u64>,
    pub encoding: TransferEncoding,
    pub form: Form,
    pub charset: Option<String>,
}

impl Source {
    pub fn new(content: &Content, entity: &Entity, form: Form) -> Self {
        Self {
            content: content.clone(),
            body: entity.body.clone(),
            encoding: entity.transfer_encoding(),
            form,
            charset: entity.charset().map(str::to_owned),
        }
    }

    /// The whole of it, if it has no more octets than this and they stand in the message as they are to be read: ASCII, as most text is.
    fn plain(&self, most: usize) -> io::Result<Option<Bytes>> {
        let length = self.body.end.saturating_sub(self.body.start);
        let is_plain = self.encoding == TransferEncoding::Identity
            && Charset::has_ascii(self.charset.as_deref());
        match usize::try_from(length) {
            Ok(length) if is_plain && length <= most => {
                let octets = self.content.read(self.body.start, length)?;
                Ok(Some(octets).filter(|octets| octets.is_ascii()))
            }
            _ => Ok(None),
        }
    }
}

/// A decoded part, as far as it has been read.
pub(super) struct Reader {
    source: Source,
    transfer: Transfer,
    charset: Option<Charset>,
    /// Of the encoded body: what comes next.
    position: u64,
    is_finished: bool,
    /// What is decoded and may be asked for next; valid UTF-8 if the form is text.
    window: Vec<u8>,
    /// Where in the decoded part it starts.
    window_start: u64,
}

impl Reader {
    pub fn new(source: Source) -> Self {
        Self {
            transfer: Transfer::new(source.encoding),
            charset: match source.form {
                Form::Octets => None,
                Form::Text => Some(Charset::new(source.charset.as_deref())),
            },
            position: source.body.start,
            is_finished: false,
            window: Vec::new(),
            window_start: 0,
            source,
        }
    }

    /// At most `length` decoded octets (and never more than `MAX_READ`) from `offset`; none at the end. Text starts and ends with a
    /// whole character, and holds one at least.
    pub fn read(&mut self, offset: u64, length: usize) -> io::Result<Bytes> {
        if length == 0 {
            return Ok(Bytes::new());
        }
        if offset < self.window_start {
            *self = Self::new(self.source.clone());
        }
        let length = length.min(MAX_READ);
        // One character more than asked: it may be the first.
        let end = offset.saturating_add(length as u64 + 4);
        while !self.is_finished && self.window_end() < end {
            self.forget_before(offset);
            self.decode_chunk()?;
        }
        self.forget_before(offset);
        let start = (offset - self.window_start.min(offset)) as usize;
        let Some(rest) = self.window.get(start..) else {
            return Ok(Bytes::new());
        };
        let range = cut(rest, length, self.source.form);
        Ok(Bytes::copy_from_slice(rest.get(range).unwrap_or_default()))
    }

    /// The whole of it, if it has no more octets than this.
    pub fn read_all(&mut self, most: usize) -> io::Result<Option<Bytes>> {
        if let Some(plain) = self.source.plain(most)? {
            return Ok(Some(plain));
        }
        while !self.is_finished && self.window_start == 0 && self.window.len() <= most {
            self.decode_chunk()?;
        }
        let is_whole = self.is_finished && self.window_start == 0 && self.window.len() <= most;
        Ok(is_whole.then(|| std::mem::take(&mut self.window).into()))
    }

    fn window_end(&self) -> u64 {
        self.window_start + self.window.len() as u64
    }

    fn forget_before(&mut self, offset: u64) {
        let forgotten = offset.min(self.window_end()) - self.window_start.min(offset);
        // Moving what is left for every few octets read would cost more than it saves.
        if forgotten >= CHUNK as u64 || forgotten == self.window.len() as u64 {
            self.window.drain(..forgotten as usize);
            self.window_start += forgotten;
        }
    }

    fn decode_chunk(&mut self) -> io::Result<()> {
        let left = self.source.body.end.saturating_sub(self.position);
        let length = left.min(CHUNK as u64) as usize;
        let octets = self.source.content.read(self.position, length)?;
        self.position += octets.len() as u64;
        self.is_finished = octets.is_empty() || self.position >= self.source.body.end;
        match &mut self.charset {
            None => {
                self.transfer.push(&octets, &mut self.window);
                if self.is_finished {
                    self.transfer.finish(&mut self.window);
                }
            }
            Some(charset) => {
                let mut decoded = Vec::new();
                self.transfer.push(&octets, &mut decoded);
                if self.is_finished {
                    self.transfer.finish(&mut decoded);
                }
                let mut text = String::new();
                charset.push(&decoded, self.is_finished, &mut text);
                self.window.extend_from_slice(text.as_bytes());
            }
        }
        Ok(())
    }
}

/// What of `octets` to give for a read of `length` at their start: all of it, or whole characters.
pub(super) fn cut(octets: &[u8], length: usize, form: Form) -> Range<usize> {
    let end = length.min(octets.len());
    if form == Form::Octets {
        return 0..end;
    }
    let is_start = |at: &usize| octets.get(*at).is_none_or(|byte| byte & 0xc0 != 0x80);
    let next_start = |from: usize| (from..=octets.len()).find(is_start).unwrap_or(from);
    let start = next_start(0);
    let end = (start..=end.max(start))
        .rev()
        .find(is_start)
        .unwrap_or(start);
    match end > start {
        true => start..end,
        false => start..next_start((start + 1).min(octets.len())),
    }
}
