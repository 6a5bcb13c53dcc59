//! APPEND (RFC 3501 §6.3.11, RFC 4315 §3): the message goes to the staging directory as it comes, and from there to the store.
//! Never holds a message whole.

use super::connection::End;
use super::copy::try_create;
use super::manage::name_of;
use super::session::{Context, User};
use super::store::flags_of;
use super::{refusal, session};
use crate::mail::{Content, ContentBuilder};
use crate::proto::imap::{Append as Announced, Event, Expect, Reply};
use crate::store::{Append, Mailbox, StoreError};
use jiff::Timestamp;

/// Kept in memory while it comes in; larger ones go to a file.
const IN_MEMORY: usize = 256 * 1024;

pub(super) async fn append(
    context: &mut Context<'_>,
    user: &User,
    announced: Announced,
) -> Result<Reply, End> {
    let (mailbox, append) = match prepare(context, user, &announced).await {
        Ok(prepared) => prepared,
        Err(reply) => {
            context.connection.refuse_message();
            return Ok(reply);
        }
    };
    context.connection.accept_message();
    if announced.waits {
        context.connection.request("Send the message");
    }
    let content = match receive(context).await? {
        Ok(content) if !content.is_empty() => content,
        Ok(_) => return Ok(Reply::no("A message of no octets is none").code("CANNOT")),
        Err(reply) => return Ok(reply),
    };
    let messages = vec![Append { content, ..append }];
    Ok(match context.store().append(mailbox.id, messages).await {
        Ok(uids) => {
            let reply = Reply::ok("APPEND completed");
            match uids.first() {
                Some(uid) => reply.code(format!("APPENDUID {} {uid}", mailbox.uid_validity)),
                None => reply,
            }
        }
        Err(StoreError::NotFound(_)) => try_create(),
        Err(error) => refusal(&error),
    })
}

/// Everything that can be refused before the message comes.
async fn prepare(
    context: &Context<'_>,
    user: &User,
    announced: &Announced,
) -> Result<(Mailbox, Append), Reply> {
    let name = name_of(&announced.mailbox)?;
    let flags = flags_of(&announced.flags)?;
    let limit = context.config().max_message;
    if announced.length > limit {
        let text = format!("A message has at the most {limit} octets");
        return Err(Reply::no(text).code("TOOBIG"));
    }
    if !context.ticket.has_disk() {
        return Err(refusal(&StoreError::Full));
    }
    let internal_date = match &announced.date {
        None => context.mailboxes.clock.now(),
        Some(date) => Timestamp::from_second(date.as_ref().timestamp())
            .map_err(|_| Reply::bad("This date is out of range"))?,
    };
    match context.store().mailbox(user.account, &name).await {
        Ok(mailbox) => Ok((
            mailbox,
            Append {
                content: Content::from_bytes(""),
                flags,
                internal_date,
            },
        )),
        Err(StoreError::NotFound(_)) => Err(try_create()),
        Err(error) => Err(refusal(&error)),
    }
}

async fn receive(context: &mut Context<'_>) -> Result<Result<Content, Reply>, End> {
    let mut builder = Some(ContentBuilder::new(&context.config().staging, IN_MEMORY));
    let mut failure = None;
    let mut has_nul = false;
    loop {
        let deadline = context.deadline();
        match context.connection.next(Expect::Command, deadline).await? {
            Event::Octets(octets) if memchr::memchr(0, &octets).is_some() => {
                has_nul = true;
                builder = None;
            }
            Event::Octets(octets) => {
                // What follows a failure is still to be read: it is the message, not a command.
                if let Some(open) = &mut builder
                    && let Err(error) = open.push(&octets)
                {
                    builder = None;
                    failure = Some(error);
                }
            }
            Event::AppendEnd => break,
            Event::Invalid(invalid) => return Ok(Err(session::complaint(&invalid))),
            Event::Fatal(reason) => return Err(End::Bye(Reply::bye(reason))),
            _ => return Ok(Err(Reply::bad("The message was expected"))),
        }
    }
    // RFC 3501 §9 CHAR8: no client can be sent one in a literal.
    if has_nul {
        return Ok(Err(Reply::no("A message has no NUL in it").code("CANNOT")));
    }
    let content = match (builder, failure) {
        (Some(builder), None) => builder.finish(),
        (_, failure) => Err(failure.unwrap_or_else(|| std::io::ErrorKind::Other.into())),
    };
    Ok(content.map_err(|error| match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            refusal(&StoreError::Full)
        }
        _ => refusal(&StoreError::Failed(format!("staging a message: {error}"))),
    }))
}
