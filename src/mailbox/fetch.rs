//! FETCH: message after message, each streamed from the store to the client (RFC 3501 §6.4.5).
//! Holds no more of a message than a piece.

use super::connection::End;
use super::item::Plan;
use super::selected::{Expunges, Row, Selected};
use super::session::{Context, User};
use super::unreadable::Unreadable;
use crate::mail::Content;
use crate::proto::imap::Reply;
use crate::proto::imap::section::Piece;
use crate::store::{FlagChange, FlagOp, Flags, StoreError};
use bytes::Bytes;
use imap_types::fetch::MacroOrMessageDataItemNames;
use imap_types::sequence::SequenceSet;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// Octets read from a message at a time.
const CHUNK: u64 = 64 * 1024;
/// Messages, or octets, after which those that were sent are marked as seen: in one commit.
const SEEN_AT_ONCE: usize = 64;
const SEEN_AFTER: u64 = 1024 * 1024;

pub(super) async fn fetch(
    context: &mut Context<'_>,
    user: &User,
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
    let mut unreadable = Unreadable::default();
    let mut unmarked = Unmarked::new(context);
    for at in positions {
        let Some(row) = selected.rows.get(at).cloned() else {
            continue;
        };
        let uid = row.uid;
        let is_new = plan.sets_seen && !selected.read_only && !row.has("\\Seen");
        let begun = context.connection.position();
        match message(context, selected, &plan, at + 1, row).await {
            Ok(()) if is_new => unmarked.uids.push(uid),
            Ok(()) => {}
            Err(Failure::Gone) => some_gone = true,
            Err(Failure::Unreadable(why)) => {
                unreadable.note(user, selected, uid, &why);
                if !context.connection.take_back(begun) {
                    return Err(broken_off());
                }
            }
            Err(Failure::End(end)) => return Err(end),
        }
        if unmarked.is_due(context) {
            unmarked.mark(context, selected).await?;
        }
    }
    unmarked.mark(context, selected).await?;
    Ok(match (unreadable.count(), some_gone) {
        (0, false) => Reply::ok("FETCH completed"),
        (0, true) => Reply::no("Some of the messages are gone").code("EXPUNGEISSUED"),
        (count, _) => {
            Reply::no(format!("{count} of the messages could not be read")).code("SERVERBUG")
        }
    })
}

/// Why a message was not sent whole.
enum Failure {
    Gone,
    Unreadable(String),
    End(End),
}

impl From<End> for Failure {
    fn from(end: End) -> Self {
        Self::End(end)
    }
}

/// Of reading it.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error.to_string())
    }
}

/// Messages that were sent and are still to be marked as seen. Not before: a client whose connection broke has not got them.
struct Unmarked {
    uids: Vec<u32>,
    /// Where the output was when there were none.
    since: u64,
}

impl Unmarked {
    fn new(context: &Context<'_>) -> Self {
        Self {
            uids: Vec::new(),
            since: context.connection.position(),
        }
    }

    fn is_due(&self, context: &Context<'_>) -> bool {
        let octets = context.connection.position() - self.since;
        self.uids.len() >= SEEN_AT_ONCE || octets >= SEEN_AFTER
    }

    /// Tells the client of it too (RFC 3501 §6.4.5).
    async fn mark(
        &mut self,
        context: &mut Context<'_>,
        selected: &mut Selected,
    ) -> Result<(), End> {
        let uids = std::mem::take(&mut self.uids);
        if !uids.is_empty() {
            context.connection.flush().await?;
            mark_seen(context, selected, &uids).await;
            selected.tell(Expunges::Keep, context.connection.output());
        }
        self.since = context.connection.position();
        Ok(())
    }
}

async fn mark_seen(context: &Context<'_>, selected: &mut Selected, uids: &[u32]) {
    let change = FlagChange {
        op: FlagOp::Add,
        flags: Flags::from(["\\Seen".to_owned()]),
        unchanged_since: None,
    };
    match context.store().store_flags(selected.id, uids, change).await {
        Ok(stored) => {
            for meta in &stored {
                selected.update(meta);
                selected.note_changed(meta.uid);
            }
        }
        // Reading goes on: mail that cannot be marked, on a full disk say, can still be read.
        Err(error) => tracing::warn!(%error, "imap: \\Seen could not be set"),
    }
}

async fn message(
    context: &mut Context<'_>,
    selected: &Selected,
    plan: &Arc<Plan>,
    number: usize,
    row: Row,
) -> Result<(), Failure> {
    let content = match plan.needs_content {
        false => None,
        true => match context.store().content(selected.id, row.uid).await {
            Ok(content) => Some(content),
            Err(StoreError::NotFound(_)) => return Err(Failure::Gone),
            Err(error) => return Err(Failure::Unreadable(error.to_string())),
        },
    };
    let pieces = match &content {
        Some(content) if plan.is_heavy || content.in_memory().is_none() => {
            let (plan, content) = (Arc::clone(plan), content.clone());
            blocking(move || plan.answer(number, &row, Some(&content))).await?
        }
        _ => plan.answer(number, &row, content.as_ref())?,
    };
    for piece in pieces {
        match (piece, &content) {
            (Piece::Octets(octets), _) => write(context, &octets),
            (Piece::Range(range), Some(content)) => stream(context, content, range).await?,
            (Piece::Range(_), None) => {}
        }
        context.connection.flush_if_large().await?;
    }
    Ok(())
}

/// A literal was begun, and its end is unknown: only the end of the connection is honest.
fn broken_off() -> End {
    End::Bye(Reply::bye("A message could not be read to its end").code("SERVERBUG"))
}

async fn stream(
    context: &mut Context<'_>,
    content: &Content,
    range: Range<u64>,
) -> Result<(), Failure> {
    let mut at = range.start;
    while at < range.end {
        let length = CHUNK.min(range.end - at) as usize;
        let octets = read(content, at, length).await?;
        if octets.is_empty() {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        at += octets.len() as u64;
        write(context, &octets);
        context.connection.flush_if_large().await?;
    }
    Ok(())
}

/// A literal has no NUL (RFC 3501 §9 CHAR8). One in a message, which SMTP's BINARYMIME lets in, is shown as another octet that is no
/// character, so that their number is right.
fn write(context: &mut Context<'_>, octets: &[u8]) {
    let out = context.connection.output();
    let start = out.len();
    out.extend_from_slice(octets);
    if let Some(written) = out.get_mut(start..)
        && memchr::memchr(0, written).is_some()
    {
        for octet in written.iter_mut().filter(|octet| **octet == 0) {
            *octet = 0x80;
        }
    }
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
