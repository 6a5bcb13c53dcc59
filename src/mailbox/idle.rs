//! IDLE (RFC 2177): the client waits, and is told at once what changes.
//! Finds nothing out itself: the store says when there is something.

use super::connection::End;
use super::selected::{Expunges, Selected};
use super::session::{Context, User, complaint, sync};
use crate::proto::imap::{Event, Expect, Reply};

pub(super) async fn idle(
    context: &mut Context<'_>,
    user: &mut User,
    mut selected: Option<&mut Selected>,
) -> Result<Reply, End> {
    context.connection.request("Idling");
    let deadline = context.deadline();
    loop {
        match context.connection.ready(Expect::Answer) {
            Some(Event::Answer(answer)) => {
                return Ok(match answer.eq_ignore_ascii_case(b"DONE") {
                    true => Reply::ok("IDLE completed"),
                    false => Reply::bad("DONE was expected"),
                });
            }
            Some(Event::Invalid(invalid)) => return Ok(complaint(&invalid)),
            Some(Event::Fatal(reason)) => return Err(End::Bye(Reply::bye(reason))),
            Some(_) => return Ok(Reply::bad("DONE was expected")),
            None => {}
        }
        if let Some(selected) = selected.as_deref_mut() {
            sync(context, user, selected, Expunges::Tell).await?;
        }
        context.connection.flush().await?;
        tokio::select! {
            received = context.connection.receive(deadline) => received?,
            changed = user.changes.changed(), if selected.is_some() => {
                if changed.is_err() {
                    return Err(End::Bye(Reply::bye("The store is closed").code("UNAVAILABLE")));
                }
            }
        }
    }
}
