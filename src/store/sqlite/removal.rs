//! Mail that is removed in more than one commit: one that took a million messages away would have every delivery wait for it. First it is
//! buried, out of everybody's sight; then it is cleared away, some messages a commit. Who is interrupted leaves the rest to the next.

use super::blobs;
use super::encoding::signed;
use super::writer::Change;
use crate::mail::Address;
use crate::store::{MailboxId, StoreError};
use rusqlite::{Connection, OptionalExtension};

/// Messages that are removed in one commit.
pub const BATCH: usize = 500;

/// A grave is an account that nobody can find: its key begins with a line end, which no address has. It has the login of whose mail lies there.
const IS_GRAVE: &str = "login_key < ' '";
/// Every other account.
pub const IS_ALIVE: &str = "login_key > ' '";

/// All mailboxes of an account.
pub fn bury_all(change: &mut Change<'_>, account: i64, login: &str) -> Result<(), StoreError> {
    let grave = dig(change.index, login)?;
    change
        .index
        .prepare_cached("UPDATE mailbox SET account = ?2 WHERE account = ?1")?
        .execute((account, grave))?;
    Ok(())
}

pub fn bury(change: &mut Change<'_>, mailbox: MailboxId) -> Result<(), StoreError> {
    let login: String = change
        .index
        .prepare_cached(
            "SELECT login FROM account JOIN mailbox ON mailbox.account = account.id WHERE mailbox.id = ?1",
        )?
        .query_row([mailbox.0], |row| row.get(0))?;
    let grave = dig(change.index, &login)?;
    change
        .index
        .prepare_cached("UPDATE mailbox SET account = ?2 WHERE id = ?1")?
        .execute((mailbox.0, grave))?;
    Ok(())
}

fn dig(index: &Connection, login: &str) -> Result<i64, StoreError> {
    index
        .prepare_cached(
            "INSERT INTO account (login, login_key, password) VALUES (?1, char(10) || hex(randomblob(16)), '')",
        )?
        .execute([login])?;
    Ok(index.last_insert_rowid())
}

/// Whether mail of this login is still to be cleared away.
pub fn is_buried(index: &Connection, login: &Address) -> Result<bool, StoreError> {
    let mut graves =
        index.prepare_cached(&format!("SELECT login FROM account WHERE {IS_GRAVE}"))?;
    let logins = graves
        .query_map([], |row| row.get(0))?
        .collect::<Result<Vec<String>, _>>()?;
    let login = login.to_string().to_lowercase();
    Ok(logins.iter().any(|buried| buried.to_lowercase() == login))
}

/// Clears away as much as a commit may. False once nothing is left.
pub fn clear(change: &mut Change<'_>) -> Result<bool, StoreError> {
    let mut room = BATCH;
    while room > 0 {
        let Some(grave) = first(change.index, &format!("account WHERE {IS_GRAVE}"), &[])? else {
            return Ok(false);
        };
        let Some(mailbox) = first(change.index, "mailbox WHERE account = ?1", &[grave])? else {
            delete(change.index, "account", grave)?;
            continue;
        };
        let removed = clear_mailbox(change, mailbox, room)?;
        if removed < room {
            delete(change.index, "mailbox", mailbox)?;
        }
        room -= removed;
    }
    Ok(true)
}

fn first(index: &Connection, of: &str, parameters: &[i64]) -> Result<Option<i64>, StoreError> {
    let found = index
        .prepare_cached(&format!("SELECT id FROM {of} LIMIT 1"))?
        .query_row(rusqlite::params_from_iter(parameters), |row| row.get(0))
        .optional()?;
    Ok(found)
}

fn delete(index: &Connection, table: &str, id: i64) -> Result<(), StoreError> {
    index
        .prepare_cached(&format!("DELETE FROM {table} WHERE id = ?1"))?
        .execute([id])?;
    Ok(())
}

/// How many it removed.
fn clear_mailbox(change: &mut Change<'_>, mailbox: i64, most: usize) -> Result<usize, StoreError> {
    let released = change
        .index
        .prepare_cached(
            "DELETE FROM message WHERE mailbox = ?1 AND uid IN (SELECT uid FROM message WHERE mailbox = ?1 LIMIT ?2)
                 RETURNING blob",
        )?
        .query_map((mailbox, signed(most as u64)), |row| row.get(0))?
        .collect::<Result<Vec<i64>, _>>()?;
    let removed = released.len();
    blobs::release(change, released)?;
    Ok(removed)
}
