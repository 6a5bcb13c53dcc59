//! What FETCH asks for, planned once for all messages, and one message's answer as pieces (RFC 3501 §6.4.5).
//! Sends nothing, and reads no body but to find its structure.

use super::selected::Row;
use crate::mail::mime::{Entity, scan};
use crate::mail::{Content, Header};
use crate::proto::imap::section::{Piece, name, needs_structure, partial, section};
use crate::proto::imap::{envelope, literal_start, string, structure};
use imap_types::fetch::{MacroOrMessageDataItemNames, MessageDataItemName as Name, Section};
use std::io::{self, Write};

/// Pieces shorter than this are sent as they are; longer ones from where they lie.
const INLINE: u64 = 4 * 1024;

/// Items of one command. Some of them are put together in memory, each as large as a header.
const ITEMS_MAX: usize = 64;

/// What is asked for, of each message.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    items: Vec<Name<'static>>,
    pub needs_content: bool,
    needs_structure: bool,
    /// A body is read without PEEK.
    pub sets_seen: bool,
    /// Structure is found and headers are read away from the threads that serve connections.
    pub is_heavy: bool,
}

impl Plan {
    /// `None` if something is asked for that this server does not have, or far too much at once.
    pub fn new(asked: MacroOrMessageDataItemNames<'static>, by_uid: bool) -> Option<Self> {
        let mut items: Vec<Name<'static>> = match asked {
            MacroOrMessageDataItemNames::Macro(short) => short
                .expand()
                .iter()
                .map(unborrowed)
                .collect::<Option<_>>()?,
            MacroOrMessageDataItemNames::MessageDataItemNames(items) => items,
        };
        let known = |item: &Name<'_>| {
            !matches!(
                item,
                Name::Binary { .. } | Name::BinarySize { .. } | Name::ModSeq
            )
        };
        if items.is_empty() || items.len() > ITEMS_MAX || !items.iter().all(known) {
            return None;
        }
        if by_uid && !items.contains(&Name::Uid) {
            items.insert(0, Name::Uid);
        }
        let needs_structure = items.iter().any(|item| match item {
            Name::Body | Name::BodyStructure => true,
            Name::BodyExt { section, .. } => needs_structure(section.as_ref()),
            _ => false,
        });
        Some(Self {
            needs_content: items.iter().any(needs_content),
            needs_structure,
            sets_seen: items.iter().any(sets_seen),
            is_heavy: needs_structure,
            items,
        })
    }

    /// The answer for one message.
    pub fn answer(
        &self,
        number: usize,
        row: &Row,
        content: Option<&Content>,
    ) -> io::Result<Vec<Piece>> {
        let header = match content {
            Some(content) => Some(Header::read(content)?),
            None => None,
        };
        let entity = match content {
            Some(content) if self.needs_structure => Some(scan(content)?),
            _ => None,
        };
        let mut answer = Answer {
            pieces: Vec::new(),
            text: format!("* {number} FETCH (").into_bytes(),
        };
        let source = content.zip(header.as_ref());
        for (index, item) in self.items.iter().enumerate() {
            if index > 0 {
                answer.text.push(b' ');
            }
            match source {
                Some((content, header)) => {
                    answer.of_content(item, row, content, header, entity.as_ref())?;
                }
                None => answer.of_row(item, row)?,
            }
        }
        answer.text.extend_from_slice(b")\r\n");
        answer.end_text();
        Ok(answer.pieces)
    }
}

/// The items of a macro hold nothing borrowed.
fn unborrowed(item: &Name<'_>) -> Option<Name<'static>> {
    Some(match item {
        Name::Body => Name::Body,
        Name::Envelope => Name::Envelope,
        Name::Flags => Name::Flags,
        Name::InternalDate => Name::InternalDate,
        Name::Rfc822Size => Name::Rfc822Size,
        _ => return None,
    })
}

fn needs_content(item: &Name<'_>) -> bool {
    !matches!(
        item,
        Name::Flags | Name::InternalDate | Name::Rfc822Size | Name::Uid
    )
}

fn sets_seen(item: &Name<'_>) -> bool {
    matches!(
        item,
        Name::Rfc822 | Name::Rfc822Text | Name::BodyExt { peek: false, .. }
    )
}

struct Answer {
    pieces: Vec<Piece>,
    text: Vec<u8>,
}

impl Answer {
    fn end_text(&mut self) {
        if !self.text.is_empty() {
            let text = std::mem::take(&mut self.text);
            self.pieces.push(Piece::Octets(text.into()));
        }
    }

    fn of_row(&mut self, item: &Name<'_>, row: &Row) -> io::Result<()> {
        match item {
            Name::Flags => {
                self.text.extend_from_slice(b"FLAGS ");
                row.write_flags(&mut self.text);
            }
            Name::InternalDate => {
                self.text.extend_from_slice(b"INTERNALDATE ");
                row.write_date(&mut self.text);
            }
            Name::Rfc822Size => write!(self.text, "RFC822.SIZE {}", row.size)?,
            _ => write!(self.text, "UID {}", row.uid)?,
        }
        Ok(())
    }

    fn of_content(
        &mut self,
        item: &Name<'_>,
        row: &Row,
        content: &Content,
        header: &Header,
        entity: Option<&Entity>,
    ) -> io::Result<()> {
        match item {
            Name::Envelope => {
                self.text.extend_from_slice(b"ENVELOPE ");
                envelope(&mut self.text, header);
            }
            Name::Body | Name::BodyStructure => {
                let extended = *item == Name::BodyStructure;
                let name: &[u8] = if extended {
                    b"BODYSTRUCTURE "
                } else {
                    b"BODY "
                };
                self.text.extend_from_slice(name);
                if let Some(entity) = entity {
                    structure(&mut self.text, content, entity, extended)?;
                }
            }
            Name::Rfc822 => {
                self.text.extend_from_slice(b"RFC822 ");
                let piece = section(content, header, entity, None)?;
                self.octets(piece, content)?;
            }
            Name::Rfc822Header => {
                self.text.extend_from_slice(b"RFC822.HEADER ");
                let piece = section(content, header, entity, Some(&Section::Header(None)))?;
                self.octets(piece, content)?;
            }
            Name::Rfc822Text => {
                self.text.extend_from_slice(b"RFC822.TEXT ");
                let piece = section(content, header, entity, Some(&Section::Text(None)))?;
                self.octets(piece, content)?;
            }
            Name::BodyExt {
                section: wanted,
                partial: range,
                ..
            } => {
                self.text.extend_from_slice(b"BODY[");
                name(wanted.as_ref(), &mut self.text);
                self.text.push(b']');
                let mut piece = section(content, header, entity, wanted.as_ref())?;
                if let Some((start, count)) = range {
                    write!(self.text, "<{start}>")?;
                    let (start, count) = (u64::from(*start), u64::from(count.get()));
                    piece = piece.map(|piece| partial(piece, start, count));
                }
                self.text.push(b' ');
                self.octets(piece, content)?;
            }
            other => self.of_row(other, row)?,
        }
        Ok(())
    }

    /// Octets of a message as a literal: quoting would have to look at all of them.
    fn octets(&mut self, piece: Option<Piece>, content: &Content) -> io::Result<()> {
        let Some(piece) = piece else {
            self.text.extend_from_slice(b"NIL");
            return Ok(());
        };
        let length = piece.len();
        if length == 0 {
            string(&mut self.text, b"");
            return Ok(());
        }
        literal_start(&mut self.text, length);
        match piece {
            Piece::Octets(octets) => self.text.extend_from_slice(&octets),
            Piece::Range(range) if length <= INLINE => {
                let octets = content.read(range.start, length as usize)?;
                self.text.extend_from_slice(&octets);
            }
            range => {
                self.end_text();
                self.pieces.push(range);
            }
        }
        Ok(())
    }
}
