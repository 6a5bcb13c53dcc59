//! What changes of single parts mean for the octets of a message: splices, and not an octet more than they have to.
//! Encodes nothing and knows no filters.

use super::encode::encode;
use super::entity::{Entity, Inside};
use super::media_type::MediaType;
use crate::mail::header::first_field;
use crate::mail::{Content, Splice};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

/// The most octets of a part's header whose fields are kept; of a longer one none is.
const MAX_HEADER: u64 = 1024 * 1024;

/// What becomes of a part.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::mail) enum NewPart {
    /// It holds this, encoded already; its fields that say nothing of its content stay.
    Replaced {
        content_type: String,
        encoding: String,
        octets: Bytes,
    },
    /// A text stands in its place.
    Note { encoding: String, octets: Bytes },
    /// It is gone; the last part of a multipart, or what is not in one, is an empty text.
    Gone,
}

impl NewPart {
    pub fn note(text: &str) -> Self {
        let (encoding, octets) = encode(true, text.as_bytes());
        Self::Note {
            encoding: encoding.to_owned(),
            octets,
        }
    }
}

/// In order. A part inside of one that is changed too is not looked at. The header of the message itself is not touched.
pub(in crate::mail) fn rebuild(
    received: &Content,
    root: &Entity,
    changes: &BTreeMap<Vec<u32>, NewPart>,
) -> io::Result<Vec<Splice>> {
    let mut rebuild = Rebuild {
        received,
        changes,
        section: Vec::new(),
        splices: Vec::new(),
    };
    match &root.inside {
        Inside::Parts(parts) => rebuild.parts(parts)?,
        _ => match changes.get([1].as_slice()) {
            Some(change) => rebuild.body_of_root(root, change),
            None => rebuild.inside_of_message(root)?,
        },
    }
    Ok(rebuild.splices)
}

struct Rebuild<'a> {
    received: &'a Content,
    changes: &'a BTreeMap<Vec<u32>, NewPart>,
    /// Of the entity at hand.
    section: Vec<u32>,
    splices: Vec<Splice>,
}

impl Rebuild<'_> {
    fn splice(&mut self, range: Range<u64>, insert: Bytes) {
        if range.start < range.end || !insert.is_empty() {
            self.splices.push(Splice {
                at: range.start,
                remove: range.end.saturating_sub(range.start),
                insert: insert.into(),
            });
        }
    }

    /// One octet; none at the end.
    fn octet(&self, at: u64) -> io::Result<Option<u8>> {
        Ok(self.received.read(at, 1)?.first().copied())
    }

    /// A part of a multipart, or a message that an attached message carries: no recursion is deeper than the tree, which is bounded.
    fn entity(&mut self, entity: &Entity) -> io::Result<()> {
        match (&entity.inside, self.changes.get(&self.section)) {
            (Inside::Parts(parts), _) => self.parts(parts),
            (_, Some(change)) => self.part(entity, change),
            (Inside::Message(message), None) => self.message(message),
            (Inside::Leaf, None) => Ok(()),
        }
    }

    fn message(&mut self, message: &Entity) -> io::Result<()> {
        match &message.inside {
            Inside::Parts(parts) => self.parts(parts),
            _ => {
                self.section.push(1);
                let done = self.entity(message);
                self.section.pop();
                done
            }
        }
    }

    /// The message itself is of type message/rfc822.
    fn inside_of_message(&mut self, root: &Entity) -> io::Result<()> {
        let Inside::Message(message) = &root.inside else {
            return Ok(());
        };
        self.section.push(1);
        let done = self.message(message);
        self.section.pop();
        done
    }

    fn parts(&mut self, parts: &[Entity]) -> io::Result<()> {
        let mut gone: Vec<bool> = Vec::with_capacity(parts.len());
        for index in 0..parts.len() {
            self.section.push(number(index));
            let change = self.changes.get(&self.section);
            self.section.pop();
            let is_multipart = parts.get(index).is_some_and(Entity::is_multipart);
            gone.push(change == Some(&NewPart::Gone) && !is_multipart);
        }
        // A multipart has one part at least (RFC 2046 §5.1.1).
        if gone.iter().all(|gone| *gone)
            && let Some(last) = gone.last_mut()
        {
            *last = false;
        }
        let mut before = None;
        let mut left = parts.iter().zip(gone).enumerate().peekable();
        while let Some((index, (part, is_gone))) = left.next() {
            if !is_gone {
                self.section.push(number(index));
                let done = self.entity(part);
                self.section.pop();
                done?;
                before = Some(part);
                continue;
            }
            let mut last = part;
            while let Some((_, (next, _))) = left.next_if(|(_, (_, is_gone))| *is_gone) {
                last = next;
            }
            let range = match left.peek() {
                // The boundary before the first that goes becomes that of the next that stays.
                Some((_, (next, _))) => part.header.start..next.header.start,
                None => self.tail(before, part, last)?,
            };
            self.splice(range, Bytes::new());
        }
        Ok(())
    }

    /// The range of parts at the end of a multipart, with the boundary before them. What follows stays on a line of its own.
    fn tail(
        &self,
        before: Option<&Entity>,
        first: &Entity,
        last: &Entity,
    ) -> io::Result<Range<u64>> {
        let end = last.body.end;
        let mut start = before.map_or(first.header.start, |before| before.body.end);
        // The line end there may have gone with parts inside of the one before.
        if let Some(splice) = self.splices.last() {
            start = start.max(splice.at + splice.remove);
        }
        if self.octet(end)?.is_none() {
            return Ok(start..end);
        }
        // The line end before the first boundary that goes stays where it was, in place of that before the next one: a part without a
        // body has none, and one is not always as long as the other.
        Ok(start + self.line_end(start)?..end + self.line_end(end)?)
    }

    /// Octets of the line end that is here, if one is.
    fn line_end(&self, at: u64) -> io::Result<u64> {
        Ok(match &*self.received.read(at, 2)? {
            [b'\r', b'\n'] => 2,
            [b'\n', ..] => 1,
            _ => 0,
        })
    }

    fn body_of_root(&mut self, root: &Entity, change: &NewPart) {
        let (encoding, octets) = change.octets();
        self.splice(root.body.clone(), octets.clone());
        // The last line of a message has an end; that of a soft line break decodes to nothing.
        if !octets.is_empty() && !octets.ends_with(b"\n") {
            let line_end: &[u8] = match encoding {
                "quoted-printable" => b"=\r\n",
                _ => b"\r\n",
            };
            self.splice(root.body.end..root.body.end, Bytes::from_static(line_end));
        }
    }

    fn part(&mut self, entity: &Entity, change: &NewPart) -> io::Result<()> {
        let header = self.header(entity, change)?;
        self.splice(entity.header.clone(), header.into());
        let (_, octets) = change.octets();
        self.splice(entity.body.clone(), octets);
        if self.octet(entity.body.end)? == Some(b'-') {
            self.splice(
                entity.body.end..entity.body.end,
                Bytes::from_static(b"\r\n"),
            );
        }
        Ok(())
    }

    /// The part's new header with its empty line.
    fn header(&self, entity: &Entity, change: &NewPart) -> io::Result<Vec<u8>> {
        let length = entity.header.end.saturating_sub(entity.header.start);
        let old = match usize::try_from(length) {
            Ok(length) if length as u64 <= MAX_HEADER => {
                self.received.read(entity.header.start, length)?
            }
            _ => Bytes::new(),
        };
        let (content_type, keeps_content_fields) = match change {
            NewPart::Replaced { content_type, .. } => (content_type.clone(), true),
            _ => (MediaType::plain_text().content_type(), false),
        };
        let (encoding, _) = change.octets();
        let field = |name: &str, value: &str| crate::mail::unstructured::write(name, value);
        let mut new = [
            ("Content-Type", Some(field("Content-Type", &content_type))),
            (
                "Content-Transfer-Encoding",
                Some(field("Content-Transfer-Encoding", encoding)),
            ),
        ];
        let mut out = Vec::with_capacity(old.len() + 128);
        let mut rest: &[u8] = &old;
        while !rest.is_empty() && !rest.starts_with(b"\r\n") && !rest.starts_with(b"\n") {
            let (length, colon) = first_field(rest);
            let (octets, after) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            rest = after;
            let name = octets.get(..colon).unwrap_or_default().trim_ascii_end();
            let written = new
                .iter_mut()
                .find(|(of, _)| name.eq_ignore_ascii_case(of.as_bytes()));
            match written {
                // A second field of that name goes.
                Some((_, field)) => out.extend(field.take().unwrap_or_default()),
                None if !keeps_content_fields && is_content_field(name) => {}
                None => out.extend_from_slice(octets),
            }
        }
        if !out.is_empty() && !out.ends_with(b"\n") {
            out.extend_from_slice(b"\r\n");
        }
        for (_, field) in new {
            out.extend(field.unwrap_or_default());
        }
        out.extend_from_slice(b"\r\n");
        Ok(out)
    }
}

/// What says something of the content (RFC 2045 §9).
fn is_content_field(name: &[u8]) -> bool {
    name.get(..8)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"content-"))
}

impl NewPart {
    /// Transfer encoding and what stands in the body.
    fn octets(&self) -> (&str, Bytes) {
        match self {
            Self::Replaced {
                encoding, octets, ..
            }
            | Self::Note { encoding, octets } => (encoding, octets.clone()),
            Self::Gone => ("7bit", Bytes::new()),
        }
    }
}

/// Section numbers count from 1.
fn number(index: usize) -> u32 {
    u32::try_from(index + 1).unwrap_or(u32::MAX)
}
