//! The body of the message. What is read is always the body as received, whatever filters change. Nothing before `message`. It is
//! pulled in pieces: a filter that asks for no part copies nothing. Functions that end in `_for` are for some recipients of the
//! envelope only.

use crate::bindings::body;
pub use crate::bindings::body::Part;
use crate::bindings::body_edit;
use crate::bindings::types::Scope;
use crate::verdict::only;
use crate::{Asked, Refusal};

/// What one call into the host fetches: the cheapest piece.
const PIECE: u32 = 64 * 1024;
/// What one call hands over.
const NEW_PIECE: usize = 1024 * 1024;

/// Octets of the message as received, header included. Free.
pub fn size() -> u64 {
    body::size()
}

/// The leaves of the MIME tree, in order: what is not multipart. An attached message counts as a leaf.
/// The first call in a transaction parses the message, about 2 µs a KiB.
pub fn parts() -> Vec<Part> {
    body::parts()
}

/// The text of all text/* parts that are not attachments, decoded to UTF-8, one after the other with a line end between
/// them, `limit` octets at the most. HTML comes as it is. Parts that cannot be decoded are left out.
pub fn text(limit: usize) -> String {
    let mut all = String::new();
    for part in parts() {
        if all.len() >= limit {
            break;
        }
        if !part.is_text() || part.is_attachment() {
            continue;
        }
        if !all.is_empty() {
            all.push('\n');
        }
        all.push_str(
            &part
                .text(limit.saturating_sub(all.len()))
                .unwrap_or_default(),
        );
    }
    all
}

/// A range of the message as received, header and body, undecoded; 1 MiB at the most, shorter only at the end.
pub fn raw(offset: u64, length: u32) -> Result<Vec<u8>, Refusal> {
    body::raw(offset, length)
}

/// Replace the body, all that follows the header's empty line; a further call in the same hook appends. Nothing is encoded: the
/// octets must agree with the header's MIME fields. Lines end in CRLF; a lone LF becomes one.
pub fn replace(octets: &[u8]) -> Asked {
    replace_all(octets, &Scope::All)
}

pub fn replace_for(recipients: &[&str], octets: &[u8]) -> Asked {
    replace_all(octets, &only(recipients))
}

fn replace_all(octets: &[u8], scope: &Scope) -> Asked {
    let mut pieces = octets.chunks(NEW_PIECE);
    let mut asked = body_edit::replace(pieces.next().unwrap_or_default(), scope);
    for piece in pieces {
        asked = asked.and_then(|()| body_edit::replace(piece, scope));
    }
    asked.into()
}

/// Replace what a part holds, 16 MiB at the most. The octets are not encoded, text is UTF-8: the host chooses the transfer encoding and
/// writes Content-Type and Content-Transfer-Encoding; the part's other fields stay. A media type may have parameters.
pub fn replace_part(path: &str, media_type: &str, octets: &[u8]) -> Asked {
    body_edit::replace_part(path, media_type, octets, &Scope::All).into()
}

pub fn replace_part_for(recipients: &[&str], path: &str, media_type: &str, octets: &[u8]) -> Asked {
    body_edit::replace_part(path, media_type, octets, &only(recipients)).into()
}

/// Take a part out of its multipart, or put a text that says `note` in its place. The last part of a multipart and a message that
/// is not multipart become that text, empty without a note.
pub fn drop_part(path: &str, note: Option<&str>) -> Asked {
    body_edit::drop_part(path, note, &Scope::All).into()
}

pub fn drop_part_for(recipients: &[&str], path: &str, note: Option<&str>) -> Asked {
    body_edit::drop_part(path, note, &only(recipients)).into()
}

impl Part {
    /// text/plain, text/html …
    pub fn is_text(&self) -> bool {
        self.media_type.starts_with("text/")
    }

    pub fn is_attachment(&self) -> bool {
        self.disposition.as_deref() == Some("attachment")
    }

    /// The text of a text/* part, its transfer encoding and charset decoded, `limit` octets at the most, cut at a
    /// character's end.
    pub fn text(&self, limit: usize) -> Result<String, Refusal> {
        let mut all = String::new();
        while let Some(length) = next_length(all.len(), limit) {
            let piece = body::text(&self.path, all.len() as u64, length)?;
            // A character has four octets at the most.
            let is_last = piece.len() + 4 <= length as usize;
            match all.is_empty() {
                true => all = piece,
                false => all.push_str(&piece),
            }
            if is_last {
                break;
            }
        }
        Ok(all)
    }

    /// The octets of the part, its transfer encoding decoded, `limit` at the most.
    pub fn octets(&self, limit: usize) -> Result<Vec<u8>, Refusal> {
        let mut all = Vec::new();
        while let Some(length) = next_length(all.len(), limit) {
            let piece = body::octets(&self.path, all.len() as u64, length)?;
            let is_last = piece.len() < length as usize;
            match all.is_empty() {
                true => all = piece,
                false => all.extend_from_slice(&piece),
            }
            if is_last {
                break;
            }
        }
        Ok(all)
    }
}

fn next_length(have: usize, limit: usize) -> Option<u32> {
    let rest = u32::try_from(limit.saturating_sub(have))
        .unwrap_or(PIECE)
        .min(PIECE);
    (rest > 0).then_some(rest)
}
