//! The edits of the body in one call of a hook: recorded within bounds, and shown to the filter as far as it can see them.
//! Checks no values: `abi::host::body_edit` does.

use super::state::{Refused, State, new_octets, nothing_yet, scope_octets};
use crate::mail::{BodyEdit, Edit, HeaderEdit, NewOctets, Scope, Scoped};
use bytes::BytesMut;
use sha2::{Digest, Sha256};

/// What the edits of the body may hold in one transaction of one filter.
const MAX_OCTETS: usize = 64 * 1024 * 1024;

/// A new body as far as it has been given.
#[derive(Debug)]
pub struct Replacing {
    /// Of the edit among those of the call.
    edit: usize,
    size: u64,
    digest: Sha256,
    octets: BytesMut,
    /// The last octet given was a CR that stands for a line end already.
    ends_in_cr: bool,
}

impl Replacing {
    fn push(&mut self, octets: &[u8]) {
        self.size += octets.len() as u64;
        self.digest.update(octets);
        let Some(last) = octets.last() else {
            return;
        };
        let rest = match octets.strip_prefix(b"\n") {
            Some(rest) if self.ends_in_cr => rest,
            _ => octets,
        };
        self.octets
            .extend_from_slice(&crate::mail::mime::crlf(rest));
        self.ends_in_cr = *last == b'\r';
    }
}

impl State {
    /// Whether there is a body that can be changed; with `part`, one that has its parts still.
    pub fn is_editable(&self, part: bool) -> Result<(), Refused> {
        if self.view().is_none() {
            return Err(nothing_yet());
        }
        let Some(message) = self.message() else {
            return Err(Refused::NoSuchThing(
                "there is no body at this hook: edit it at on-message or on-deliver".to_owned(),
            ));
        };
        if part && message.is_body_replaced() {
            return Err(Refused::NoSuchThing(
                "the body has been replaced as a whole, by this filter or an earlier one: its parts are gone".to_owned(),
            ));
        }
        Ok(())
    }

    pub fn has_room_for(&self, octets: usize) -> Result<(), Refused> {
        if self.used.body_octets.saturating_add(octets) > MAX_OCTETS {
            return Err(Refused::TooMuch(format!(
                "the edits of the body may hold {} MiB in one transaction",
                MAX_OCTETS / (1024 * 1024)
            )));
        }
        Ok(())
    }

    /// Records an edit of a part, with those of the message's header that belong to it. `octets` is what the filter gave.
    pub fn edit_body(
        &mut self,
        header: Vec<HeaderEdit>,
        edit: BodyEdit,
        scope: Scope,
        octets: usize,
    ) -> Result<(), Refused> {
        self.has_room_for(octets)?;
        let old = header.iter().map(|edit| self.old_octets(edit)).sum();
        self.has_room_for_old(old)?;
        let new: usize = header.iter().map(new_octets).sum();
        self.spend(new + scope_octets(&scope) * (header.len() + 1))?;
        self.used.old_octets += old;
        self.used.body_octets += octets;
        let shown = self.shows(&scope);
        if let Some(message) = self.message_mut().filter(|_| shown) {
            for edit in &header {
                message.header.apply(edit);
            }
            message.edit_body(&edit);
        }
        let header = header.into_iter().map(Edit::Header);
        for edit in header.chain([Edit::Body(edit)]) {
            let scope = scope.clone();
            self.record.edits.push(Scoped { edit, scope });
        }
        Ok(())
    }

    /// Replaces the body, or appends to what replaces it for the same recipients in this call of the hook.
    pub fn replace_body(&mut self, octets: &[u8], scope: Scope) -> Result<(), Refused> {
        self.has_room_for(octets.len())?;
        let edits = &self.record.edits;
        let mut all = self.record.replacing.iter();
        let of_scope = |replacing: &Replacing| {
            let edit = edits.get(replacing.edit);
            edit.is_some_and(|edit| edit.scope == scope)
        };
        let known = match all.position(of_scope) {
            Some(known) => known,
            None => {
                let with = NewOctets::default();
                self.edit_body(Vec::new(), BodyEdit::Replace { with }, scope, 0)?;
                self.record.replacing.push(Replacing {
                    edit: self.record.edits.len() - 1,
                    size: 0,
                    digest: Sha256::new(),
                    octets: BytesMut::new(),
                    ends_in_cr: false,
                });
                self.record.replacing.len() - 1
            }
        };
        self.used.body_octets += octets.len();
        if let Some(replacing) = self.record.replacing.get_mut(known) {
            replacing.push(octets);
        }
        Ok(())
    }
}

/// Puts new bodies, complete now, into their edits.
pub fn complete(edits: &mut [Scoped], replacing: Vec<Replacing>) {
    for replacing in replacing {
        if let Some(scoped) = edits.get_mut(replacing.edit)
            && let Edit::Body(BodyEdit::Replace { with }) = &mut scoped.edit
        {
            *with = NewOctets {
                size: replacing.size,
                sha256: hex(&replacing.digest.finalize()),
                encoding: String::new(),
                octets: replacing.octets.freeze(),
            };
        }
    }
}

/// In hexadecimal.
pub fn sha256(octets: &[u8]) -> String {
    hex(&Sha256::digest(octets))
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_become_crlf_wherever_the_pieces_are_cut() {
        let text = b"a\r\nb\nc\rd\r\n\r\n\n\r";
        for cut in 0..text.len() {
            let (first, second) = text.split_at(cut);
            let mut replacing = Replacing {
                edit: 0,
                size: 0,
                digest: Sha256::new(),
                octets: BytesMut::new(),
                ends_in_cr: false,
            };
            replacing.push(first);
            replacing.push(b"");
            replacing.push(second);
            assert_eq!(
                &replacing.octets[..],
                b"a\r\nb\r\nc\r\nd\r\n\r\n\r\n\r\n",
                "cut at {cut}"
            );
            assert_eq!(replacing.size, text.len() as u64);
        }
    }
}
