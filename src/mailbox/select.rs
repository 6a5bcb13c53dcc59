//! SELECT, EXAMINE and CLOSE, and which messages are recent (RFC 3501 §6.3.1, §6.3.2, §6.4.2, §2.3.2).
//! What happens while a mailbox is selected is elsewhere.

use super::connection::End;
use super::manage::name_of;
use super::refusal;
use super::selected::Selected;
use super::session::{Context, State, User};
use crate::proto::imap::Reply;
use crate::store::MailboxId;
use imap_types::mailbox::Mailbox as Named;
use std::collections::HashMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

/// From which UID on messages are recent in each mailbox: those that no session was told of. Kept in memory: after a start all are, as
/// RFC 3501 §2.3.2 says for a server that can't know.
#[derive(Debug, Default)]
pub struct Recent {
    from: Mutex<HashMap<MailboxId, u32>>,
}

impl Recent {
    /// From here on messages are recent for who asks. Unless it only looks, they are for nobody else, up to `uid_next`.
    pub(super) fn from(&self, mailbox: MailboxId, uid_next: u32, only_looks: bool) -> u32 {
        let mut from = self.from.lock().unwrap_or_else(PoisonError::into_inner);
        let known = from.get(&mailbox).copied().unwrap_or(1);
        if !only_looks {
            from.insert(mailbox, known.max(uid_next));
        }
        known
    }
}

pub(super) async fn select(
    context: &mut Context<'_>,
    mut user: User,
    name: &Named<'_>,
    read_only: bool,
) -> Result<(State, Reply), End> {
    let name = match name_of(name) {
        Ok(name) => name,
        Err(reply) => return Ok((State::Authenticated(user), reply)),
    };
    user.changes.borrow_and_update();
    // The mailbox first: what changes between the two questions is found again by its MODSEQ.
    let found = match context.store().mailbox(user.account, &name).await {
        Ok(mailbox) => {
            let messages = context.store().messages(mailbox.id).await;
            messages.map(|messages| (mailbox, messages))
        }
        Err(error) => Err(error),
    };
    let (mailbox, messages) = match found {
        Ok(found) => found,
        Err(error) => return Ok((State::Authenticated(user), refusal(&error))),
    };
    let last = messages.last().map_or(0, |meta| meta.uid);
    let uid_next = mailbox.uid_next.max(last.saturating_add(1));
    let recent_from = context
        .mailboxes
        .recent
        .from(mailbox.id, uid_next, read_only);
    let mut selected = Selected::new(&mailbox, messages, recent_from, read_only);

    let out = context.connection.output();
    selected.write_keywords(out);
    write!(
        out,
        "* {} EXISTS\r\n* {} RECENT\r\n",
        selected.rows.len(),
        selected.recent()
    )?;
    if let Some(unseen) = selected.rows.iter().position(|row| !row.has("\\Seen")) {
        write!(
            out,
            "* OK [UNSEEN {}] The first that is not seen\r\n",
            unseen + 1
        )?;
    }
    write!(
        out,
        "* OK [UIDVALIDITY {}] UIDs are valid\r\n* OK [UIDNEXT {uid_next}] The next UID\r\n",
        mailbox.uid_validity
    )?;
    let reply = match read_only {
        true => Reply::ok("EXAMINE completed").code("READ-ONLY"),
        false => Reply::ok("SELECT completed").code("READ-WRITE"),
    };
    Ok((State::Selected(user, Box::new(selected)), reply))
}

/// Expunges without a word, if the mailbox is not selected for reading only.
pub(super) async fn close(context: &Context<'_>, selected: &Selected) -> Reply {
    if !selected.read_only
        && let Err(error) = context.store().expunge(selected.id, None).await
    {
        tracing::warn!(%error, "imap: CLOSE could not expunge");
    }
    Reply::ok("CLOSE completed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_recent_for_the_first_that_is_told() {
        let recent = Recent::default();
        let mailbox = MailboxId(1);
        assert_eq!(recent.from(mailbox, 5, true), 1);
        assert_eq!(recent.from(mailbox, 5, false), 1);
        assert_eq!(recent.from(mailbox, 6, false), 5);
        assert_eq!(recent.from(mailbox, 6, true), 6);
        assert_eq!(recent.from(MailboxId(2), 1, false), 1);
    }
}
