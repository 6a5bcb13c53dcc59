//! What a command of a client moved, copied or flagged, as filters are told of it.
//! Waits for nothing: who it is told to has a queue.

use super::selected::Selected;
use super::session::{Context, User};
use crate::accept::{Changed, Move, Moves};
use crate::store::{Flags, Mailbox, MessageMeta};
use std::collections::BTreeMap;

impl Context<'_> {
    fn moves(&self) -> Option<&Moves> {
        let moves = self.mailboxes.moves.as_ref();
        moves.filter(|moves| moves.are_wanted())
    }
}

/// COPY and MOVE: pairs of the old and the new UID.
pub(super) fn tell_copied(
    context: &Context<'_>,
    user: &User,
    selected: &Selected,
    to: &Mailbox,
    copied: &[(u32, u32)],
) {
    if let Some(moves) = context.moves() {
        moves.tell(Move {
            account: user.login.clone(),
            from: selected.name.to_string(),
            to: to.name.to_string(),
            mailbox: to.id,
            messages: vec![Changed {
                uids: copied.iter().map(|(_, uid)| *uid).collect(),
                added: Vec::new(),
                removed: Vec::new(),
            }],
        });
    }
}

/// STORE: flags before, ascending by UID, and after.
pub(super) fn tell_flagged(
    context: &Context<'_>,
    user: &User,
    selected: &Selected,
    before: &[(u32, Flags)],
    after: &[MessageMeta],
) {
    let Some(moves) = context.moves() else {
        return;
    };
    // A command does the same to most of its messages.
    let mut changes: BTreeMap<(Vec<String>, Vec<String>), Vec<u32>> = BTreeMap::new();
    for meta in after {
        let Ok(at) = before.binary_search_by_key(&meta.uid, |(uid, _)| *uid) else {
            continue;
        };
        let Some((_, was)) = before.get(at) else {
            continue;
        };
        let more = |a: &Flags, b: &Flags| a.difference(b).cloned().collect::<Vec<_>>();
        let change = (more(&meta.flags, was), more(was, &meta.flags));
        if change != (Vec::new(), Vec::new()) {
            changes.entry(change).or_default().push(meta.uid);
        }
    }
    if changes.is_empty() {
        return;
    }
    let messages = changes.into_iter().map(|((added, removed), uids)| Changed {
        uids,
        added,
        removed,
    });
    moves.tell(Move {
        account: user.login.clone(),
        from: selected.name.to_string(),
        to: selected.name.to_string(),
        mailbox: selected.id,
        messages: messages.collect(),
    });
}
