//! Messages in the index: listing, flags, copying and removing, each change with its MODSEQ (RFC 7162).
//! Does not hold their octets.

use super::blobs::{self, Blobs};
use super::encoding::{decode_long, decode_splices, from_millis, signed, unsigned};
use super::flags::{DELETED, Marks, SEEN};
use super::mailboxes::{self, Next, take_modseq};
use super::writer::Change;
use crate::mail::Content;
use crate::store::{Changes, Copied, Copying, FlagChange, MailboxId, MessageMeta, StoreError};
use rusqlite::{Connection, OptionalExtension, Row};

/// A row of `message` but for what its mailbox gives it.
#[derive(Debug, Clone)]
pub struct Item {
    pub marks: Marks,
    pub date: i64,
    pub size: i64,
    pub blob: i64,
    pub version: i64,
}

const ITEM: &str = "system, keywords, date, size, blob, version";

impl Item {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            marks: Marks {
                system: row.get(0)?,
                keywords: row.get(1)?,
            },
            date: row.get(2)?,
            size: row.get(3)?,
            blob: row.get(4)?,
            version: row.get(5)?,
        })
    }

    fn meta(&self, uid: u32, modseq: i64) -> Result<MessageMeta, StoreError> {
        Ok(MessageMeta {
            uid,
            flags: self.marks.flags(),
            modseq: unsigned(modseq),
            internal_date: from_millis(self.date)?,
            size: unsigned(self.size),
        })
    }
}

/// Adds a message to a mailbox. Its UID.
pub fn insert(index: &Connection, next: Next, item: &Item) -> Result<u32, StoreError> {
    let (mailbox, uid, modseq) = next.take(index, item.marks.is_seen())?;
    index
        .prepare_cached(&format!(
            "INSERT INTO message (mailbox, uid, modseq, arrived, {ITEM}) VALUES (?1, ?2, ?3, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
        ))?
        .execute((
            mailbox.0,
            uid,
            modseq,
            item.marks.system,
            &item.marks.keywords,
            item.date,
            item.size,
            item.blob,
            item.version,
        ))?;
    Ok(uid)
}

fn get(
    index: &Connection,
    mailbox: MailboxId,
    uid: u32,
) -> Result<Option<(Item, i64)>, StoreError> {
    Ok(index
        .prepare_cached(&format!(
            "SELECT {ITEM}, modseq FROM message WHERE mailbox = ?1 AND uid = ?2"
        ))?
        .query_row((mailbox.0, uid), |row| Ok((Item::read(row)?, row.get(6)?)))
        .optional()?)
}

fn select(
    index: &Connection,
    rest: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<MessageMeta>, StoreError> {
    let mut statement =
        index.prepare_cached(&format!("SELECT {ITEM}, uid, modseq FROM message {rest}"))?;
    let mut rows = statement.query(parameters)?;
    let mut messages = Vec::new();
    while let Some(row) = rows.next()? {
        messages.push(Item::read(row)?.meta(row.get(6)?, row.get(7)?)?);
    }
    Ok(messages)
}

pub fn list(index: &Connection, mailbox: MailboxId) -> Result<Vec<MessageMeta>, StoreError> {
    mailboxes::by_id(index, mailbox)?;
    select(index, "WHERE mailbox = ?1 ORDER BY uid", [mailbox.0])
}

pub fn changes(index: &Connection, mailbox: MailboxId, modseq: u64) -> Result<Changes, StoreError> {
    let (_, state) = mailboxes::by_id(index, mailbox)?;
    let since = (mailbox.0, signed(modseq));
    let mut changed = select(
        index,
        "INDEXED BY message_changed WHERE mailbox = ?1 AND modseq > ?2 AND modseq <> arrived",
        since,
    )?;
    changed.extend(arrived(index, mailbox, signed(modseq))?);
    changed.sort_unstable_by_key(|message| message.uid);
    let mut statement = index
        .prepare_cached("SELECT first, last FROM expunged WHERE mailbox = ?1 AND modseq > ?2")?;
    let runs = statement
        .query_map(since, |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<Vec<(u32, u32)>, _>>()?;
    let mut expunged: Vec<u32> = runs
        .into_iter()
        .flat_map(|(first, last)| first..=last)
        .collect();
    expunged.sort_unstable();
    Ok(Changes {
        changed,
        expunged,
        highest_modseq: state.highest_modseq,
        uid_next: state.uid_next,
    })
}

/// Those that came after this MODSEQ, and are as they came.
fn arrived(
    index: &Connection,
    mailbox: MailboxId,
    modseq: i64,
) -> Result<Vec<MessageMeta>, StoreError> {
    let mut last = index
        .prepare_cached("SELECT uid, arrived FROM message WHERE mailbox = ?1 ORDER BY uid DESC")?;
    let mut rows = last.query([mailbox.0])?;
    let mut first = None;
    while let Some(row) = rows.next()?
        && row.get::<_, i64>(1)? > modseq
    {
        first = Some(row.get::<_, u32>(0)?);
    }
    let Some(first) = first else {
        return Ok(Vec::new());
    };
    let rest = "WHERE mailbox = ?1 AND uid >= ?2 AND modseq = arrived";
    select(index, rest, (mailbox.0, first))
}

pub fn content(
    index: &Connection,
    blobs: &Blobs,
    mailbox: MailboxId,
    uid: u32,
) -> Result<Content, StoreError> {
    let missing = || StoreError::NotFound(format!("message {uid}"));
    let unreadable = |error: &dyn std::fmt::Display| {
        StoreError::Failed(format!("message {uid} cannot be read: {error}"))
    };
    let (blob, size, splices, long): (i64, i64, Option<Vec<u8>>, Option<Vec<u8>>) = index
        .prepare_cached(
            "SELECT message.blob, message.size, COALESCE(splices.splices, CASE message.version WHEN 1 THEN blob.splices END), long
                 FROM message JOIN blob ON blob.id = message.blob
                 LEFT JOIN splices ON splices.blob = message.blob AND splices.version = message.version
             WHERE mailbox = ?1 AND uid = ?2",
        )?
        .query_row((mailbox.0, uid), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()?
        .ok_or_else(missing)?;
    // What is missing was expunged since this state of the index.
    let mut reading = blobs.reading(index);
    let content = reading.content(blob)?.ok_or_else(missing)?;
    let damaged = || unreadable(&"its splices are damaged");
    let mut inserts = Vec::new();
    for (nth, blob) in decode_long(long.unwrap_or_default()).ok_or_else(damaged)? {
        let insert = reading.content(blob)?.ok_or_else(missing)?;
        inserts.push((nth, insert.into()));
    }
    if !reading.ends_whole()? {
        return Err(missing());
    }
    let content = match splices {
        None => content,
        Some(splices) => content
            .with_splices(decode_splices(splices, inserts).ok_or_else(damaged)?)
            .map_err(|error| unreadable(&error))?,
    };
    // A file of its own may have been cut off.
    match content.len() == unsigned(size) {
        true => Ok(content),
        false => {
            let path = content.in_file().map(|(path, _)| path.display());
            let place = path.map_or(String::new(), |path| format!("{path}: "));
            let length = content.len();
            Err(unreadable(&format_args!(
                "{place}it has {length} octets, and had {size}"
            )))
        }
    }
}

pub fn store_flags(
    change: &mut Change<'_>,
    mailbox: MailboxId,
    uids: &[u32],
    flags: &FlagChange,
) -> Result<Vec<MessageMeta>, StoreError> {
    let (account, _) = mailboxes::by_id(change.index, mailbox)?;
    let given = Marks::new(&flags.flags)?;
    let mut update = change.index.prepare_cached(
        "UPDATE message SET system = ?3, keywords = ?4, modseq = ?5 WHERE mailbox = ?1 AND uid = ?2",
    )?;
    let (mut answer, mut fresh, mut unseen) = (Vec::new(), None, 0);
    for uid in ascending(uids) {
        let Some((mut item, mut modseq)) = get(change.index, mailbox, uid)? else {
            continue;
        };
        if flags
            .unchanged_since
            .is_some_and(|since| unsigned(modseq) > since)
        {
            continue;
        }
        let marks = item.marks.apply(flags.op, &given);
        // RFC 7162 §3.1: what changes nothing needs no new MODSEQ.
        if marks != item.marks {
            modseq = match fresh {
                Some(fresh) => fresh,
                None => *fresh.insert(take_modseq(change.index, mailbox, 0, 0)?),
            };
            unseen += i64::from(item.marks.is_seen()) - i64::from(marks.is_seen());
            update.execute((mailbox.0, uid, marks.system, &marks.keywords, modseq))?;
            item.marks = marks;
        }
        answer.push(item.meta(uid, modseq)?);
    }
    if fresh.is_some() {
        change
            .index
            .prepare_cached("UPDATE mailbox SET unseen = unseen + ?2 WHERE id = ?1")?
            .execute((mailbox.0, unseen))?;
        change.touch(account);
    }
    Ok(answer)
}

pub fn copy(change: &mut Change<'_>, copying: &Copying<'_>) -> Result<Copied, StoreError> {
    let (from, _) = mailboxes::by_id(change.index, copying.from)?;
    let (to, _) = mailboxes::by_id(change.index, copying.to)?;
    // All are read before one is added: the copies may go into the mailbox itself.
    let mut items = Vec::new();
    for uid in ascending(copying.uids) {
        items.extend(get(change.index, copying.from, uid)?.map(|(item, _)| (uid, item)));
    }
    let mut copied = Copied::default();
    for (uid, item) in items {
        let next = mailboxes::next(change.index, copying.to)?;
        let new = insert(change.index, next, &item)?;
        copied.uids.push((uid, new));
    }
    if copied.uids.is_empty() {
        return Ok(copied);
    }
    change.touch(to);
    if copying.r#move {
        let uids: Vec<u32> = copied.uids.iter().map(|(old, _)| *old).collect();
        remove(change, copying.from, &uids)?;
        change.touch(from);
    }
    Ok(copied)
}

pub fn move_all(change: &mut Change<'_>, from: MailboxId, to: MailboxId) -> Result<(), StoreError> {
    let uids = change
        .index
        .prepare_cached("SELECT uid FROM message WHERE mailbox = ?1 ORDER BY uid")?
        .query_map([from.0], |row| row.get(0))?
        .collect::<Result<Vec<u32>, _>>()?;
    let copying = Copying {
        from,
        uids: &uids,
        to,
        r#move: true,
    };
    copy(change, &copying).map(drop)
}

/// The UIDs of those (of all, if none are given) that have the flag \Deleted, ascending.
pub fn deleted(
    index: &Connection,
    mailbox: MailboxId,
    uids: Option<&[u32]>,
) -> Result<Vec<u32>, StoreError> {
    mailboxes::by_id(index, mailbox)?;
    let mut deleted = index
        .prepare_cached(
            "SELECT uid FROM message INDEXED BY message_deleted WHERE mailbox = ?1 AND system & 4 <> 0 ORDER BY uid",
        )?
        .query_map([mailbox.0], |row| row.get(0))?
        .collect::<Result<Vec<u32>, _>>()?;
    if let Some(uids) = uids {
        let chosen = ascending(uids);
        deleted.retain(|uid| chosen.binary_search(uid).is_ok());
    }
    Ok(deleted)
}

/// Those of `uids`, ascending, that have the flag \Deleted still.
pub fn expunge(
    change: &mut Change<'_>,
    mailbox: MailboxId,
    uids: &[u32],
) -> Result<Vec<u32>, StoreError> {
    let (account, _) = mailboxes::by_id(change.index, mailbox)?;
    let mut doomed = Vec::with_capacity(uids.len());
    for &uid in uids {
        let found = get(change.index, mailbox, uid)?;
        if found.is_some_and(|(item, _)| item.marks.system & DELETED != 0) {
            doomed.push(uid);
        }
    }
    if !doomed.is_empty() {
        remove(change, mailbox, &doomed)?;
        change.touch(account);
    }
    Ok(doomed)
}

/// `uids` ascending.
fn remove(change: &mut Change<'_>, mailbox: MailboxId, uids: &[u32]) -> Result<(), StoreError> {
    let mut delete = change.index.prepare_cached(
        "DELETE FROM message WHERE mailbox = ?1 AND uid = ?2 RETURNING blob, system",
    )?;
    let (mut released, mut messages, mut unseen) = (Vec::new(), 0, 0);
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for &uid in uids {
        let removed: Option<(i64, i64)> = delete
            .query_row((mailbox.0, uid), |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((blob, system)) = removed else {
            continue;
        };
        released.push(blob);
        messages += 1;
        unseen += i64::from(system & SEEN == 0);
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(uid) => *last = uid,
            _ => runs.push((uid, uid)),
        }
    }
    let modseq = take_modseq(change.index, mailbox, -messages, -unseen)?;
    let mut remember = change.index.prepare_cached(
        "INSERT INTO expunged (mailbox, modseq, first, last) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for (first, last) in runs {
        remember.execute((mailbox.0, modseq, first, last))?;
    }
    blobs::release(change, released)
}

/// In order, each once.
fn ascending(uids: &[u32]) -> Vec<u32> {
    let mut uids = uids.to_vec();
    uids.sort_unstable();
    uids.dedup();
    uids
}
