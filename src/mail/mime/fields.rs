//! The Content-* fields of one header, read leniently: what can't be understood counts as absent (RFC 2045 §5.2).
//! Knows nothing of where the entity lies or what its body holds.

use super::entity::{Disposition, Parameter};
use super::structured::{RawParameter, Structured, is_token, without_comments};
use crate::mail::header::first_field;
use mail_parser::parsers::MessageStream;

/// The most octets of one field that are read: a structured field that is longer says nothing worth the time.
const MAX_FIELD: usize = 4 * 1024;

/// What the header of an entity says of its body.
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// Type and subtype in lower case; none if the field is absent or makes no sense.
    pub content_type: Option<(String, String)>,
    pub parameters: Vec<Parameter>,
    /// The boundary parameter to the octet.
    pub boundary: Option<Vec<u8>>,
    pub encoding: Option<String>,
    pub id: Option<String>,
    pub description: Option<String>,
    pub md5: Option<String>,
    pub disposition: Option<Disposition>,
    pub language: Vec<String>,
    pub location: Option<String>,
    pub name: Option<String>,
}

impl Fields {
    /// Reads a header block. Of fields that occur twice, the first counts.
    pub fn read(header: &[u8]) -> Self {
        let mut raw = RawFields::default();
        let mut rest = header;
        while !rest.is_empty() {
            let (length, colon) = first_field(rest);
            let (field, next) = rest.split_at_checked(length).unwrap_or((rest, &[]));
            if let (Some(name), Some(value)) = (field.get(..colon), field.get(colon + 1..)) {
                raw.take(
                    name.trim_ascii_end(),
                    value.get(..MAX_FIELD).unwrap_or(value),
                );
            }
            rest = next;
        }
        raw.interpret()
    }
}

#[derive(Default)]
struct RawFields<'a> {
    content_type: Option<&'a [u8]>,
    encoding: Option<&'a [u8]>,
    id: Option<&'a [u8]>,
    description: Option<&'a [u8]>,
    md5: Option<&'a [u8]>,
    disposition: Option<&'a [u8]>,
    language: Option<&'a [u8]>,
    location: Option<&'a [u8]>,
}

impl<'a> RawFields<'a> {
    fn take(&mut self, name: &[u8], value: &'a [u8]) {
        let is_content = name
            .get(..8)
            .is_some_and(|prefix| prefix.eq_ignore_ascii_case(b"content-"));
        if !is_content {
            return;
        }
        let name = name.get(8..).unwrap_or_default().to_ascii_lowercase();
        let slot = match name.as_slice() {
            b"type" => &mut self.content_type,
            b"transfer-encoding" => &mut self.encoding,
            b"id" => &mut self.id,
            b"description" => &mut self.description,
            b"md5" => &mut self.md5,
            b"disposition" => &mut self.disposition,
            b"language" => &mut self.language,
            b"location" => &mut self.location,
            _ => return,
        };
        slot.get_or_insert(value);
    }

    fn interpret(self) -> Fields {
        let mut fields = Fields {
            id: self.id.and_then(unfolded),
            description: self.description.and_then(unfolded),
            md5: self.md5.and_then(unfolded),
            location: self.location.and_then(unfolded),
            encoding: self
                .encoding
                .map(|value| Structured::read(value).main.to_ascii_lowercase())
                .filter(|encoding| !encoding.is_empty()),
            ..Fields::default()
        };
        if let Some(value) = self.language {
            let value = without_comments(value);
            fields.language = String::from_utf8_lossy(&value)
                .split(',')
                .map(|tag| tag.trim().to_owned())
                .filter(|tag| !tag.is_empty())
                .collect();
        }
        if let Some(value) = self.disposition {
            let Structured { main, parameters } = Structured::read(value);
            let kind = main.to_ascii_lowercase();
            if is_token(&kind) {
                fields.name = decoded(value, &parameters, "filename");
                fields.disposition = Some(Disposition {
                    kind,
                    parameters: for_people(parameters),
                });
            }
        }
        if let Some(value) = self.content_type {
            let Structured { main, parameters } = Structured::read(value);
            fields.content_type = media_type(&main);
            if fields.content_type.is_some() {
                fields.boundary = boundary(value, &parameters);
                if fields.name.is_none() {
                    fields.name = decoded(value, &parameters, "name");
                }
                fields.parameters = for_people(parameters);
            }
        }
        fields
    }
}

fn media_type(main: &str) -> Option<(String, String)> {
    let main = main.to_ascii_lowercase();
    let (media_type, subtype) = match main.split_once('/') {
        Some((media_type, subtype)) => (media_type, subtype),
        // Before RFC 1341 people wrote just this.
        None if main == "text" => ("text", "plain"),
        None if main == "multipart" => ("multipart", "mixed"),
        None => return None,
    };
    (is_token(media_type) && is_token(subtype)).then(|| (media_type.into(), subtype.into()))
}

fn boundary(value: &[u8], parameters: &[RawParameter]) -> Option<Vec<u8>> {
    let given = parameters
        .iter()
        .find(|parameter| parameter.name.eq_ignore_ascii_case("boundary"));
    let mut boundary = match given {
        Some(parameter) => parameter.value.clone(),
        // RFC 2231 allows it to be split, and test messages do.
        None => decoded(value, parameters, "boundary")?.into_bytes(),
    };
    // Blanks at its end can't be told from the padding of the line (RFC 2046 §5.1.1).
    boundary.truncate(boundary.trim_ascii_end().len());
    (!boundary.is_empty()).then_some(boundary)
}

/// A parameter with its continuations put together and its charset decoded (RFC 2231), encoded words too (RFC 2047, against §5).
fn decoded(value: &[u8], parameters: &[RawParameter], name: &str) -> Option<String> {
    let is = |parameter: &&RawParameter| {
        parameter
            .name
            .split('*')
            .next()
            .is_some_and(|first| first.eq_ignore_ascii_case(name))
    };
    let first = parameters.iter().find(is)?;
    let plain = parameters.iter().filter(is).count() == 1
        && first.name.len() == name.len()
        && !first.value.windows(2).any(|pair| pair == b"=?");
    let text = if plain {
        String::from_utf8_lossy(&first.value).into_owned()
    } else {
        let mut value = value.to_vec();
        value.extend_from_slice(b"\r\n");
        let field = MessageStream::new(&value).parse_content_type();
        field.as_content_type()?.attribute(name)?.to_owned()
    };
    let text = text.trim();
    (!text.is_empty()).then(|| text.replace(char::is_control, " "))
}

fn unfolded(value: &[u8]) -> Option<String> {
    let value: Vec<u8> = value
        .iter()
        .copied()
        .filter(|byte| !matches!(byte, b'\r' | b'\n'))
        .collect();
    let text = printable(&value);
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn for_people(parameters: Vec<RawParameter>) -> Vec<Parameter> {
    let parameter = |raw: RawParameter| Parameter {
        value: printable(&raw.value),
        name: raw.name.replace(char::is_control, " "),
    };
    parameters.into_iter().map(parameter).collect()
}

/// IMAP can't say NUL, nor can a log.
fn printable(value: &[u8]) -> String {
    String::from_utf8_lossy(value).replace(|c: char| c.is_control() && c != '\t', " ")
}
