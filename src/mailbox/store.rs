//! STORE, and flags as clients give them (RFC 3501 §6.4.6).
//! Expunges nothing.

use super::moves::tell_flagged;
use super::refusal;
use super::selected::Selected;
use super::session::{Context, User};
use crate::proto::imap::Reply;
use crate::store::{FlagChange, FlagOp, Flags};
use imap_types::flag::{Flag, StoreResponse, StoreType};
use imap_types::sequence::SequenceSet;

/// Keywords of one command, and octets of one.
const KEYWORDS_MAX: usize = 64;
const KEYWORD_LENGTH_MAX: usize = 128;

/// What STORE asks for.
pub(super) struct Change<'a> {
    pub kind: StoreType,
    pub response: StoreResponse,
    pub flags: &'a [Flag<'a>],
}

/// \Recent is left out: no client can set it (RFC 3501 §2.3.2), and some send it back.
pub(super) fn flags_of(given: &[Flag<'_>]) -> Result<Flags, Reply> {
    let mut flags = Flags::new();
    for flag in given {
        let text = flag.to_string();
        match flag {
            Flag::Extension(_) if text.eq_ignore_ascii_case("\\Recent") => {}
            Flag::Extension(_) => {
                return Err(Reply::bad(
                    "There is no such system flag (RFC 3501 section 2.3.2)",
                ));
            }
            Flag::Keyword(_) if text.len() > KEYWORD_LENGTH_MAX => {
                return Err(Reply::no("The keyword is too long").code("LIMIT"));
            }
            _ => {
                flags.insert(text);
            }
        }
    }
    match flags.len() > KEYWORDS_MAX {
        true => Err(Reply::no("These are too many keywords").code("LIMIT")),
        false => Ok(flags),
    }
}

pub(super) async fn store(
    context: &mut Context<'_>,
    user: &User,
    selected: &mut Selected,
    set: &SequenceSet,
    change: Change<'_>,
    by_uid: bool,
) -> Reply {
    if selected.read_only {
        return Reply::no("The mailbox is selected for reading only").code("READ-ONLY");
    }
    let flags = match flags_of(change.flags) {
        Ok(flags) => flags,
        Err(reply) => return reply,
    };
    let Some(positions) = selected.positions(set, by_uid) else {
        return Reply::bad("There is no message of that number");
    };
    let op = match change.kind {
        StoreType::Replace => FlagOp::Replace,
        StoreType::Add => FlagOp::Add,
        StoreType::Remove => FlagOp::Remove,
    };
    let rows = positions.iter().filter_map(|at| selected.rows.get(*at));
    let before: Vec<(u32, Flags)> = rows.map(|row| (row.uid, (*row.flags).clone())).collect();
    let uids: Vec<u32> = before.iter().map(|(uid, _)| *uid).collect();
    if uids.is_empty() {
        return Reply::ok("STORE completed");
    }
    let wanted = FlagChange {
        op,
        flags: flags.clone(),
        unchanged_since: None,
    };
    let stored = match context
        .store()
        .store_flags(selected.id, &uids, wanted)
        .await
    {
        Ok(stored) => stored,
        Err(error) => return refusal(&error),
    };
    tell_flagged(context, user, selected, &before, &stored);
    for meta in &stored {
        selected.update(meta);
        let expected = before
            .binary_search_by_key(&meta.uid, |(uid, _)| *uid)
            .ok()
            .and_then(|at| before.get(at))
            .map(|(_, before)| applied(op, before, &flags));
        // With .SILENT the client counts on its own arithmetic; where that fails it is told (RFC 3501 §6.4.6).
        if change.response == StoreResponse::Answer || expected.as_ref() != Some(&meta.flags) {
            selected.note_changed(meta.uid);
        }
    }
    match stored.len() < uids.len() {
        true => Reply::ok("Some of the messages are gone").code("EXPUNGEISSUED"),
        false => Reply::ok("STORE completed"),
    }
}

fn applied(op: FlagOp, before: &Flags, flags: &Flags) -> Flags {
    let is_named = |flag: &&String| flags.iter().any(|named| named.eq_ignore_ascii_case(flag));
    match op {
        FlagOp::Replace => flags.clone(),
        FlagOp::Add => before.union(flags).cloned().collect(),
        FlagOp::Remove => before
            .iter()
            .filter(|flag| !is_named(flag))
            .cloned()
            .collect(),
    }
}
