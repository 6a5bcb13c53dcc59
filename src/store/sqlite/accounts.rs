//! Accounts in the index.
//! Checks no passwords.

use super::writer::Change;
use super::{mailboxes, removal};
use crate::mail::Address;
use crate::store::{Account, AccountId, MailboxName, SpecialUse, StoreError};
use rusqlite::{Connection, OptionalExtension, Row};

pub fn add(
    change: &mut Change<'_>,
    login: &Address,
    password: &str,
) -> Result<AccountId, StoreError> {
    let added = change
        .index
        .prepare_cached(
            "INSERT INTO account (login, login_key, password) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
        )?
        .execute((login.to_string(), key(login), password))?;
    if added == 0 {
        return Err(StoreError::AlreadyExists(format!("the account {login}")));
    }
    let account = AccountId(change.index.last_insert_rowid());
    let special = SpecialUse::ALL.map(SpecialUse::name);
    for name in [MailboxName::INBOX].into_iter().chain(special) {
        // These names are valid.
        if let Ok(name) = MailboxName::new(name) {
            mailboxes::make(change, account, &name)?;
            mailboxes::subscribe(change, account, &name, true)?;
        }
    }
    Ok(account)
}

pub fn find(index: &Connection, login: &Address) -> Result<Option<Account>, StoreError> {
    index
        .prepare_cached("SELECT id, login, password FROM account WHERE login_key = ?1")?
        .query_row([key(login)], columns)
        .optional()?
        .map(account)
        .transpose()
}

pub fn list(index: &Connection) -> Result<Vec<Account>, StoreError> {
    let mut statement = index.prepare_cached(&format!(
        "SELECT id, login, password FROM account WHERE {} ORDER BY login_key",
        removal::IS_ALIVE
    ))?;
    let rows = statement.query_map([], columns)?;
    rows.map(|row| account(row?)).collect()
}

pub fn are_there(index: &Connection) -> Result<bool, StoreError> {
    Ok(index
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM account)")?
        .query_row([], |row| row.get(0))?)
}

pub fn set_password(
    change: &mut Change<'_>,
    login: &Address,
    password: &str,
) -> Result<(), StoreError> {
    let changed = change
        .index
        .prepare_cached("UPDATE account SET password = ?2 WHERE login_key = ?1")?
        .execute((key(login), password))?;
    match changed {
        0 => Err(missing(login)),
        _ => Ok(()),
    }
}

/// Its mail is buried. That may be so already, and left to be cleared away.
pub fn remove(change: &mut Change<'_>, login: &Address) -> Result<(), StoreError> {
    let Some(account) = find(change.index, login)? else {
        return match removal::is_buried(change.index, login)? {
            true => Ok(()),
            false => Err(missing(login)),
        };
    };
    removal::bury_all(change, account.id.0, &account.login.to_string())?;
    change
        .index
        .prepare_cached("DELETE FROM account WHERE id = ?1")?
        .execute([account.id.0])?;
    change.touch(account.id);
    Ok(())
}

/// `NotFound` if there is none with this id.
pub fn require(index: &Connection, account: AccountId) -> Result<(), StoreError> {
    match index
        .prepare_cached("SELECT 1 FROM account WHERE id = ?1")?
        .exists([account.0])?
    {
        true => Ok(()),
        false => Err(StoreError::NotFound("this account".into())),
    }
}

fn missing(login: &Address) -> StoreError {
    StoreError::NotFound(format!("the account {login}"))
}

fn key(login: &Address) -> String {
    login.to_string().to_lowercase()
}

fn columns(row: &Row<'_>) -> rusqlite::Result<(i64, String, String)> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
}

fn account((id, login, password): (i64, String, String)) -> Result<Account, StoreError> {
    Ok(Account {
        id: AccountId(id),
        login: Address::parse(&login).map_err(|error| {
            StoreError::Failed(format!("index.sqlite holds the login {login:?}: {error}"))
        })?,
        password,
    })
}
