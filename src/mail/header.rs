//! The header of a message as a list of fields that can be edited, rendered as splices over the received octets, so that a field nobody
//! touched stays as it was to the octet. Understands unstructured text, not addresses or dates.

mod changes;

pub use changes::FieldChange;

use super::{Content, FieldName, FieldValue, HeaderEdit, Splice, unstructured};
use bytes::Bytes;
use memchr::memchr;
use std::borrow::Cow;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// One field, its octets as they stand in the message, last CRLF included.
#[derive(Debug, Clone)]
pub struct Field {
    octets: Bytes,
    /// Where the name ends; 0 for a line that is not a field (such as mbox's `From `).
    colon: usize,
    origin: Origin,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Received(usize),
    Changed(usize),
    Added,
}

impl Field {
    fn new(name: &FieldName, value: &FieldValue, origin: Origin) -> Self {
        Self {
            octets: match value {
                FieldValue::Text(text) => unstructured::write(name.as_str(), text.as_str()).into(),
                FieldValue::AsWritten(written) => {
                    [name.as_str().as_bytes(), b":", written.octets(), b"\r\n"]
                        .concat()
                        .into()
                }
            },
            colon: name.as_str().len(),
            origin,
        }
    }

    /// As written; empty for a line that is not a field.
    pub fn name(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(
            self.octets
                .get(..self.colon)
                .unwrap_or_default()
                .trim_ascii_end(),
        )
    }

    pub fn is(&self, name: &str) -> bool {
        self.octets
            .get(..self.colon)
            .unwrap_or_default()
            .trim_ascii_end()
            .eq_ignore_ascii_case(name.as_bytes())
    }

    /// What follows the colon, folded as it is, without the last CRLF.
    pub fn value(&self) -> &[u8] {
        let start = if self.colon == 0 { 0 } else { self.colon + 1 };
        let value = self.octets.get(start..).unwrap_or_default();
        let value = value.strip_suffix(b"\n").unwrap_or(value);
        value.strip_suffix(b"\r").unwrap_or(value)
    }

    /// The value unfolded, trimmed, its encoded words decoded (RFC 2047).
    pub fn text(&self) -> String {
        unstructured::read(self.value())
    }

    /// The whole field, last CRLF included.
    pub fn octets(&self) -> &Bytes {
        &self.octets
    }
}

/// The fields of a message as they stand. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Header {
    /// Shared until an edit.
    fields: Arc<Vec<Field>>,
    received: Arc<[Range<u64>]>,
    end: u64,
    cut: bool,
}

impl Header {
    /// The most octets of a header that are looked at; what follows counts as body.
    pub const MAX: usize = 1024 * 1024;

    pub fn read(content: &Content) -> io::Result<Self> {
        let mut length = 16 * 1024;
        loop {
            let octets = content.read(0, length)?;
            let mut header = Self::parse(&octets);
            let read = octets.len() as u64;
            if header.end < read || read == content.len() {
                return Ok(header);
            }
            if length >= Self::MAX {
                header.forget_last();
                return Ok(header);
            }
            length = (4 * length).min(Self::MAX);
        }
    }

    /// Leaves out a field that is not all there, so that no edit lands in the middle of it.
    fn forget_last(&mut self) {
        self.cut = true;
        Arc::make_mut(&mut self.fields).pop();
        let received = self.received.split_last().map(|(_, rest)| rest.into());
        self.received = received.unwrap_or_default();
        self.end = self.received.last().map_or(0, |last| last.end);
    }

    /// Parses up to the empty line, or to the end if there is none.
    pub fn parse(octets: &Bytes) -> Self {
        let mut fields = Vec::new();
        let mut received = Vec::new();
        let mut start = 0;
        while let Some(rest) = octets.get(start..).filter(|rest| !rest.is_empty()) {
            if rest.starts_with(b"\r\n") || rest.starts_with(b"\n") {
                break;
            }
            let (length, colon) = first_field(rest);
            let end = start + length;
            fields.push(Field {
                octets: octets.slice(start..end),
                colon,
                origin: Origin::Received(received.len()),
            });
            received.push(start as u64..end as u64);
            start = end;
        }
        Self {
            fields: Arc::new(fields),
            received: received.into(),
            end: start as u64,
            cut: false,
        }
    }

    /// Octets of the fields as received.
    pub fn size(&self) -> u64 {
        self.end
    }

    /// Whether there is more of it than is looked at.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Octets of the received header, without the empty line that ends it.
    pub fn received_len(&self) -> u64 {
        self.end
    }

    pub fn get<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Field> {
        self.fields.iter().filter(move |field| field.is(name))
    }

    fn position(&self, name: &str, nth: u32) -> Option<usize> {
        let nth = (nth as usize).checked_sub(1)?;
        self.fields
            .iter()
            .enumerate()
            .filter(|(_, field)| field.is(name))
            .nth(nth)
            .map(|(position, _)| position)
    }

    /// The `nth` field of that name, counted from 1.
    pub fn nth(&self, name: &str, nth: u32) -> Option<&Field> {
        self.fields.get(self.position(name, nth)?)
    }

    /// False if the field that it is about is not there.
    pub fn apply(&mut self, edit: &HeaderEdit) -> bool {
        match edit {
            HeaderEdit::Add { name, value } => {
                let field = Field::new(name, value, Origin::Added);
                Arc::make_mut(&mut self.fields).push(field);
            }
            HeaderEdit::Insert { at, name, value } => {
                let at = (*at as usize).min(self.fields.len());
                let field = Field::new(name, value, Origin::Added);
                Arc::make_mut(&mut self.fields).insert(at, field);
            }
            HeaderEdit::Change {
                name, nth, value, ..
            } => {
                let Some(position) = self.position(name.as_str(), *nth) else {
                    return false;
                };
                let Some(field) = Arc::make_mut(&mut self.fields).get_mut(position) else {
                    return false;
                };
                let origin = match field.origin {
                    Origin::Received(index) | Origin::Changed(index) => Origin::Changed(index),
                    Origin::Added => Origin::Added,
                };
                *field = Field::new(name, value, origin);
            }
            HeaderEdit::Remove { name, nth, .. } => {
                let Some(position) = self.position(name.as_str(), *nth) else {
                    return false;
                };
                Arc::make_mut(&mut self.fields).remove(position);
            }
        }
        true
    }

    /// Where the received header ends: at the empty line, if there is one.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Whether its last line, edits applied, has no end.
    pub fn is_line_open(&self) -> bool {
        self.fields
            .last()
            .is_some_and(|field| !field.octets.ends_with(b"\n"))
    }

    /// What turns the received header into this one.
    pub fn splices(&self) -> Vec<Splice> {
        let mut splices = Vec::new();
        let mut inserted = Vec::new();
        let mut next = 0;
        let mut emit = |from: u64, to: u64, inserted: &mut Vec<u8>| {
            if from < to || !inserted.is_empty() {
                splices.push(Splice {
                    at: from,
                    remove: to - from,
                    insert: std::mem::take(inserted).into(),
                });
            }
        };
        let start = |index: usize| {
            self.received
                .get(index)
                .map_or(self.end, |range| range.start)
        };
        // A message can end in the middle of a line; what comes after that has to start another.
        let mut is_line_open = false;
        for field in self.fields.iter() {
            match field.origin {
                Origin::Added => {
                    if std::mem::take(&mut is_line_open) {
                        inserted.extend_from_slice(b"\r\n");
                    }
                    inserted.extend_from_slice(&field.octets);
                }
                Origin::Received(index) => {
                    emit(start(next), start(index), &mut inserted);
                    next = index + 1;
                    is_line_open = !field.octets.ends_with(b"\n");
                }
                Origin::Changed(index) => {
                    inserted.extend_from_slice(&field.octets);
                    emit(start(next), start(index + 1), &mut inserted);
                    next = index + 1;
                }
            }
        }
        emit(start(next), self.end, &mut inserted);
        splices
    }
}

/// The field that `rest` starts with: its octets, and of them those before the colon (0 for a line that is not a field).
pub(super) fn first_field(rest: &[u8]) -> (usize, usize) {
    let length = field_length(rest);
    let field = rest.get(..length).unwrap_or(rest);
    let line_end = memchr(b'\n', field).unwrap_or(length);
    let colon = field
        .get(..line_end)
        .and_then(|line| memchr(b':', line))
        .filter(|colon| is_field_name(field.get(..*colon).unwrap_or_default()))
        .unwrap_or(0);
    (length, colon)
}

/// Octets of the field that `rest` starts with: its line and the lines that continue it (RFC 5322 §2.2.3).
fn field_length(rest: &[u8]) -> usize {
    let mut end = 0;
    loop {
        match rest.get(end..).and_then(|rest| memchr(b'\n', rest)) {
            None => return rest.len(),
            Some(at) => end += at + 1,
        }
        if !matches!(rest.get(end), Some(b' ' | b'\t')) {
            return end;
        }
    }
}

fn is_field_name(name: &[u8]) -> bool {
    let name = name.trim_ascii_end();
    !name.is_empty() && name.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests;
