//! The Content-* fields of one header, read leniently: what can't be understood counts as absent (RFC 2045 §5.2).
//! Knows nothing of where the entity lies or what its body holds.

use super::entity::{Disposition, Parameter};
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

/// A field such as `text/plain; charset=utf-8`: its main value, comments and blanks left out, and its parameters.
struct Structured {
    main: String,
    parameters: Vec<RawParameter>,
}

struct RawParameter {
    name: String,
    value: Vec<u8>,
}

impl Structured {
    fn read(value: &[u8]) -> Self {
        let value = without_comments(value);
        let mut rest = value.as_slice();
        let main = take_until(&mut rest, |byte| byte == b';');
        // `text/plain charset=x` for want of a semicolon.
        let (main, missed) = split_before_parameter(main);
        let mut parameters = Vec::new();
        let mut missed = missed;
        read_parameters(&mut missed, &mut parameters);
        read_parameters(&mut rest, &mut parameters);
        let main = main.iter().filter(|byte| !byte.is_ascii_whitespace());
        Self {
            main: String::from_utf8_lossy(&main.copied().collect::<Vec<_>>())
                .trim_matches('"')
                .to_owned(),
            parameters,
        }
    }
}

fn read_parameters(rest: &mut &[u8], parameters: &mut Vec<RawParameter>) {
    loop {
        take_until(rest, |byte| byte != b';' && !byte.is_ascii_whitespace());
        if rest.is_empty() {
            return;
        }
        let name = take_until(rest, |byte| byte == b'=' || byte == b';').trim_ascii();
        if rest.first() != Some(&b'=') {
            continue; // a word without a value
        }
        take_one(rest);
        take_until(rest, |byte| !byte.is_ascii_whitespace());
        let value = if rest.first() == Some(&b'"') {
            take_one(rest);
            quoted(rest)
        } else {
            let all = take_until(&mut { *rest }, |byte| byte == b';');
            let (value, _) = split_before_parameter(all);
            let length = value.len();
            *rest = rest.get(length..).unwrap_or_default();
            let unfolded = value.iter().filter(|byte| !matches!(byte, b'\r' | b'\n'));
            unfolded.copied().collect::<Vec<_>>().trim_ascii().to_vec()
        };
        if !name.is_empty() {
            parameters.push(RawParameter {
                name: String::from_utf8_lossy(name).into_owned(),
                value,
            });
        }
    }
}

/// The content of a quoted-string up to its closing quote or the end, unfolded, quoted-pairs resolved (RFC 5322 §3.2.4).
fn quoted(rest: &mut &[u8]) -> Vec<u8> {
    let mut value = Vec::new();
    let mut escaped = false;
    while let Some(byte) = take_one(rest) {
        match byte {
            b'\r' | b'\n' => {}
            _ if escaped => {
                value.push(byte);
                escaped = false;
            }
            b'\\' => escaped = true,
            b'"' => break,
            _ => value.push(byte),
        }
    }
    value
}

/// Splits at the blank before a second or later word that looks like `name=`.
fn split_before_parameter(value: &[u8]) -> (&[u8], &[u8]) {
    let mut word = 0; // where the word at hand starts
    let mut in_word = false;
    let mut is_first = true;
    for (at, byte) in value.iter().enumerate() {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => {
                is_first &= !in_word;
                in_word = false;
            }
            b'=' if in_word && !is_first && at > word => {
                let name = value.get(word..at).unwrap_or_default();
                if name
                    .iter()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'*'))
                {
                    return value.split_at_checked(word).unwrap_or((value, &[]));
                }
            }
            _ if !in_word => {
                in_word = true;
                word = at;
            }
            _ => {}
        }
    }
    (value, &[])
}

/// The value with a blank in place of each comment (RFC 5322 §3.2.2). What stands in a quoted-string is left alone, so is an
/// opening parenthesis that nothing closes.
fn without_comments(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut opened = 0; // in `out`
    let mut depth = 0usize;
    let mut in_quotes = false;
    let mut bytes = value.iter().copied();
    while let Some(byte) = bytes.next() {
        out.push(byte);
        match byte {
            b'\\' if in_quotes || depth > 0 => out.extend(bytes.next()),
            b'"' if depth == 0 => in_quotes = !in_quotes,
            b'(' if !in_quotes => {
                if depth == 0 {
                    opened = out.len() - 1;
                }
                depth += 1;
            }
            b')' if depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    out.truncate(opened);
                    out.push(b' ');
                }
            }
            _ => {}
        }
    }
    out
}

fn take_one(rest: &mut &[u8]) -> Option<u8> {
    let (first, next) = rest.split_first()?;
    *rest = next;
    Some(*first)
}

/// Takes what comes before the first octet that `stop` is true for.
fn take_until<'a>(rest: &mut &'a [u8], stop: impl Fn(u8) -> bool) -> &'a [u8] {
    let length = rest
        .iter()
        .position(|byte| stop(*byte))
        .unwrap_or(rest.len());
    let (taken, next) = rest.split_at_checked(length).unwrap_or((rest, &[]));
    *rest = next;
    taken
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

/// RFC 2045 §5.1, and what is not ASCII is none either.
fn is_token(text: &str) -> bool {
    let special = |byte| {
        matches!(
            byte,
            b'(' | b')'
                | b'<'
                | b'>'
                | b'@'
                | b','
                | b';'
                | b':'
                | b'\\'
                | b'"'
                | b'/'
                | b'['
                | b']'
                | b'?'
                | b'='
        )
    };
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !special(byte))
}
