//! `body-edit`: changes of the body, checked, encoded and recorded. What they make of the message's octets is `mail`'s work.

use super::only;
use crate::mail::mime::{Entity, MediaType, Mime, PartError, encode};
use crate::mail::{BodyEdit, FieldName, Header, HeaderEdit, Line, NewOctets};
use crate::plugin::abi::generated::body_edit::Host;
use crate::plugin::abi::generated::types::{Refusal, Scope};
use crate::plugin::body_edits::sha256;
use crate::plugin::state::{Refused, State};

const MAX_NOTE: usize = 16 * 1024;

/// A part as the message has it.
struct Found {
    /// Its section number as the host writes it.
    path: String,
    /// The message is not multipart and this is all of it: its header is the message's.
    is_message: bool,
}

fn find(mime: &Mime, path: &str) -> Result<Found, PartError> {
    mime.leaf(path)?;
    let section = Entity::section(path).unwrap_or_default();
    let numbers: Vec<_> = section.iter().map(u32::to_string).collect();
    Ok(Found {
        path: numbers.join("."),
        is_message: section == [1] && !mime.root().is_multipart(),
    })
}

/// Sets the MIME fields of a message that is not multipart.
fn mime_fields(
    header: &Header,
    content_type: &str,
    encoding: &str,
    keeps_others: bool,
) -> Result<Vec<HeaderEdit>, Refused> {
    let failed = |error| Refused::Failed(format!("the header's MIME fields: {error}"));
    let mut edits = Vec::new();
    let wanted = [
        ("Content-Type", content_type),
        ("Content-Transfer-Encoding", encoding),
        // RFC 2045 §4: without it, they mean nothing.
        ("MIME-Version", "1.0"),
    ];
    for (name, value) in wanted {
        let (field, value) = (
            FieldName::new(name).map_err(failed)?,
            Line::new(value).map_err(failed)?,
        );
        let known: Vec<String> = header.get(name).map(|field| field.text()).collect();
        match known.into_iter().next() {
            Some(_) if name == "MIME-Version" => {}
            Some(was) => {
                edits.extend(removals(header, &field, 2));
                edits.push(HeaderEdit::Change {
                    name: field,
                    nth: 1,
                    value: value.into(),
                    was,
                });
            }
            None => edits.push(HeaderEdit::Add {
                name: field,
                value: value.into(),
            }),
        }
    }
    if !keeps_others {
        let mut names: Vec<String> = Vec::new();
        for field in header.fields() {
            let name = field.name().to_ascii_lowercase();
            let is_set = wanted.iter().any(|(set, _)| name.eq_ignore_ascii_case(set));
            if name.starts_with("content-") && !is_set && !names.contains(&name) {
                // A name that cannot be one of ours says nothing of the content either.
                if let Ok(field) = FieldName::new(field.name()) {
                    edits.extend(removals(header, &field, 1));
                }
                names.push(name);
            }
        }
    }
    Ok(edits)
}

/// All fields of a name from the `first` on, the last of them first, so that the numbers hold.
fn removals(header: &Header, name: &FieldName, first: usize) -> Vec<HeaderEdit> {
    let fields: Vec<_> = header.get(name.as_str()).collect();
    let from_first = fields.iter().enumerate().skip(first - 1).rev();
    from_first
        .map(|(index, field)| HeaderEdit::Remove {
            name: name.clone(),
            nth: u32::try_from(index + 1).unwrap_or(u32::MAX),
            was: field.text(),
        })
        .collect()
}

impl State {
    async fn replace_one(
        &mut self,
        path: String,
        media_type: String,
        octets: Vec<u8>,
        scope: Scope,
    ) -> Result<(), Refused> {
        self.is_editable(true)?;
        let scope = self.scope(only(scope))?;
        let media_type = MediaType::parse(&media_type).map_err(|why| {
            let shown: String = media_type.chars().take(100).collect();
            Refused::BadValue(format!("the media type {shown:?}: {why}"))
        })?;
        if media_type.is_text()
            && let Err(error) = std::str::from_utf8(&octets)
        {
            return Err(Refused::BadValue(format!(
                "the text of part {path:?} is not UTF-8 from octet {} on",
                error.valid_up_to()
            )));
        }
        self.has_room_for(octets.len())?;
        let (is_text, size) = (media_type.is_text(), octets.len());
        let work = move |mime: &Mime| {
            let found = find(mime, &path)?;
            let (encoding, encoded) = encode(is_text, &octets);
            let with = NewOctets {
                size: size as u64,
                sha256: sha256(&octets),
                encoding: encoding.to_owned(),
                octets: encoded,
            };
            Ok((found, with))
        };
        let (found, with) = self.mime(size as u64, work).await?;
        let content_type = media_type.content_type();
        let fields = match (found.is_message, self.header()) {
            (true, Some(header)) => mime_fields(header, &content_type, &with.encoding, true)?,
            _ => Vec::new(),
        };
        let edit = BodyEdit::ReplacePart {
            path: found.path,
            media_type: content_type,
            with,
        };
        self.edit_body(fields, edit, scope, size)
    }

    async fn drop_one(
        &mut self,
        path: String,
        note: Option<String>,
        scope: Scope,
    ) -> Result<(), Refused> {
        self.is_editable(true)?;
        let scope = self.scope(only(scope))?;
        let text = note.as_deref().unwrap_or_default();
        if text.len() > MAX_NOTE {
            return Err(Refused::TooMuch(format!(
                "a note of {} octets: the limit is {MAX_NOTE}; replace the part instead",
                text.len()
            )));
        }
        if text.contains('\0') {
            return Err(Refused::BadValue("the note holds a NUL".to_owned()));
        }
        let size = text.len();
        let (encoding, _) = encode(true, text.as_bytes());
        let found = self.mime(0, move |mime| find(mime, &path)).await?;
        let fields = match (found.is_message, self.header()) {
            (true, Some(header)) => {
                let content_type = MediaType::plain_text().content_type();
                mime_fields(header, &content_type, encoding, false)?
            }
            _ => Vec::new(),
        };
        let edit = BodyEdit::DropPart {
            path: found.path,
            note,
        };
        self.edit_body(fields, edit, scope, size)
    }

    fn replace_all(&mut self, octets: &[u8], scope: Scope) -> Result<(), Refused> {
        self.is_editable(false)?;
        let scope = self.scope(only(scope))?;
        if memchr::memchr(0, octets).is_some() {
            return Err(Refused::BadValue(
                "the body holds a NUL, which no mail client could be told of (RFC 3501 §9): encode it".to_owned(),
            ));
        }
        self.has_room_for(octets.len())?;
        self.replace_body(octets, scope)
    }
}

impl Host for State {
    fn replace(&mut self, octets: Vec<u8>, scope: Scope) -> Result<(), Refusal> {
        self.count();
        let result = self.replace_all(&octets, scope);
        self.answer("body-edit.replace", result)
    }

    async fn replace_part(
        &mut self,
        path: String,
        media_type: String,
        octets: Vec<u8>,
        scope: Scope,
    ) -> Result<(), Refusal> {
        self.count();
        let result = self.replace_one(path, media_type, octets, scope).await;
        self.answer("body-edit.replace-part", result)
    }

    async fn drop_part(
        &mut self,
        path: String,
        note: Option<String>,
        scope: Scope,
    ) -> Result<(), Refusal> {
        self.count();
        let result = self.drop_one(path, note, scope).await;
        self.answer("body-edit.drop-part", result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_of_a_simple_message_gets_its_mime_fields() {
        let text = "Content-Type: a/b\r\nSubject: s\r\nCONTENT-TYPE: c/d\r\nContent-Disposition: attachment\r\nContent-Id: <1>\r\n\r\n";
        for (keeps_others, left) in [
            (
                true,
                "Content-Type|Subject|Content-Disposition|Content-Id|Content-Transfer-Encoding|MIME-Version",
            ),
            (
                false,
                "Content-Type|Subject|Content-Transfer-Encoding|MIME-Version",
            ),
        ] {
            let mut header = Header::parse(&text.into());
            let edits = mime_fields(&header, "text/html; charset=utf-8", "7bit", keeps_others);
            for edit in edits.unwrap() {
                assert!(header.apply(&edit), "{edit:?}");
            }
            let names: Vec<_> = header.fields().iter().map(|field| field.name()).collect();
            assert_eq!(names.join("|"), left);
            let types: Vec<_> = header
                .get("Content-Type")
                .map(|field| field.text())
                .collect();
            assert_eq!(types, ["text/html; charset=utf-8"]);
        }
    }
}
