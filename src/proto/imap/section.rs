//! What BODY[section]<partial> and its kin name, as ranges of the message (RFC 3501 §6.4.5).
//! Reads headers, never bodies: those are streamed from their range.

use crate::mail::mime::Entity;
use crate::mail::{Content, Header};
use bytes::Bytes;
use imap_types::core::AString;
use imap_types::fetch::{Part, Section};
use std::io;
use std::ops::Range;

/// Octets to send: some that were put together, or some of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Octets(Bytes),
    Range(Range<u64>),
}

impl Piece {
    pub fn len(&self) -> u64 {
        match self {
            Self::Octets(octets) => octets.len() as u64,
            Self::Range(range) => range.end.saturating_sub(range.start),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Whether the MIME structure is needed to find it; else the header is enough.
pub fn needs_structure(section: Option<&Section<'_>>) -> bool {
    match section {
        None
        | Some(
            Section::Header(None)
            | Section::HeaderFields(None, _)
            | Section::HeaderFieldsNot(None, _)
            | Section::Text(None),
        ) => false,
        Some(_) => true,
    }
}

/// `None` where there is no such section: it is sent as NIL. `entity` may be left out if `needs_structure` says so.
pub fn section(
    content: &Content,
    header: &Header,
    entity: Option<&Entity>,
    section: Option<&Section<'_>>,
) -> io::Result<Option<Piece>> {
    let Some(section) = section else {
        return Ok(Some(Piece::Range(0..content.len())));
    };
    let message = |part: &Option<Part>| -> io::Result<Option<Message>> {
        match part {
            None => {
                let end = header_end(content, header)?;
                Ok(Some(Message {
                    fields: header.clone(),
                    header: 0..end,
                    body: end..content.len(),
                }))
            }
            // HEADER and TEXT of a part are those of the message in it (RFC 3501 §6.4.5).
            Some(part) => {
                let Some(message) = find(entity, part).and_then(Entity::message) else {
                    return Ok(None);
                };
                Ok(Some(Message {
                    fields: Header::parse(&read(content, &message.header)?),
                    header: message.header.clone(),
                    body: message.body.clone(),
                }))
            }
        }
    };
    Ok(match section {
        Section::Part(part) => find(entity, part).map(|part| Piece::Range(part.body.clone())),
        Section::Mime(part) => find(entity, part).map(|part| Piece::Range(part.header.clone())),
        Section::Header(part) => message(part)?.map(|message| Piece::Range(message.header)),
        Section::Text(part) => message(part)?.map(|message| Piece::Range(message.body)),
        Section::HeaderFields(part, names) => message(part)?
            .map(|message| Piece::Octets(fields(&message.fields, names.as_ref(), true))),
        Section::HeaderFieldsNot(part, names) => message(part)?
            .map(|message| Piece::Octets(fields(&message.fields, names.as_ref(), false))),
    })
}

/// A message, or one in a part of it.
struct Message {
    fields: Header,
    header: Range<u64>,
    body: Range<u64>,
}

fn find<'a>(entity: Option<&'a Entity>, part: &Part) -> Option<&'a Entity> {
    let numbers: Vec<u32> = part.0.as_ref().iter().map(|number| number.get()).collect();
    entity?.find(&numbers)
}

fn read(content: &Content, range: &Range<u64>) -> io::Result<Bytes> {
    let length = range.end.saturating_sub(range.start);
    let length = usize::try_from(length).unwrap_or(Header::MAX);
    content.read(range.start, length.min(Header::MAX))
}

/// Past the empty line that ends the header.
pub fn header_end(content: &Content, header: &Header) -> io::Result<u64> {
    let end = header.received_len();
    let next = content.read(end, 2)?;
    Ok(end
        + match (next.first(), next.get(1)) {
            (Some(b'\r'), Some(b'\n')) => 2,
            (Some(b'\n'), _) => 1,
            _ => 0,
        })
}

/// With the empty line that ends a header.
fn fields(header: &Header, names: &[AString<'_>], named: bool) -> Bytes {
    let mut out = Vec::new();
    for field in header.fields() {
        let is_named = names.iter().any(|name| {
            let name = name.as_ref();
            !name.is_empty() && field.name().as_bytes().eq_ignore_ascii_case(name)
        });
        if is_named == named {
            out.extend_from_slice(field.octets());
            if !out.ends_with(b"\n") {
                out.extend_from_slice(b"\r\n");
            }
        }
    }
    out.extend_from_slice(b"\r\n");
    out.into()
}

/// `<start.count>`: the octets of it that there are.
pub fn partial(piece: Piece, start: u64, count: u64) -> Piece {
    let from = start.min(piece.len());
    let to = start.saturating_add(count).min(piece.len());
    match piece {
        Piece::Octets(octets) => Piece::Octets(octets.slice(from as usize..to as usize)),
        Piece::Range(range) => Piece::Range(range.start + from..range.start + to),
    }
}

/// As it is named in the answer: `HEADER.FIELDS (From To)`.
pub fn name(section: Option<&Section<'_>>, out: &mut Vec<u8>) {
    let Some(section) = section else { return };
    let (part, text, names) = match section {
        Section::Part(part) => (Some(part), "", None),
        Section::Header(part) => (part.as_ref(), "HEADER", None),
        Section::HeaderFields(part, names) => (part.as_ref(), "HEADER.FIELDS", Some(names)),
        Section::HeaderFieldsNot(part, names) => (part.as_ref(), "HEADER.FIELDS.NOT", Some(names)),
        Section::Text(part) => (part.as_ref(), "TEXT", None),
        Section::Mime(part) => (Some(part), "MIME", None),
    };
    if let Some(part) = part {
        let numbers: Vec<String> = part.0.as_ref().iter().map(ToString::to_string).collect();
        out.extend_from_slice(numbers.join(".").as_bytes());
        if !text.is_empty() {
            out.push(b'.');
        }
    }
    out.extend_from_slice(text.as_bytes());
    if let Some(names) = names {
        out.extend_from_slice(b" (");
        for (index, name) in names.as_ref().iter().enumerate() {
            if index > 0 {
                out.push(b' ');
            }
            match name {
                AString::Atom(atom) => out.extend_from_slice(atom.as_ref().as_bytes()),
                AString::String(text) => super::encode::string(out, text.as_ref()),
            }
        }
        out.push(b')');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::mime::scan;
    use imap_codec::CommandCodec;
    use imap_codec::decode::Decoder;
    use imap_types::command::CommandBody;
    use imap_types::fetch::{MacroOrMessageDataItemNames, MessageDataItemName};

    const MESSAGE: &str = "From: a@b\r\nSubject: outer\r\nContent-Type: multipart/mixed; boundary=b\r\nTo: c@d,\r\n e@f\r\n\r\npreamble\r\n--b\r\nContent-Type: text/plain\r\n\r\nfirst\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\n\r\nplain\r\n--c\r\nContent-Type: text/html\r\n\r\n<p>\r\n--c--\r\n--b--\r\n";

    fn fetched(message: &'static str, item: &str) -> Option<(String, String)> {
        let command = format!("a FETCH 1 {item}\r\n");
        let (_, command) = CommandCodec::default().decode(command.as_bytes()).unwrap();
        let CommandBody::Fetch {
            macro_or_item_names: MacroOrMessageDataItemNames::MessageDataItemNames(items),
            ..
        } = command.body
        else {
            panic!("{item}");
        };
        let MessageDataItemName::BodyExt {
            section: wanted,
            partial: range,
            ..
        } = &items[0]
        else {
            panic!("{item}");
        };
        let content = Content::from_bytes(message);
        let header = Header::read(&content).unwrap();
        let entity = needs_structure(wanted.as_ref()).then(|| scan(&content).unwrap());
        let mut piece = section(&content, &header, entity.as_ref(), wanted.as_ref()).unwrap()?;
        if let Some((start, count)) = range {
            piece = partial(piece, u64::from(*start), u64::from(count.get()));
        }
        let octets = match piece {
            Piece::Octets(octets) => octets,
            Piece::Range(range) => content
                .read(range.start, (range.end - range.start) as usize)
                .unwrap(),
        };
        let mut shown = Vec::new();
        name(wanted.as_ref(), &mut shown);
        Some((
            String::from_utf8(shown).unwrap(),
            String::from_utf8(octets.to_vec()).unwrap(),
        ))
    }

    #[test]
    fn sections() {
        let (header, body) = MESSAGE.split_at(MESSAGE.find("preamble").unwrap());
        for (item, expected) in [
            ("BODY[]", Some(MESSAGE)),
            ("BODY[HEADER]", Some(header)),
            ("BODY[TEXT]", Some(body)),
            (
                "BODY[HEADER.FIELDS (SUBJECT to)]",
                Some("Subject: outer\r\nTo: c@d,\r\n e@f\r\n\r\n"),
            ),
            ("BODY[HEADER.FIELDS (X-None)]", Some("\r\n")),
            (
                "BODY[HEADER.FIELDS.NOT (Content-Type To)]",
                Some("From: a@b\r\nSubject: outer\r\n\r\n"),
            ),
            ("BODY[1]", Some("first")),
            ("BODY[1.MIME]", Some("Content-Type: text/plain\r\n\r\n")),
            ("BODY[1.HEADER]", None),
            (
                "BODY[2.HEADER]",
                Some("Subject: inner\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n"),
            ),
            (
                "BODY[2.HEADER.FIELDS (Subject)]",
                Some("Subject: inner\r\n\r\n"),
            ),
            (
                "BODY[2.TEXT]",
                Some("--c\r\n\r\nplain\r\n--c\r\nContent-Type: text/html\r\n\r\n<p>\r\n--c--"),
            ),
            ("BODY[2.1]", Some("plain")),
            ("BODY[2.2]", Some("<p>")),
            ("BODY[2.2.MIME]", Some("Content-Type: text/html\r\n\r\n")),
            ("BODY[3]", None),
            ("BODY[2.3]", None),
            ("BODY[]<0.6>", Some("From: ")),
            ("BODY[1]<2.100>", Some("rst")),
            ("BODY[1]<100.5>", Some("")),
            ("BODY[HEADER.FIELDS (Subject)]<3.4>", Some("ject")),
        ] {
            let got = fetched(MESSAGE, item);
            assert_eq!(
                got.as_ref().map(|(_, octets)| octets.as_str()),
                expected,
                "{item}"
            );
            if let Some((name, _)) = got {
                assert!(item.starts_with(&format!("BODY[{name}]")), "{item} {name}");
            }
        }
    }

    #[test]
    fn a_message_without_parts_is_its_own_part_one() {
        let message = "Subject: x\r\n\r\nbody\r\n";
        assert_eq!(fetched(message, "BODY[1]").unwrap().1, "body\r\n");
        assert_eq!(
            fetched(message, "BODY[1.MIME]").unwrap().1,
            "Subject: x\r\n\r\n"
        );
        assert_eq!(fetched(message, "BODY[2]"), None);
        assert_eq!(
            fetched("Subject: x\r\n", "BODY[HEADER]").unwrap().1,
            "Subject: x\r\n"
        );
        assert_eq!(fetched("", "BODY[TEXT]").unwrap().1, "");
    }
}
