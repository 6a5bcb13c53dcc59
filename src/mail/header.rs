//! The header of a message as a list of fields that can be edited, rendered as splices over the received octets, so that a field nobody
//! touched stays as it was to the octet. Understands unstructured text, not addresses or dates.

use super::{Content, FieldName, HeaderEdit, Line, Splice};
use bytes::Bytes;
use mail_builder::headers::{Header as _, text::Text};
use mail_parser::parsers::MessageStream;
use memchr::{memchr, memmem};
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
    fn new(name: &FieldName, value: &Line, origin: Origin) -> Self {
        let mut octets = format!("{name}: ").into_bytes();
        let written = octets.len();
        Text::new(value.as_str()).write_header(&mut octets, written);
        if !octets.ends_with(b"\r\n") {
            octets.extend_from_slice(b"\r\n");
        }
        Self {
            octets: octets.into(),
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
        let mut value = self.value().to_vec();
        value.extend_from_slice(b"\r\n");
        MessageStream::new(&value)
            .parse_unstructured()
            .into_text()
            .map(|text| text.trim().to_owned())
            .unwrap_or_default()
    }

    /// The whole field, last CRLF included.
    pub fn octets(&self) -> &Bytes {
        &self.octets
    }
}

/// The fields of a message as they stand. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Header {
    fields: Vec<Field>,
    received: Arc<[Range<u64>]>,
    end: u64,
}

impl Header {
    /// The most octets of a header that are looked at; what follows counts as body.
    pub const MAX: usize = 1024 * 1024;

    pub fn read(content: &Content) -> io::Result<Self> {
        let mut length = 16 * 1024;
        loop {
            let octets = content.read(0, length)?;
            let complete = (octets.len() as u64) == content.len() || length >= Self::MAX;
            if complete || memmem::find(&octets, b"\r\n\r\n").is_some() {
                return Ok(Self::parse(&octets));
            }
            length = Self::MAX;
        }
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
            fields,
            received: received.into(),
            end: start as u64,
        }
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
                self.fields.push(Field::new(name, value, Origin::Added));
            }
            HeaderEdit::Insert { at, name, value } => {
                let at = (*at as usize).min(self.fields.len());
                self.fields
                    .insert(at, Field::new(name, value, Origin::Added));
            }
            HeaderEdit::Change {
                name, nth, value, ..
            } => {
                let position = self.position(name.as_str(), *nth);
                let Some(field) = position.and_then(|at| self.fields.get_mut(at)) else {
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
                self.fields.remove(position);
            }
        }
        true
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
        for field in &self.fields {
            match field.origin {
                Origin::Added => inserted.extend_from_slice(&field.octets),
                Origin::Received(index) => {
                    emit(start(next), start(index), &mut inserted);
                    next = index + 1;
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
mod tests {
    use super::*;

    const MESSAGE: &str = "Received: from a\r\n\tby b\r\nsubject:  =?utf-8?q?Gr=C3=BC=C3=9Fe?= and\r\n more\r\nX-Odd : 1\r\nTo: a@b\r\nTo: c@d\r\n\r\nbody: not a field\r\n";

    fn name(name: &str) -> FieldName {
        FieldName::new(name).unwrap()
    }

    fn line(text: &str) -> Line {
        Line::new(text).unwrap()
    }

    fn edited(edits: &[HeaderEdit]) -> String {
        let content = Content::from_bytes(MESSAGE);
        let mut header = Header::read(&content).unwrap();
        for edit in edits {
            assert!(header.apply(edit));
        }
        let content = content.with_splices(header.splices()).unwrap();
        String::from_utf8(content.bytes().unwrap().to_vec()).unwrap()
    }

    fn add(field: &str, value: &str) -> HeaderEdit {
        HeaderEdit::Add {
            name: name(field),
            value: line(value),
        }
    }

    fn insert(at: u32, field: &str, value: &str) -> HeaderEdit {
        HeaderEdit::Insert {
            at,
            name: name(field),
            value: line(value),
        }
    }

    fn change(field: &str, nth: u32, value: &str) -> HeaderEdit {
        HeaderEdit::Change {
            name: name(field),
            nth,
            value: line(value),
            was: String::new(),
        }
    }

    fn remove(field: &str, nth: u32) -> HeaderEdit {
        HeaderEdit::Remove {
            name: name(field),
            nth,
            was: String::new(),
        }
    }

    #[test]
    fn fields_are_found_and_decoded() {
        let header = Header::parse(&Bytes::from_static(MESSAGE.as_bytes()));
        let names: Vec<_> = header.fields().iter().map(Field::name).collect();
        assert_eq!(names, ["Received", "subject", "X-Odd", "To", "To"]);
        let subject = header.nth("Subject", 1).unwrap();
        assert_eq!(subject.text(), "Grüße and more");
        assert_eq!(header.get("to").count(), 2);
        assert!(header.nth("To", 3).is_none() && header.nth("To", 0).is_none());
        assert_eq!(header.nth("x-odd", 1).unwrap().value(), b" 1");
    }

    #[test]
    fn an_untouched_message_needs_no_splice() {
        let header = Header::parse(&Bytes::from_static(MESSAGE.as_bytes()));
        assert!(header.splices().is_empty());
    }

    #[test]
    fn edits_leave_every_other_octet_alone() {
        let table: &[(&[HeaderEdit], &str, &str)] = &[
            (&[add("X-A", "1")], "To: c@d\r\n", "To: c@d\r\nX-A: 1\r\n"),
            (&[insert(0, "X-A", "1")], "Received:", "X-A: 1\r\nReceived:"),
            (&[insert(2, "X-A", "1")], "X-Odd :", "X-A: 1\r\nX-Odd :"),
            (&[insert(99, "X-A", "1")], "c@d\r\n", "c@d\r\nX-A: 1\r\n"),
            (&[change("To", 2, "e@f")], "To: c@d", "To: e@f"),
            (&[remove("to", 1)], "To: a@b\r\n", ""),
            (
                &[remove("to", 1), remove("to", 1)],
                "To: a@b\r\nTo: c@d\r\n",
                "",
            ),
            (
                &[change("To", 2, "e@f"), remove("To", 2)],
                "To: c@d\r\n",
                "",
            ),
            (
                &[
                    add("X-A", "1"),
                    change("X-A", 1, "2"),
                    insert(0, "X-A", "0"),
                ],
                "Received: from a\r\n\tby b\r\n",
                "X-A: 0\r\nReceived: from a\r\n\tby b\r\n",
            ),
        ];
        for (edits, from, to) in &table[..8] {
            assert_eq!(edited(edits), MESSAGE.replacen(from, to, 1), "{edits:?}");
        }
        let last = edited(table[8].0);
        assert!(last.starts_with("X-A: 0\r\nReceived:") && last.contains("X-A: 2\r\n\r\nbody"));
    }

    #[test]
    fn every_field_can_go() {
        let edits = [
            remove("Received", 1),
            remove("Subject", 1),
            remove("X-Odd", 1),
            remove("To", 1),
            remove("To", 1),
        ];
        assert_eq!(edited(&edits), "\r\nbody: not a field\r\n");
    }

    #[test]
    fn what_is_not_ascii_is_encoded_and_reads_back() {
        let text = edited(&[change("Subject", 1, "[спам] 全て")]);
        assert!(text.is_ascii(), "{text}");
        let header = Header::parse(&Bytes::from(text.into_bytes()));
        assert_eq!(header.nth("Subject", 1).unwrap().text(), "[спам] 全て");
    }

    #[test]
    fn long_values_are_folded() {
        let long = "word ".repeat(60);
        let text = edited(&[add("X-Long", long.trim())]);
        assert!(text.lines().all(|line| line.len() <= 78), "{text}");
        let header = Header::parse(&Bytes::from(text.into_bytes()));
        assert_eq!(header.nth("X-Long", 1).unwrap().text(), long.trim());
    }

    #[test]
    fn garbage_is_kept() {
        for garbage in [
            "From me Mon\r\nA: 1\r\n\r\n",
            "no colon",
            "\r\n",
            "",
            ": x\r\n\r\n",
            " lead\r\nA: 1",
        ] {
            let header = Header::parse(&Bytes::from(garbage));
            assert!(header.splices().is_empty(), "{garbage:?}");
        }
    }
}
