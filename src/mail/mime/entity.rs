//! One node of a message's MIME tree: where its header and body lie, what its fields say of it, what is inside it.
//! Holds ranges and values only, no content.

use std::ops::Range;

/// A message or a part of one (RFC 2045 §2.4). Ranges count octets of the message that was scanned, from its first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entity {
    /// The header with the empty line that ends it, if it has one.
    pub header: Range<u64>,
    /// All that follows the header. The line end before a boundary belongs to the boundary (RFC 2046 §5.1.1).
    pub body: Range<u64>,
    /// Line ends in the body.
    pub lines: u64,
    /// In lower case, such as "text".
    pub media_type: String,
    /// In lower case, such as "plain".
    pub subtype: String,
    /// Of Content-Type, as given but for quoting. Where there is none, text is in us-ascii (RFC 2045 §5.2).
    pub parameters: Vec<Parameter>,
    /// Content-Transfer-Encoding in lower case; "7bit" where none is given (RFC 2045 §6.1).
    pub encoding: String,
    /// Content-ID as given, angle brackets included.
    pub id: Option<String>,
    /// Content-Description as given, encoded words and all.
    pub description: Option<String>,
    /// Content-MD5 as given.
    pub md5: Option<String>,
    pub disposition: Option<Disposition>,
    /// Content-Language.
    pub language: Vec<String>,
    /// Content-Location as given, unfolded.
    pub location: Option<String>,
    /// For people: the file name of Content-Disposition, or the name of Content-Type, decoded (RFC 2231, RFC 2047).
    pub name: Option<String>,
    pub inside: Inside,
}

/// What an entity holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inside {
    /// Content that is not looked into. A message/rfc822 part is one too if it is encoded (against RFC 2046 §5.2.1) or nested too deep;
    /// a multipart without parts counts as text/plain.
    Leaf,
    /// The parts of a multipart, one at least.
    Parts(Vec<Entity>),
    /// The message that a message/rfc822 or message/global part carries.
    Message(Box<Entity>),
}

/// attribute=value (RFC 2045 §5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    pub name: String,
    pub value: String,
}

/// Content-Disposition (RFC 2183).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disposition {
    /// In lower case, such as "attachment".
    pub kind: String,
    /// As given but for quoting.
    pub parameters: Vec<Parameter>,
}

/// How the octets of a body are encoded (RFC 2045 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferEncoding {
    /// 7bit, 8bit, binary, and what nobody knows.
    Identity,
    Base64,
    QuotedPrintable,
}

/// An empty message.
impl Default for Entity {
    fn default() -> Self {
        Self {
            header: 0..0,
            body: 0..0,
            lines: 0,
            media_type: "text".to_owned(),
            subtype: "plain".to_owned(),
            parameters: Vec::new(),
            encoding: "7bit".to_owned(),
            id: None,
            description: None,
            md5: None,
            disposition: None,
            language: Vec::new(),
            location: None,
            name: None,
            inside: Inside::Leaf,
        }
    }
}

impl Entity {
    /// Of a multipart; empty for everything else.
    pub fn parts(&self) -> &[Self] {
        match &self.inside {
            Inside::Parts(parts) => parts,
            _ => &[],
        }
    }

    /// The message inside a message/rfc822 part.
    pub fn message(&self) -> Option<&Self> {
        match &self.inside {
            Inside::Message(message) => Some(message),
            _ => None,
        }
    }

    pub fn is_multipart(&self) -> bool {
        matches!(self.inside, Inside::Parts(_))
    }

    /// The first Content-Type parameter of that name, as given.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        find_parameter(&self.parameters, name)
    }

    pub fn charset(&self) -> Option<&str> {
        self.parameter("charset")
            .filter(|charset| !charset.is_empty())
    }

    pub fn transfer_encoding(&self) -> TransferEncoding {
        match self.encoding.as_str() {
            "base64" => TransferEncoding::Base64,
            "quoted-printable" => TransferEncoding::QuotedPrintable,
            _ => TransferEncoding::Identity,
        }
    }

    /// "text/plain".
    pub fn content_type(&self) -> String {
        format!("{}/{}", self.media_type, self.subtype)
    }

    /// The numbers of a section number such as "1.2".
    pub fn section(path: &str) -> Option<Vec<u32>> {
        path.split('.').map(|number| number.parse().ok()).collect()
    }

    /// The entity that an IMAP section number names (RFC 3501 §6.4.5); the message itself for no number. `BODY[2]` is the body of
    /// `find(&[2])`, `BODY[2.MIME]` its header, `BODY[2.HEADER]` and `BODY[2.TEXT]` header and body of its `message()`.
    pub fn find(&self, section: &[u32]) -> Option<&Self> {
        let Some((first, rest)) = section.split_first() else {
            return Some(self);
        };
        let mut current = self.part_of_message(*first)?;
        for number in rest {
            current = match &current.inside {
                Inside::Leaf => return None,
                Inside::Parts(parts) => nth(parts, *number)?,
                Inside::Message(message) => message.part_of_message(*number)?,
            };
        }
        Some(current)
    }

    /// A message that is not multipart is its own part 1.
    fn part_of_message(&self, number: u32) -> Option<&Self> {
        match &self.inside {
            Inside::Parts(parts) => nth(parts, number),
            _ if number == 1 => Some(self),
            _ => None,
        }
    }

    /// What is not multipart, in order, with its section number such as "1.2". An attached message counts as a leaf.
    pub fn leaves(&self) -> Vec<(String, &Self)> {
        let mut leaves = Vec::new();
        // Parts still to visit, next one last: no recursion, however deep the tree.
        let mut open = vec![(String::new(), self)];
        while let Some((path, entity)) = open.pop() {
            match &entity.inside {
                Inside::Parts(parts) => {
                    open.extend(parts.iter().enumerate().rev().map(|(index, part)| {
                        let number = index + 1;
                        match path.as_str() {
                            "" => (number.to_string(), part),
                            path => (format!("{path}.{number}"), part),
                        }
                    }));
                }
                _ if path.is_empty() => leaves.push(("1".to_owned(), entity)),
                _ => leaves.push((path, entity)),
            }
        }
        leaves
    }
}

impl Disposition {
    /// The first parameter of that name, as given.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        find_parameter(&self.parameters, name)
    }
}

fn nth(parts: &[Entity], number: u32) -> Option<&Entity> {
    parts.get((number as usize).checked_sub(1)?)
}

fn find_parameter<'a>(parameters: &'a [Parameter], name: &str) -> Option<&'a str> {
    parameters
        .iter()
        .find(|parameter| parameter.name.eq_ignore_ascii_case(name))
        .map(|parameter| parameter.value.as_str())
}
