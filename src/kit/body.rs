//! The body of a message as text, and what edits changed of it, for people and for cases.
//! What is long is cut: this is for reading, not for keeping.

use super::play::Done;
use crate::mail::mime::{Disposition, Mime};
use crate::mail::{Address, BodyEdit, Edit, Message, Scope, Scoped, Turn};
use similar::TextDiff;
use std::fmt::Write as _;
use std::io;

/// Octets of a part's text.
const MAX_TEXT: usize = 64 * 1024;
/// Octets of all texts together.
const MAX_TEXTS: usize = 512 * 1024;
/// Lines of a diff.
const MAX_LINES: usize = 200;
/// Lines around a change.
const CONTEXT: usize = 3;

/// Each part with a line that says what it is, and its text if it is one.
fn outline(mime: &Mime) -> io::Result<String> {
    let mut out = String::new();
    for (path, part) in mime.leaves() {
        let size = part.body.end.saturating_sub(part.body.start);
        let _ = write!(out, "[{path}] {}", part.content_type());
        if let Some(Disposition { kind, .. }) = &part.disposition {
            let _ = write!(out, " {kind}");
        }
        if let Some(name) = &part.name {
            let _ = write!(out, " {name:?}");
        }
        let _ = writeln!(out, ", {size} octets in {}", part.encoding);
        if part.media_type == "text" && out.len() < MAX_TEXTS {
            let text = text(mime, &path)?;
            let lines = text.lines().map(str::trim_end);
            lines.for_each(|line| out.extend([line, "\n"]));
            if text.len() >= MAX_TEXT {
                out.push_str("…\n");
            }
        }
    }
    Ok(out)
}

fn text(mime: &Mime, path: &str) -> io::Result<String> {
    mime.text(path, 0, MAX_TEXT).map_err(io::Error::other)
}

/// A unified diff of the body as received and with its edits; empty if it has none.
pub fn body_diff(message: &Message) -> io::Result<String> {
    if !message.is_body_edited() {
        return Ok(String::new());
    }
    let before = outline(&*message.mime()?)?;
    let after = outline(&Mime::new(message.render()?)?)?;
    let diff = TextDiff::from_lines(&before, &after);
    let unified = diff.unified_diff().context_radius(CONTEXT).to_string();
    let mut out = String::new();
    for (index, line) in unified.lines().enumerate() {
        if index == MAX_LINES {
            out.push_str("  … and more\n");
            break;
        }
        let _ = writeln!(out, "  {line}");
    }
    Ok(out)
}

/// As cases name it; none for what is no edit of the body.
fn named(Scoped { edit, scope }: &Scoped) -> Option<String> {
    let Edit::Body(edit) = edit else {
        return None;
    };
    let mut text = match edit {
        BodyEdit::Replace { .. } => "replace".to_owned(),
        BodyEdit::ReplacePart {
            path, media_type, ..
        } => {
            let essence = media_type.split(';').next().unwrap_or_default();
            format!("replace-part {path} {essence}")
        }
        BodyEdit::DropPart { path, .. } => format!("drop-part {path}"),
    };
    if let Scope::Only(recipients) = scope {
        let recipients: Vec<_> = recipients.iter().map(ToString::to_string).collect();
        let _ = write!(text, " for {}", recipients.join(" "));
    }
    Some(text)
}

/// The edits of the body in these turns, as cases name them.
pub fn body_edits<'a>(turns: impl IntoIterator<Item = &'a Turn>) -> Vec<String> {
    let edits = turns.into_iter().flat_map(|turn| &turn.edits);
    edits.filter_map(named).collect()
}

/// What became of a body.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ObservedBody {
    pub edits: Vec<String>,
    /// Media types of the parts.
    pub parts: Vec<String>,
    texts: Vec<String>,
    /// Of those whose copy is another one.
    texts_for: Vec<(Address, Vec<String>)>,
}

impl ObservedBody {
    /// Of a message that cannot be read, nothing.
    pub fn of(plugin: &str, recipients: &[Address], done: &Done) -> Self {
        let turns = done.turns().filter(|turn| turn.filter == plugin);
        let edits = body_edits(turns);
        let mut observed = Self {
            texts_for: Vec::new(),
            edits,
            ..Self::read(done.draft.message()).unwrap_or_default()
        };
        if !observed.edits.is_empty() {
            for address in recipients {
                let own = Self::read(&done.draft.message_for(address));
                let texts = own.unwrap_or_default().texts;
                observed.texts_for.push((address.clone(), texts));
            }
        }
        observed
    }

    fn read(message: &Message) -> io::Result<Self> {
        let mime = match message.is_body_edited() {
            true => Mime::new(message.render()?)?.into(),
            false => message.mime()?,
        };
        let mut body = Self::default();
        for (path, part) in mime.leaves() {
            body.parts.push(part.content_type());
            if part.media_type == "text" {
                body.texts.push(text(&mime, &path)?.replace("\r\n", "\n"));
            }
        }
        Ok(body)
    }

    /// Whether a text part has this in it, in the copy of that recipient or in that of everybody.
    pub fn contains(&self, recipient: Option<&Address>, text: &str) -> bool {
        let own = self.texts_for.iter().find(|(of, _)| Some(of) == recipient);
        let texts = own.map_or(&self.texts, |(_, texts)| texts);
        texts.iter().any(|part| part.contains(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Content;

    #[test]
    fn a_diff_shows_texts_and_names_the_rest() {
        let text = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: a/b; name=x.exe\r\n\r\nMZ\r\n--b--\r\n";
        let mut message = Message::new(Content::from_bytes(text)).unwrap();
        assert_eq!(body_diff(&message).unwrap(), "");
        message.edit_body(&BodyEdit::DropPart {
            path: "2".to_owned(),
            note: Some("x.exe was removed".to_owned()),
        });
        let diff = body_diff(&message).unwrap();
        assert!(
            diff.contains("- [2] a/b \"x.exe\", 2 octets in 7bit")
                || diff.contains("-[2] a/b \"x.exe\", 2 octets in 7bit"),
            "{diff}"
        );
        assert!(
            diff.contains("+x.exe was removed") && diff.contains("  one"),
            "{diff}"
        );
        message.edit_body(&BodyEdit::Replace {
            with: crate::mail::NewOctets {
                octets: "line\n".repeat(1000).into(),
                ..Default::default()
            },
        });
        let diff = body_diff(&message).unwrap();
        assert!(diff.lines().count() <= MAX_LINES + 1);
    }
}
