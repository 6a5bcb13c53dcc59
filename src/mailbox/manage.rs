//! CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE (RFC 3501 §6.3.3 to §6.3.7).
//! Selects nothing.

use super::refusal;
use super::session::{Context, User};
use crate::proto::imap::{Reply, decode_mailbox};
use crate::store::{MailboxId, MailboxName, StoreError};
use imap_types::mailbox::Mailbox as Named;

/// The name as the store has it.
pub(super) fn name_of(name: &Named<'_>) -> Result<MailboxName, Reply> {
    match name {
        Named::Inbox => Ok(MailboxName::inbox()),
        Named::Other(other) => {
            let decoded = decode_mailbox(other.as_ref()).ok_or_else(|| {
                Reply::no("The name is not in modified UTF-7 (RFC 3501 section 5.1.3)")
                    .code("CANNOT")
            })?;
            MailboxName::new(&decoded).map_err(|error| Reply::no(error.to_string()).code("CANNOT"))
        }
    }
}

fn answer(result: Result<(), StoreError>, done: &'static str) -> Reply {
    match result {
        Ok(()) => Reply::ok(done),
        Err(error) => refusal(&error),
    }
}

pub(super) async fn create(context: &Context<'_>, user: &User, name: &Named<'_>) -> Reply {
    let name = match name_of(name) {
        Ok(name) => name,
        Err(reply) => return reply,
    };
    let created = context.store().create(user.account, &name).await;
    answer(created.map(|_| ()), "CREATE completed")
}

pub(super) struct Deleted {
    pub reply: Reply,
    /// The mailbox that is not there any more.
    pub mailbox: Option<MailboxId>,
}

pub(super) async fn delete(context: &Context<'_>, user: &User, name: &Named<'_>) -> Deleted {
    let refused = |reply| Deleted {
        reply,
        mailbox: None,
    };
    let name = match name_of(name) {
        Ok(name) => name,
        Err(reply) => return refused(reply),
    };
    let mailbox = match context.store().mailbox(user.account, &name).await {
        Ok(mailbox) => mailbox.id,
        Err(error) => return refused(refusal(&error)),
    };
    match context.store().delete(user.account, &name).await {
        Ok(()) => Deleted {
            reply: Reply::ok("DELETE completed"),
            mailbox: Some(mailbox),
        },
        Err(error) => refused(refusal(&error)),
    }
}

pub(super) async fn rename(
    context: &Context<'_>,
    user: &User,
    from: &Named<'_>,
    to: &Named<'_>,
) -> Reply {
    let (from, to) = match (name_of(from), name_of(to)) {
        (Ok(from), Ok(to)) => (from, to),
        (Err(reply), _) | (_, Err(reply)) => return reply,
    };
    let renamed = context.store().rename(user.account, &from, &to).await;
    answer(renamed, "RENAME completed")
}

pub(super) async fn subscribe(
    context: &Context<'_>,
    user: &User,
    name: &Named<'_>,
    on: bool,
) -> Reply {
    let name = match name_of(name) {
        Ok(name) => name,
        Err(reply) => return reply,
    };
    let subscribed = context.store().subscribe(user.account, &name, on).await;
    let done = match on {
        true => "SUBSCRIBE completed",
        false => "UNSUBSCRIBE completed",
    };
    answer(subscribed, done)
}
