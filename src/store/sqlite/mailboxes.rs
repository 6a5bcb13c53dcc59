//! Mailboxes and subscriptions in the index: the tree of names, and the counters of each mailbox.
//! Knows of messages only that they move and go with their mailbox.

use super::encoding::unsigned;
use super::writer::Change;
use super::{accounts, blobs, messages, removal};
use crate::store::{AccountId, Mailbox, MailboxId, MailboxName, SpecialUse, StoreError};
use rusqlite::{Connection, OptionalExtension, Row};

const COLUMNS: &str =
    "id, account, name, special_use, uid_validity, uid_next, modseq, messages, unseen";

pub fn list(index: &Connection, account: AccountId) -> Result<Vec<Mailbox>, StoreError> {
    accounts::require(index, account)?;
    let mut statement =
        index.prepare_cached(&format!("SELECT {COLUMNS} FROM mailbox WHERE account = ?1"))?;
    let rows = statement.query_map([account.0], Stored::read)?;
    let mut mailboxes = rows
        .map(|row| row?.mailbox())
        .collect::<Result<Vec<_>, _>>()?;
    mailboxes.sort_by(|a, b| {
        let key = |mailbox: &Mailbox| !mailbox.name.is_inbox();
        key(a).cmp(&key(b)).then_with(|| a.name.cmp(&b.name))
    });
    Ok(mailboxes)
}

pub fn find(
    index: &Connection,
    account: AccountId,
    name: &MailboxName,
) -> Result<Option<Mailbox>, StoreError> {
    index
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM mailbox WHERE account = ?1 AND name = ?2"
        ))?
        .query_row((account.0, name.as_str()), Stored::read)
        .optional()?
        .map(Stored::mailbox)
        .transpose()
}

pub fn require(
    index: &Connection,
    account: AccountId,
    name: &MailboxName,
) -> Result<Mailbox, StoreError> {
    find(index, account, name)?.ok_or_else(|| missing(name))
}

fn missing(name: &MailboxName) -> StoreError {
    StoreError::NotFound(format!("the mailbox {name}"))
}

/// With the account that it belongs to. One that is buried is not there.
pub fn by_id(index: &Connection, id: MailboxId) -> Result<(AccountId, Mailbox), StoreError> {
    let stored = index
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM mailbox WHERE id = ?1
                 AND EXISTS (SELECT 1 FROM account WHERE account.id = mailbox.account AND {})",
            removal::IS_ALIVE
        ))?
        .query_row([id.0], Stored::read)
        .optional()?
        .ok_or_else(gone)?;
    Ok((AccountId(stored.account), stored.mailbox()?))
}

fn gone() -> StoreError {
    StoreError::NotFound("this mailbox".into())
}

/// One mailbox, without those above it.
pub fn make(
    change: &mut Change<'_>,
    account: AccountId,
    name: &MailboxName,
) -> Result<MailboxId, StoreError> {
    accounts::require(change.index, account)?;
    let uid_validity = next_uid_validity(change.index)?;
    // A mailbox made again under such a name is for the same use again, unless another one has taken it over by a renaming.
    let special_use = SpecialUse::ALL
        .iter()
        .map(|special| special.name())
        .find(|special| *special == name.as_str());
    change
        .index
        .prepare_cached(
            "INSERT INTO mailbox (account, name, uid_validity, special_use) VALUES (?1, ?2, ?3,
                 CASE WHEN NOT EXISTS (SELECT 1 FROM mailbox WHERE account = ?1 AND special_use = ?4) THEN ?4 END)",
        )?
        .execute((account.0, name.as_str(), uid_validity, special_use))?;
    change.touch(account);
    Ok(MailboxId(change.index.last_insert_rowid()))
}

/// Ascending over all mailboxes, and over data directories made one after the other (RFC 3501 §2.3.1.1).
fn next_uid_validity(index: &Connection) -> Result<i64, StoreError> {
    let sql = "UPDATE counter SET value = max(value + 1, unixepoch()) WHERE name = 'uid_validity' RETURNING value";
    Ok(index.prepare_cached(sql)?.query_row([], |row| row.get(0))?)
}

/// All mailboxes get another UIDVALIDITY.
pub fn renew_uid_validity(change: &mut Change<'_>) -> Result<(), StoreError> {
    let uid_validity = next_uid_validity(change.index)?;
    change
        .index
        .execute("UPDATE mailbox SET uid_validity = ?1", [uid_validity])?;
    Ok(())
}

pub fn create(
    change: &mut Change<'_>,
    account: AccountId,
    name: &MailboxName,
) -> Result<MailboxId, StoreError> {
    if find(change.index, account, name)?.is_some() {
        return Err(exists(name));
    }
    make_above(change, account, name)?;
    make(change, account, name)
}

fn make_above(
    change: &mut Change<'_>,
    account: AccountId,
    name: &MailboxName,
) -> Result<(), StoreError> {
    for above in name.ancestors() {
        if find(change.index, account, &above)?.is_none() {
            make(change, account, &above)?;
        }
    }
    Ok(())
}

/// For a delivery: those that are missing are made, and subscribed, since many clients show no others.
pub fn next_in(
    change: &mut Change<'_>,
    account: AccountId,
    name: &MailboxName,
) -> Result<Next, StoreError> {
    let found = change
        .index
        .prepare_cached(
            "SELECT id, uid_next, modseq + 1 FROM mailbox WHERE account = ?1 AND name = ?2",
        )?
        .query_row((account.0, name.as_str()), Next::read)
        .optional()?;
    if let Some(next) = found {
        return Ok(next);
    }
    for above in name.ancestors() {
        if find(change.index, account, &above)?.is_none() {
            make(change, account, &above)?;
            subscribe(change, account, &above, true)?;
        }
    }
    let id = make(change, account, name)?;
    subscribe(change, account, name, true)?;
    next(change.index, id)
}

/// Whether some of it is left to be cleared away.
pub fn delete(
    change: &mut Change<'_>,
    account: AccountId,
    name: &MailboxName,
) -> Result<bool, StoreError> {
    if name.is_inbox() {
        return Err(StoreError::Refused("INBOX cannot be deleted".into()));
    }
    let mailbox = require(change.index, account, name)?;
    change.touch(account);
    let is_large = mailbox.messages as usize > removal::BATCH;
    match is_large {
        true => removal::bury(change, mailbox.id)?,
        false => remove(change, mailbox.id)?,
    }
    Ok(is_large)
}

fn remove(change: &mut Change<'_>, mailbox: MailboxId) -> Result<(), StoreError> {
    let orphans = change
        .index
        .prepare_cached("SELECT DISTINCT blob FROM message WHERE mailbox = ?1")?
        .query_map([mailbox.0], |row| row.get(0))?
        .collect::<Result<Vec<i64>, _>>()?;
    for statement in [
        "DELETE FROM message WHERE mailbox = ?1",
        "DELETE FROM mailbox WHERE id = ?1",
    ] {
        change
            .index
            .prepare_cached(statement)?
            .execute([mailbox.0])?;
    }
    blobs::release(change, orphans)
}

pub fn rename(
    change: &mut Change<'_>,
    account: AccountId,
    from: &MailboxName,
    to: &MailboxName,
) -> Result<(), StoreError> {
    let mailbox = find(change.index, account, from)?;
    let below = format!("{from}{}", MailboxName::SEPARATOR);
    let mut children = list(change.index, account)?;
    children.retain(|child| child.name.as_str().starts_with(&below));
    // RFC 3501 §6.3.5: a name that is only a level of the tree is renamed with what is below it.
    if mailbox.is_none() && children.is_empty() {
        return Err(missing(from));
    }
    if find(change.index, account, to)?.is_some() {
        return Err(exists(to));
    }
    change.touch(account);
    if let Some(inbox) = mailbox.as_ref().filter(|_| from.is_inbox()) {
        // RFC 3501 §6.3.5: what is below INBOX stays where it is.
        let target = create(change, account, to)?;
        return messages::move_all(change, inbox.id, target);
    }
    if to.as_str().starts_with(&below) {
        return Err(StoreError::Refused(format!(
            "{from} cannot be moved below itself"
        )));
    }
    let mut renamed: Vec<_> = mailbox
        .map(|mailbox| (mailbox.id, to.clone()))
        .into_iter()
        .collect();
    for child in children {
        if let Some(rest) = child.name.as_str().strip_prefix(&below) {
            let name = format!("{to}{}{rest}", MailboxName::SEPARATOR);
            let name = MailboxName::new(&name)
                .map_err(|error| StoreError::Refused(format!("{name}: {error}")))?;
            if find(change.index, account, &name)?.is_some() {
                return Err(exists(&name));
            }
            renamed.push((child.id, name));
        }
    }
    make_above(change, account, to)?;
    let mut rename = change
        .index
        .prepare_cached("UPDATE mailbox SET name = ?2 WHERE id = ?1")?;
    for (id, name) in renamed {
        rename.execute((id.0, name.as_str()))?;
    }
    Ok(())
}

fn exists(name: &MailboxName) -> StoreError {
    StoreError::AlreadyExists(format!("the mailbox {name}"))
}

pub fn subscribe(
    change: &mut Change<'_>,
    account: AccountId,
    name: &MailboxName,
    on: bool,
) -> Result<(), StoreError> {
    accounts::require(change.index, account)?;
    let statement = match on {
        true => "INSERT INTO subscription (account, name) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        false => "DELETE FROM subscription WHERE account = ?1 AND name = ?2",
    };
    change
        .index
        .prepare_cached(statement)?
        .execute((account.0, name.as_str()))?;
    Ok(())
}

pub fn subscriptions(
    index: &Connection,
    account: AccountId,
) -> Result<Vec<MailboxName>, StoreError> {
    accounts::require(index, account)?;
    let mut statement =
        index.prepare_cached("SELECT name FROM subscription WHERE account = ?1 ORDER BY name")?;
    let names = statement.query_map([account.0], |row| row.get::<_, String>(0))?;
    names.map(|text| name(&text?)).collect()
}

/// What the next message of a mailbox gets.
pub struct Next {
    mailbox: MailboxId,
    uid: i64,
    modseq: i64,
}

impl Next {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            mailbox: MailboxId(row.get(0)?),
            uid: row.get(1)?,
            modseq: row.get(2)?,
        })
    }

    /// For a message: the mailbox, the UID and the MODSEQ.
    pub fn take(self, index: &Connection, seen: bool) -> Result<(MailboxId, u32, i64), StoreError> {
        // RFC 3501 §2.3.1.1: UIDs have 32 bits, and so has that of the message to come, which the last of them can only be. A new mailbox
        // starts again.
        let uid = u32::try_from(self.uid).ok().filter(|uid| *uid < u32::MAX);
        let uid = uid.ok_or_else(|| {
            StoreError::Refused(
                "this mailbox has used up its UIDs: move its messages to a new one".into(),
            )
        })?;
        // No RETURNING: for that SQLite makes a table and throws it away, for each message.
        index
            .prepare_cached(
                "UPDATE mailbox SET uid_next = uid_next + 1, modseq = modseq + 1, messages = messages + 1, unseen = unseen + ?2
                 WHERE id = ?1",
            )?
            .execute((self.mailbox.0, !seen))?;
        Ok((self.mailbox, uid, self.modseq))
    }
}

pub fn next(index: &Connection, mailbox: MailboxId) -> Result<Next, StoreError> {
    index
        .prepare_cached("SELECT id, uid_next, modseq + 1 FROM mailbox WHERE id = ?1")?
        .query_row([mailbox.0], Next::read)
        .optional()?
        .ok_or_else(gone)
}

/// The MODSEQ of a change of messages that are there already, and what it does to the counts.
pub fn take_modseq(
    index: &Connection,
    mailbox: MailboxId,
    messages: i64,
    unseen: i64,
) -> Result<i64, StoreError> {
    index
        .prepare_cached(
            "UPDATE mailbox SET modseq = modseq + 1, messages = messages + ?2, unseen = unseen + ?3
             WHERE id = ?1 RETURNING modseq",
        )?
        .query_row((mailbox.0, messages, unseen), |row| row.get(0))
        .optional()?
        .ok_or_else(gone)
}

struct Stored {
    id: i64,
    account: i64,
    name: String,
    special_use: Option<String>,
    uid_validity: u32,
    uid_next: u32,
    modseq: i64,
    messages: u32,
    unseen: u32,
}

impl Stored {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get(0)?,
            account: row.get(1)?,
            name: row.get(2)?,
            special_use: row.get(3)?,
            uid_validity: row.get(4)?,
            uid_next: row.get(5)?,
            modseq: row.get(6)?,
            messages: row.get(7)?,
            unseen: row.get(8)?,
        })
    }

    fn mailbox(self) -> Result<Mailbox, StoreError> {
        Ok(Mailbox {
            id: MailboxId(self.id),
            name: name(&self.name)?,
            special_use: SpecialUse::ALL
                .into_iter()
                .find(|special| Some(special.name()) == self.special_use.as_deref()),
            uid_validity: self.uid_validity,
            uid_next: self.uid_next,
            highest_modseq: unsigned(self.modseq),
            messages: self.messages,
            unseen: self.unseen,
        })
    }
}

fn name(text: &str) -> Result<MailboxName, StoreError> {
    MailboxName::new(text).map_err(|error| {
        StoreError::Failed(format!("index.sqlite holds the mailbox {text:?}: {error}"))
    })
}
