//! `Store` over the index: which method reads, which one changes.
//! Decides nothing else.

use super::writer::When;
use super::{SqliteStore, accounts, journal, mailboxes, messages, quarantine, removal};
use crate::mail::{Address, Content, Entry, Held, Journal, TransactionId, Turn};
use crate::store::{
    Account, AccountId, Append, Changes, Copied, Copying, Delivery, Expired, FlagChange, Keep,
    Leaving, Mailbox, MailboxId, MailboxName, MessageMeta, Quarantine, Quarantined, Store,
    StoreError,
};
use async_trait::async_trait;
use jiff::Timestamp;
use std::time::Instant;
use tokio::sync::watch;

/// Between the commits of a long removal. This process's changes come in their turn, but another one's writer looks only now and then
/// whether it may: so the index is left alone for as long as it was taken.
async fn others_turn(started: Instant) {
    tokio::time::sleep(started.elapsed()).await;
}

impl SqliteStore {
    /// Journals of transactions after this one, in their order, so many at the most.
    pub async fn journals_after(&self, id: &str, most: u32) -> Result<Vec<Journal>, StoreError> {
        let id = id.to_owned();
        self.readers
            .read(move |index| journal::after(index, &id, most))
            .await
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn add_account(&self, login: &Address, password: &str) -> Result<AccountId, StoreError> {
        let (login, password) = (login.clone(), password.to_owned());
        self.writer
            .change(move |change| accounts::add(change, &login, &password))
            .await
    }

    async fn account(&self, login: &Address) -> Result<Option<Account>, StoreError> {
        let version = self.roster.version()?;
        if let Some(account) = self.roster.find(login, version) {
            return Ok(Some(account));
        }
        let wanted = login.clone();
        let found = self
            .readers
            .read(move |index| accounts::find(index, &wanted))
            .await?;
        if let Some(account) = &found {
            self.roster.remember(login, account, version);
        }
        Ok(found)
    }

    async fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        self.readers.read(accounts::list).await
    }

    async fn has_accounts(&self) -> Result<bool, StoreError> {
        self.readers.read(accounts::are_there).await
    }

    async fn set_password(&self, login: &Address, password: &str) -> Result<(), StoreError> {
        let (login, password) = (login.clone(), password.to_owned());
        self.writer
            .change(move |change| accounts::set_password(change, &login, &password))
            .await?;
        self.roster.changed()
    }

    async fn remove_account(&self, login: &Address) -> Result<(), StoreError> {
        let login = login.clone();
        self.writer
            .change(move |change| accounts::remove(change, &login))
            .await?;
        self.roster.changed()?;
        self.clear_removed().await
    }

    async fn clear_removed(&self) -> Result<(), StoreError> {
        loop {
            let started = Instant::now();
            if !self.writer.change(removal::clear).await? {
                return Ok(());
            }
            others_turn(started).await;
        }
    }

    async fn deliver(&self, delivery: Delivery) -> Result<Journal, StoreError> {
        self.deliver_copies(delivery, None).await
    }

    async fn record(&self, journal: &Journal) -> Result<(), StoreError> {
        let mut journal = journal.clone();
        let dispositions = std::mem::take(&mut journal.dispositions);
        let entry = journal::Entry::new(&journal)?;
        self.writer
            .change(move |change| entry.insert(change.index, &dispositions))
            .await
    }

    async fn record_later(&self, mut journal: Journal) -> Result<(), StoreError> {
        let dispositions = std::mem::take(&mut journal.dispositions);
        let entry = journal::Entry::new(&journal)?;
        drop(journal);
        self.writer
            .change_when(When::Later, move |change| {
                entry.insert(change.index, &dispositions)
            })
            .await
    }

    async fn append_turns(&self, id: &TransactionId, turns: &[Turn]) -> Result<(), StoreError> {
        let more = journal::More::new(id, turns)?;
        self.writer
            .change(move |change| more.append(change.index))
            .await
    }

    async fn journal(&self, key: &str) -> Result<Option<Journal>, StoreError> {
        let key = key.to_owned();
        self.readers
            .read(move |index| journal::find(index, &key))
            .await
    }

    async fn expire_journals(&self, before: Timestamp) -> Result<usize, StoreError> {
        self.writer
            .change(move |change| journal::expire(change.index, before))
            .await
    }

    async fn mailboxes(&self, account: AccountId) -> Result<Vec<Mailbox>, StoreError> {
        self.readers
            .read(move |index| mailboxes::list(index, account))
            .await
    }

    async fn mailbox(&self, account: AccountId, name: &MailboxName) -> Result<Mailbox, StoreError> {
        let name = name.clone();
        self.readers
            .read(move |index| mailboxes::require(index, account, &name))
            .await
    }

    async fn create(&self, account: AccountId, name: &MailboxName) -> Result<Mailbox, StoreError> {
        let name = name.clone();
        self.writer
            .change(move |change| {
                let id = mailboxes::create(change, account, &name)?;
                mailboxes::by_id(change.index, id).map(|(_, mailbox)| mailbox)
            })
            .await
    }

    async fn delete(&self, account: AccountId, name: &MailboxName) -> Result<(), StoreError> {
        let name = name.clone();
        let is_left = self
            .writer
            .change(move |change| mailboxes::delete(change, account, &name))
            .await?;
        if is_left && let Err(error) = self.clear_removed().await {
            // The mailbox is gone all the same.
            tracing::warn!(%error, "what is left of a deleted mailbox could not be removed yet");
        }
        Ok(())
    }

    async fn rename(
        &self,
        account: AccountId,
        from: &MailboxName,
        to: &MailboxName,
    ) -> Result<(), StoreError> {
        let (from, to) = (from.clone(), to.clone());
        self.writer
            .change(move |change| mailboxes::rename(change, account, &from, &to))
            .await
    }

    async fn subscribe(
        &self,
        account: AccountId,
        name: &MailboxName,
        on: bool,
    ) -> Result<(), StoreError> {
        let name = name.clone();
        self.writer
            .change(move |change| mailboxes::subscribe(change, account, &name, on))
            .await
    }

    async fn subscriptions(&self, account: AccountId) -> Result<Vec<MailboxName>, StoreError> {
        self.readers
            .read(move |index| mailboxes::subscriptions(index, account))
            .await
    }

    async fn messages(&self, mailbox: MailboxId) -> Result<Vec<MessageMeta>, StoreError> {
        self.readers
            .read(move |index| messages::list(index, mailbox))
            .await
    }

    async fn changes(&self, mailbox: MailboxId, modseq: u64) -> Result<Changes, StoreError> {
        self.readers
            .read(move |index| messages::changes(index, mailbox, modseq))
            .await
    }

    async fn content(&self, mailbox: MailboxId, uid: u32) -> Result<Content, StoreError> {
        let blobs = self.blobs.clone();
        self.readers
            .read(move |index| messages::content(index, &blobs, mailbox, uid))
            .await
    }

    async fn append(
        &self,
        mailbox: MailboxId,
        messages: Vec<Append>,
    ) -> Result<Vec<u32>, StoreError> {
        self.append_messages(mailbox, messages).await
    }

    async fn store_flags(
        &self,
        mailbox: MailboxId,
        uids: &[u32],
        flags: FlagChange,
    ) -> Result<Vec<MessageMeta>, StoreError> {
        let uids = uids.to_vec();
        self.writer
            .change(move |change| messages::store_flags(change, mailbox, &uids, &flags))
            .await
    }

    async fn copy(&self, copy: Copying<'_>) -> Result<Copied, StoreError> {
        let Copying {
            from, to, r#move, ..
        } = copy;
        let uids = copy.uids.to_vec();
        self.writer
            .change(move |change| {
                let uids = &uids;
                messages::copy(
                    change,
                    &Copying {
                        from,
                        uids,
                        to,
                        r#move,
                    },
                )
            })
            .await
    }

    async fn expunge(
        &self,
        mailbox: MailboxId,
        uids: Option<&[u32]>,
    ) -> Result<Vec<u32>, StoreError> {
        let uids = uids.map(<[u32]>::to_vec);
        let deleted = self
            .readers
            .read(move |index| messages::deleted(index, mailbox, uids.as_deref()))
            .await?;
        let mut gone = Vec::with_capacity(deleted.len());
        for uids in deleted.chunks(removal::BATCH) {
            let started = Instant::now();
            let chosen = uids.to_vec();
            let expunged = self
                .writer
                .change(move |change| messages::expunge(change, mailbox, &chosen))
                .await?;
            gone.extend(expunged);
            if uids.len() == removal::BATCH {
                others_turn(started).await;
            }
        }
        Ok(gone)
    }

    fn watch(&self, account: AccountId) -> watch::Receiver<u64> {
        self.watchers.watch(account)
    }
}

#[async_trait]
impl Quarantine for SqliteStore {
    async fn quarantined(&self) -> Result<Quarantined, StoreError> {
        self.readers.read(quarantine::list).await
    }

    async fn held(&self, id: u64) -> Result<(Entry, Held, Content), StoreError> {
        let blobs = self.blobs.clone();
        self.readers
            .read(move |index| quarantine::get(index, &blobs, id))
            .await
    }

    async fn release(&self, delivery: Delivery, leaving: Leaving) -> Result<Journal, StoreError> {
        self.deliver_copies(delivery, Some(leaving)).await
    }

    async fn delete_held(&self, id: u64, at: Timestamp) -> Result<(), StoreError> {
        self.writer
            .change(move |change| quarantine::delete(change, id, at))
            .await
    }

    async fn expire_held(&self, keep: Keep, at: Timestamp) -> Result<Vec<Expired>, StoreError> {
        self.writer
            .change(move |change| quarantine::expire(change, keep, at))
            .await
    }
}
