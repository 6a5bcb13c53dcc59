//! COPY, MOVE and EXPUNGE with their UID forms (RFC 3501 §6.4.3 and §6.4.7, RFC 6851, RFC 4315).
//! Tells no EXPUNGE itself: that comes with the news of the mailbox.

use super::manage::name_of;
use super::moves::tell_copied;
use super::refusal;
use super::selected::Selected;
use super::session::{Context, User};
use crate::proto::imap::{Reply, uid_set};
use crate::store::{Copying, StoreError};
use imap_types::mailbox::Mailbox as Named;
use imap_types::sequence::SequenceSet;

#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    pub uid: bool,
    pub moves: bool,
}

pub(super) async fn copy(
    context: &mut Context<'_>,
    user: &User,
    selected: &Selected,
    set: &SequenceSet,
    to: &Named<'_>,
    kind: Kind,
) -> Reply {
    if kind.moves && selected.read_only {
        return read_only();
    }
    let Some(positions) = selected.positions(set, kind.uid) else {
        return Reply::bad("There is no message of that number");
    };
    let name = match name_of(to) {
        Ok(name) => name,
        Err(reply) => return reply,
    };
    let to = match context.store().mailbox(user.account, &name).await {
        Ok(mailbox) => mailbox,
        Err(StoreError::NotFound(_)) => return try_create(),
        Err(error) => return refusal(&error),
    };
    let rows = positions.iter().filter_map(|at| selected.rows.get(*at));
    let uids: Vec<u32> = rows.map(|row| row.uid).collect();
    let done = match kind.moves {
        true => "MOVE completed",
        false => "COPY completed",
    };
    if uids.is_empty() {
        return Reply::ok(done);
    }
    let copying = Copying {
        from: selected.id,
        uids: &uids,
        to: to.id,
        r#move: kind.moves,
    };
    let copied = match context.store().copy(copying).await {
        Ok(copied) => copied.uids,
        Err(StoreError::NotFound(_)) => return try_create(),
        Err(error) => return refusal(&error),
    };
    if copied.is_empty() {
        return Reply::no("The messages are gone").code("EXPUNGEISSUED");
    }
    tell_copied(context, user, selected, &to, &copied);
    let code = format!(
        "COPYUID {} {} {}",
        to.uid_validity,
        uid_set(copied.iter().map(|(from, _)| *from)),
        uid_set(copied.iter().map(|(_, to)| *to)),
    );
    match kind.moves {
        // Before the EXPUNGE of what was moved (RFC 6851 §4.3).
        true => {
            context
                .connection
                .reply(None, &Reply::ok("Moved").code(code));
            Reply::ok(done)
        }
        false => Reply::ok(done).code(code),
    }
}

fn read_only() -> Reply {
    Reply::no("The mailbox is selected for reading only").code("READ-ONLY")
}

pub(super) fn try_create() -> Reply {
    Reply::no("There is no such mailbox; it can be created").code("TRYCREATE")
}

/// Of all messages, or of those UIDs (RFC 4315 §2.1).
pub(super) async fn expunge(
    context: &Context<'_>,
    selected: &Selected,
    set: Option<&SequenceSet>,
) -> Reply {
    if selected.read_only {
        return read_only();
    }
    let uids: Option<Vec<u32>> = set.map(|set| {
        let positions = selected.positions(set, true).unwrap_or_default();
        let rows = positions.iter().filter_map(|at| selected.rows.get(*at));
        rows.map(|row| row.uid).collect()
    });
    match context.store().expunge(selected.id, uids.as_deref()).await {
        Ok(_) => Reply::ok("EXPUNGE completed"),
        Err(error) => refusal(&error),
    }
}
