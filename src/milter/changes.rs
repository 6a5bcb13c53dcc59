//! The modifications that a milter asks for, as edits of the journal. Fields are counted as Sendmail counts them: one that was removed
//! counts on. Admits no recipients: the chain does.

use crate::mail::mime::crlf;
use crate::mail::{
    Address, AddressError, BodyEdit, Edit, Envelope, EnvelopeEdit, Failure, FailureKind, FieldName,
    FieldValue, Header, HeaderEdit, Line, NewOctets, ReversePath, Scope, Scoped, TextError,
    Written,
};
use crate::plugin::sha256;
use crate::proto::milter::Modification;
use bytes::Bytes;

/// Modifications of one message.
const COUNT: usize = 1000;
/// Octets of all names, values and addresses in them.
const OCTETS: usize = 1024 * 1024;

/// What was asked for so far.
#[derive(Debug)]
pub struct Changes {
    list: Vec<Modification>,
    octets: usize,
    body: Option<Vec<u8>>,
    /// The most octets of a new body.
    size: u64,
}

impl Changes {
    pub fn new(size: u64) -> Self {
        Self {
            list: Vec::new(),
            octets: 0,
            body: None,
            size,
        }
    }

    pub fn add(&mut self, modification: Modification) -> Result<(), Failure> {
        self.octets = self.octets.saturating_add(octets(&modification));
        if self.list.len() >= COUNT || self.octets > OCTETS {
            return Err(bad(format!(
                "it asks for more than {COUNT} modifications, or for more than {OCTETS} octets in them"
            )));
        }
        self.list.push(modification);
        Ok(())
    }

    /// The next piece of a new body.
    pub fn body(&mut self, octets: &[u8]) -> Result<(), Failure> {
        let body = self.body.get_or_insert_default();
        if (body.len() + octets.len()) as u64 > self.size {
            return Err(bad(format!(
                "its new body is longer than the {} octets that a message may have",
                self.size
            )));
        }
        body.extend_from_slice(octets);
        Ok(())
    }

    /// In the order in which they were asked for, the new body last. `header` is what the milter has seen; `server` is the domain of an
    /// address without one. With `leading_space` a value begins behind the colon, else behind the space there.
    pub fn edits(
        self,
        header: &Header,
        envelope: &Envelope,
        server: &str,
        leading_space: bool,
    ) -> Result<Vec<Scoped>, Failure> {
        let mut fields = Fields::new(header);
        let mut edits = Vec::new();
        for modification in self.list {
            match modification {
                Modification::AddHeader { name, value } => {
                    let (name, value) = (field_name(&name)?, field_value(&value, leading_space)?);
                    edits.push(Edit::Header(fields.add(name, value)));
                }
                Modification::InsertHeader { at, name, value } => {
                    let (name, value) = (field_name(&name)?, field_value(&value, leading_space)?);
                    edits.push(Edit::Header(fields.insert(at, name, value)));
                }
                Modification::ChangeHeader { nth, name, value } => {
                    let name = field_name(&name)?;
                    let edit = if value.is_empty() {
                        fields.remove(nth, name)
                    } else {
                        Some(fields.change(nth, name, field_value(&value, leading_space)?))
                    };
                    edits.extend(edit.map(Edit::Header));
                }
                Modification::ChangeSender {
                    address: given,
                    parameters,
                } => {
                    let sender = match bare(&given) {
                        "" => ReversePath::Null,
                        _ => ReversePath::Address(address(&given, server)?),
                    };
                    edits.push(Edit::Envelope(EnvelopeEdit::SetSender {
                        sender,
                        arguments: parameters,
                        was: envelope.sender.clone(),
                    }));
                }
                Modification::AddRecipient {
                    address: given,
                    parameters,
                } => edits.push(Edit::Envelope(EnvelopeEdit::AddRecipient {
                    address: address(&given, server)?,
                    arguments: parameters.filter(|parameters| !parameters.is_empty()),
                })),
                Modification::DeleteRecipient { address: given } => {
                    edits.push(Edit::Envelope(EnvelopeEdit::RemoveRecipient {
                        address: address(&given, server)?,
                    }));
                }
                Modification::Quarantine { reason } => edits.push(Edit::Hold {
                    why: Line::lossy(&reason).into(),
                }),
            }
        }
        if let Some(body) = self.body {
            let with = NewOctets {
                size: body.len() as u64,
                sha256: sha256(&body),
                encoding: String::new(),
                octets: Bytes::from(crlf(&body).into_owned()),
            };
            edits.push(Edit::Body(BodyEdit::Replace { with }));
        }
        let scoped = |edit| Scoped {
            edit,
            scope: Scope::All,
        };
        Ok(edits.into_iter().map(scoped).collect())
    }
}

/// The fields as the milter counts them.
struct Fields {
    /// As they stand.
    header: Header,
    /// Those that the milter has removed are still here.
    known: Vec<Known>,
}

struct Known {
    name: String,
    is_there: bool,
}

impl Fields {
    fn new(header: &Header) -> Self {
        let known = header.fields().iter().map(|field| Known {
            name: field.name().into_owned(),
            is_there: true,
        });
        Self {
            known: known.collect(),
            header: header.clone(),
        }
    }

    fn made(&mut self, edit: HeaderEdit) -> HeaderEdit {
        self.header.apply(&edit);
        edit
    }

    fn add(&mut self, name: FieldName, value: FieldValue) -> HeaderEdit {
        self.known.push(Known {
            name: name.as_str().to_owned(),
            is_there: true,
        });
        self.made(HeaderEdit::Add { name, value })
    }

    /// A mail server's own Received field, which is not there yet and which the milter has not seen, counts.
    fn insert(&mut self, at: u32, name: FieldName, value: FieldValue) -> HeaderEdit {
        let at = (at.saturating_sub(1) as usize).min(self.known.len());
        self.known.insert(
            at,
            Known {
                name: name.as_str().to_owned(),
                is_there: false,
            },
        );
        self.put(at, name, value)
    }

    /// In the place of one that is known and not there.
    fn put(&mut self, known: usize, name: FieldName, value: FieldValue) -> HeaderEdit {
        let before = self.known.iter().take(known);
        let at = before.filter(|known| known.is_there).count() as u32;
        if let Some(known) = self.known.get_mut(known) {
            known.is_there = true;
        }
        self.made(HeaderEdit::Insert { at, name, value })
    }

    /// Where the `nth` of that name is known, counted from 1 (0 is taken for that too), and if it is there still, the how manyeth that is.
    fn find(&self, nth: u32, name: &FieldName) -> Option<(usize, Option<u32>)> {
        let is_named = |known: &Known| known.name.eq_ignore_ascii_case(name.as_str());
        let mut named = self.known.iter().enumerate();
        let mut named = named.by_ref().filter(|(_, known)| is_named(known));
        let (at, known) = named.nth(nth.max(1) as usize - 1)?;
        let before = self.known.iter().take(at);
        let before = before.filter(|known| known.is_there && is_named(known));
        let nth = before.count() as u32 + 1;
        Some((at, known.is_there.then_some(nth)))
    }

    fn was(&self, nth: u32, name: &FieldName) -> String {
        let field = self.header.nth(name.as_str(), nth);
        field.map(|field| field.text()).unwrap_or_default()
    }

    /// One that there are too few of is added, as Sendmail and Postfix do.
    fn change(&mut self, nth: u32, name: FieldName, value: FieldValue) -> HeaderEdit {
        match self.find(nth, &name) {
            None => self.add(name, value),
            Some((at, None)) => self.put(at, name, value),
            Some((_, Some(nth))) => {
                let was = self.was(nth, &name);
                self.made(HeaderEdit::Change {
                    name,
                    nth,
                    value,
                    was,
                })
            }
        }
    }

    fn remove(&mut self, nth: u32, name: FieldName) -> Option<HeaderEdit> {
        let (at, nth) = self.find(nth, &name)?;
        let nth = nth?;
        if let Some(known) = self.known.get_mut(at) {
            known.is_there = false;
        }
        let was = self.was(nth, &name);
        Some(self.made(HeaderEdit::Remove { name, nth, was }))
    }
}

fn octets(modification: &Modification) -> usize {
    let of = |parameters: &Option<String>| parameters.as_ref().map_or(0, String::len);
    match modification {
        Modification::AddHeader { name, value }
        | Modification::InsertHeader { name, value, .. }
        | Modification::ChangeHeader { name, value, .. } => name.len() + value.len(),
        Modification::ChangeSender {
            address,
            parameters,
        }
        | Modification::AddRecipient {
            address,
            parameters,
        } => address.len() + of(parameters),
        Modification::DeleteRecipient { address } => address.len(),
        Modification::Quarantine { reason } => reason.len(),
    }
}

fn field_name(name: &[u8]) -> Result<FieldName, Failure> {
    let text = String::from_utf8_lossy(name).into_owned();
    FieldName::new(text.clone())
        .map_err(|error| bad(format!("it asks for a field {}: {error}", shown(&text))))
}

/// Lines end with LF here, or with CRLF. A line that is too long for mail is folded again.
fn field_value(value: &[u8], leading_space: bool) -> Result<FieldValue, Failure> {
    let mut octets = Vec::with_capacity(value.len() + 1);
    if !leading_space {
        octets.push(b' ');
    }
    let mut lines = value.split(|octet| *octet == b'\n').peekable();
    while let Some(line) = lines.next() {
        let is_last = lines.peek().is_none();
        octets.extend_from_slice(
            line.strip_suffix(b"\r")
                .filter(|_| !is_last)
                .unwrap_or(line),
        );
        if !is_last {
            octets.extend_from_slice(b"\r\n");
        }
    }
    while octets.ends_with(b"\r\n") {
        octets.truncate(octets.len() - 2);
    }
    let text = String::from_utf8_lossy(&octets).into_owned();
    match Written::new(octets) {
        Ok(written) => Ok(FieldValue::AsWritten(written)),
        Err(TextError::TooLong(..)) => Ok(Line::lossy(&text.replace("\r\n", "")).into()),
        Err(error) => Err(bad(format!(
            "it asks for a field with the value {}: {error}",
            shown(&text)
        ))),
    }
}

/// Without angle brackets.
fn bare(given: &str) -> &str {
    let given = given.trim();
    let inner = given
        .strip_prefix('<')
        .and_then(|given| given.strip_suffix('>'));
    inner.unwrap_or(given)
}

fn address(given: &str, server: &str) -> Result<Address, Failure> {
    let text = bare(given);
    let parsed = match Address::vouched(text) {
        Err(AddressError::NoAt) => Address::vouched(&format!("{text}@{server}")),
        read => read,
    };
    parsed.map_err(|error| bad(format!("it asks for the address {}: {error}", shown(text))))
}

fn shown(text: &str) -> String {
    format!("{:?}", text.chars().take(100).collect::<String>())
}

fn bad(text: String) -> Failure {
    Failure {
        kind: FailureKind::BadAnswer,
        text,
    }
}
