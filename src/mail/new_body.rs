//! What the edits so far make of a message's body, and the splices that it comes to.
//! Knows no header: that of a message which is not multipart is edited beside it.

use super::mime::{self, Entity, NewPart};
use super::{BodyEdit, Message, Splice};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// Cheap to clone: what is inserted is shared.
#[derive(Debug, Clone, Default)]
pub(super) struct NewBody {
    /// In place of all.
    whole: Option<Bytes>,
    /// By section number.
    parts: Arc<BTreeMap<Vec<u32>, NewPart>>,
}

impl NewBody {
    /// Of two edits of a part the last one counts. What was replaced as a whole has no parts any more.
    pub fn apply(&mut self, edit: &BodyEdit) {
        let (path, part) = match edit {
            BodyEdit::Replace { with } => {
                self.whole = Some(with.octets.clone());
                self.parts = Arc::default();
                return;
            }
            BodyEdit::ReplacePart {
                path,
                media_type,
                with,
            } => {
                let part = NewPart::Replaced {
                    content_type: media_type.clone(),
                    encoding: with.encoding.clone(),
                    octets: with.octets.clone(),
                };
                (path, part)
            }
            BodyEdit::DropPart { path, note } => {
                (path, note.as_deref().map_or(NewPart::Gone, NewPart::note))
            }
        };
        if let (None, Some(section)) = (&self.whole, Entity::section(path)) {
            Arc::make_mut(&mut self.parts).insert(section, part);
        }
    }

    pub fn is_whole(&self) -> bool {
        self.whole.is_some()
    }

    pub fn is_edited(&self) -> bool {
        self.is_whole() || !self.parts.is_empty()
    }

    /// They lie after the header.
    pub fn splices(&self, message: &Message) -> io::Result<Vec<Splice>> {
        if let Some(octets) = &self.whole {
            return whole(message, octets);
        }
        if self.parts.is_empty() {
            return Ok(Vec::new());
        }
        let mime = message.mime()?;
        mime::rebuild(&message.content.received(), mime.root(), &self.parts)
    }
}

fn whole(message: &Message, octets: &Bytes) -> io::Result<Vec<Splice>> {
    let received = message.content.received();
    let end = message.header.end();
    let line = received.read(end, 2)?;
    let line_end = match &*line {
        [b'\r', b'\n'] => 2,
        [b'\n', ..] => 1,
        _ => 0,
    };
    let mut splices = Vec::new();
    if line_end == 0 {
        // There is no empty line: the message is all header, or more header than is looked at.
        let between: &[u8] = match message.header.is_line_open() {
            true => b"\r\n\r\n",
            false => b"\r\n",
        };
        splices.push(Splice {
            at: end,
            remove: 0,
            insert: Bytes::from_static(between).into(),
        });
    }
    let start = end + line_end;
    splices.push(Splice {
        at: start,
        remove: received.len() - start,
        insert: octets.clone().into(),
    });
    Ok(splices)
}
