//! FETCH: message after message, each streamed from the store to the client (RFC 3501 §6.4.5).
//! Holds no more of a message than a piece.

use super::connection::End;
use super::item::Plan;
use super::selected::{Row, Selected};
use super::session::Context;
use crate::mail::Content;
use crate::proto::imap::Reply;
use crate::proto::imap::section::Piece;
use crate::store::{FlagChange, FlagOp, Flags, StoreError};
use bytes::Bytes;
use imap_types::fetch::MacroOrMessageDataItemNames;
use imap_types::sequence::SequenceSet;
use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// Octets read from a message at a time.
const CHUNK: u64 = 64 * 1024;
/// Messages marked as seen in one commit, just before they are sent.
const SEEN_AT_ONCE: usize = 64;

pub(super) async fn fetch(
    context: &mut Context<'_>,
    selected: &mut Selected,
    set: &SequenceSet,
    asked: MacroOrMessageDataItemNames<'static>,
    by_uid: bool,
) -> Result<Reply, End> {
    let Some(plan) = Plan::new(asked, by_uid) else {
        return Ok(Reply::bad("This server has not all of these items"));
    };
    let Some(positions) = selected.positions(set, by_uid) else {
        return Ok(Reply::bad("There is no message of that number"));
    };
    let plan = Arc::new(plan);
    let mut some_gone = false;
    for batch in positions.chunks(SEEN_AT_ONCE) {
        let newly_seen = match plan.sets_seen && !selected.read_only {
            true => mark_seen(context, selected, batch).await,
            false => HashSet::new(),
        };
        for at in batch {
            let Some(row) = selected.rows.get(*at).cloned() else {
                continue;
            };
            let uid = row.uid;
            let shows_flags = newly_seen.contains(&uid);
            if message(context, selected, &plan, at + 1, row, shows_flags).await? {
                selected.forget_changed(uid);
            } else {
                some_gone = true;
            }
        }
    }
    Ok(match some_gone {
        true => Reply::no("Some of the messages are gone").code("EXPUNGEISSUED"),
        false => Reply::ok("FETCH completed"),
    })
}

/// The UIDs of those that were not seen before.
async fn mark_seen(
    context: &Context<'_>,
    selected: &mut Selected,
    positions: &[usize],
) -> HashSet<u32> {
    let rows = positions.iter().filter_map(|at| selected.rows.get(*at));
    let unseen = rows.filter(|row| !row.has("\\Seen"));
    let uids: Vec<u32> = unseen.map(|row| row.uid).collect();
    if uids.is_empty() {
        return HashSet::new();
    }
    let change = FlagChange {
        op: FlagOp::Add,
        flags: Flags::from(["\\Seen".to_owned()]),
        unchanged_since: None,
    };
    match context
        .store()
        .store_flags(selected.id, &uids, change)
        .await
    {
        Ok(stored) => {
            for meta in &stored {
                selected.update(meta);
            }
            stored.iter().map(|meta| meta.uid).collect()
        }
        Err(error) => {
            // Reading goes on: mail that cannot be marked, on a full disk say, can still be read.
            tracing::warn!(%error, "imap: \\Seen could not be set");
            HashSet::new()
        }
    }
}

/// False if it is gone.
async fn message(
    context: &mut Context<'_>,
    selected: &Selected,
    plan: &Arc<Plan>,
    number: usize,
    row: Row,
    shows_flags: bool,
) -> Result<bool, End> {
    let content = match plan.needs_content {
        false => None,
        true => match context.store().content(selected.id, row.uid).await {
            Ok(content) => Some(content),
            Err(StoreError::NotFound(_)) => return Ok(false),
            Err(error) => return Err(failed(&error)),
        },
    };
    let pieces = match &content {
        Some(content) if plan.is_heavy || content.in_memory().is_none() => {
            let (plan, content) = (Arc::clone(plan), content.clone());
            blocking(move || plan.answer(number, &row, Some(&content), shows_flags)).await?
        }
        _ => plan.answer(number, &row, content.as_ref(), shows_flags)?,
    };
    for piece in pieces {
        match (piece, &content) {
            (Piece::Octets(octets), _) => context.connection.write(&octets),
            (Piece::Range(range), Some(content)) => stream(context, content, range).await?,
            (Piece::Range(_), None) => {}
        }
        context.connection.flush_if_large().await?;
    }
    Ok(true)
}

/// An answer may have been begun, and its end is unknown: only the end of the connection is honest.
fn failed(error: &StoreError) -> End {
    tracing::error!(%error, "imap: a message could not be read");
    End::Bye(Reply::bye("The store failed; try again later").code("UNAVAILABLE"))
}

async fn stream(
    context: &mut Context<'_>,
    content: &Content,
    range: Range<u64>,
) -> Result<(), End> {
    let mut at = range.start;
    while at < range.end {
        let length = CHUNK.min(range.end - at) as usize;
        let octets = read(content, at, length).await?;
        if octets.is_empty() {
            return Err(End::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        at += octets.len() as u64;
        context.connection.write(&octets);
        context.connection.flush_if_large().await?;
    }
    Ok(())
}

async fn read(content: &Content, at: u64, length: usize) -> io::Result<Bytes> {
    if content.in_memory().is_some() {
        return content.read(at, length);
    }
    let content = content.clone();
    blocking(move || content.read(at, length)).await
}

/// Away from the threads that serve connections.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}
