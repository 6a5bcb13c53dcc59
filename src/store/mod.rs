//! Mail at rest: accounts, mailboxes, messages with UIDs, flags and MODSEQ, and the journals of how they got there.
//! Knows no protocol; passwords are opaque hashes here.

mod quarantine;
mod sqlite;
mod types;

pub use quarantine::{Expired, Keep, Leaving, Quarantine, Quarantined, SetAside};
pub use sqlite::{Config, SqliteStore, Stats};
pub use types::{
    Account, AccountId, Append, Changes, Copied, Copying, Delivery, DeliveryCopy, FlagChange,
    FlagOp, Flags, Mailbox, MailboxId, MailboxName, MailboxNameError, MessageMeta, SpecialUse,
    StoreError,
};

use crate::mail::{Address, Content, Journal, TransactionId, Turn};
use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::watch;

/// Where mail is kept. When a method that changes something returns `Ok`, the change is on stable storage; when it
/// returns an error, nothing of it happened, but where it says so. All methods may be called at the same time from anywhere.
#[async_trait]
pub trait Store: Quarantine + Send + Sync {
    // --- accounts ---

    /// With INBOX, Sent, Drafts, Junk, Trash and Archive. `AlreadyExists` if the login is taken (without case).
    async fn add_account(&self, login: &Address, password: &str) -> Result<AccountId, StoreError>;
    /// Compared without case.
    async fn account(&self, login: &Address) -> Result<Option<Account>, StoreError>;
    /// Sorted by login.
    async fn accounts(&self) -> Result<Vec<Account>, StoreError>;
    /// Whether there is one at all.
    async fn has_accounts(&self) -> Result<bool, StoreError>;
    async fn set_password(&self, login: &Address, password: &str) -> Result<(), StoreError>;
    /// With all its mail. It is gone at once; its mail goes in several commits, so that others are not kept waiting. If that was broken
    /// off, it can be done again.
    async fn remove_account(&self, login: &Address) -> Result<(), StoreError>;
    /// Removes what an account or a mailbox whose removal was broken off has left.
    async fn clear_removed(&self) -> Result<(), StoreError>;

    // --- delivery ---

    /// All copies, what is set aside and the journal, or nothing. The octets are stored once; each copy has its own splices over them.
    /// The journal comes back with the mailboxes and UIDs filled in.
    async fn deliver(&self, delivery: Delivery) -> Result<Journal, StoreError>;
    /// Stores a journal without a message: of a transaction that was refused or discarded.
    async fn record(&self, journal: &Journal) -> Result<(), StoreError>;
    /// The same for a transaction whose end nobody waits for: it may take some milliseconds longer, to share a sync with others.
    async fn record_later(&self, journal: Journal) -> Result<(), StoreError>;
    /// Adds to a journal what filters did after its transaction. `NotFound` without one, `Refused` if it has grown too long.
    async fn append_turns(&self, id: &TransactionId, turns: &[Turn]) -> Result<(), StoreError>;
    /// By transaction id, by the queue id of the mail server before this one, or by Message-ID (with or without its angle brackets): the latest that fits.
    async fn journal(&self, key: &str) -> Result<Option<Journal>, StoreError>;
    /// Removes journals of transactions before this time, the oldest first and some hundred at a time: again until it says 0.
    async fn expire_journals(&self, before: Timestamp) -> Result<usize, StoreError>;

    // --- mailboxes ---

    /// Sorted by name, INBOX first.
    async fn mailboxes(&self, account: AccountId) -> Result<Vec<Mailbox>, StoreError>;
    /// `NotFound` if there is none of that name.
    async fn mailbox(&self, account: AccountId, name: &MailboxName) -> Result<Mailbox, StoreError>;
    /// With the levels above it that are missing. `AlreadyExists`.
    async fn create(&self, account: AccountId, name: &MailboxName) -> Result<Mailbox, StoreError>;
    /// With its messages, not with the mailboxes below it; many of them in several commits. INBOX cannot be deleted (`Refused`).
    async fn delete(&self, account: AccountId, name: &MailboxName) -> Result<(), StoreError>;
    /// With the mailboxes below it. Renaming INBOX moves its messages to the new mailbox and leaves INBOX empty (RFC 3501 §6.3.5).
    async fn rename(
        &self,
        account: AccountId,
        from: &MailboxName,
        to: &MailboxName,
    ) -> Result<(), StoreError>;
    /// A subscription may name a mailbox that does not exist (RFC 3501 §6.3.6).
    async fn subscribe(
        &self,
        account: AccountId,
        name: &MailboxName,
        on: bool,
    ) -> Result<(), StoreError>;
    /// Sorted.
    async fn subscriptions(&self, account: AccountId) -> Result<Vec<MailboxName>, StoreError>;

    // --- messages ---

    /// All messages, in ascending order of UID.
    async fn messages(&self, mailbox: MailboxId) -> Result<Vec<MessageMeta>, StoreError>;
    /// What changed after `modseq`: new or changed messages, and the UIDs that are gone.
    async fn changes(&self, mailbox: MailboxId, modseq: u64) -> Result<Changes, StoreError>;
    /// `NotFound` if it has been expunged.
    async fn content(&self, mailbox: MailboxId, uid: u32) -> Result<Content, StoreError>;
    /// The UIDs, in order.
    async fn append(
        &self,
        mailbox: MailboxId,
        messages: Vec<Append>,
    ) -> Result<Vec<u32>, StoreError>;
    /// Messages that are gone are left out of the answer; those of `unchanged_since` too, whose MODSEQ is above it.
    async fn store_flags(
        &self,
        mailbox: MailboxId,
        uids: &[u32],
        change: FlagChange,
    ) -> Result<Vec<MessageMeta>, StoreError>;
    /// Messages that are gone are left out. With `move`, the originals are expunged in the same commit (RFC 6851).
    async fn copy(&self, copy: Copying<'_>) -> Result<Copied, StoreError>;
    /// Removes those of `uids` (all, if none are given) that have the flag \Deleted; many of them in several commits, the last of
    /// which may fail. The UIDs removed, ascending.
    async fn expunge(
        &self,
        mailbox: MailboxId,
        uids: Option<&[u32]>,
    ) -> Result<Vec<u32>, StoreError>;

    /// Changes whenever something in the account's mailboxes does; the value says nothing but that it is another one.
    fn watch(&self, account: AccountId) -> watch::Receiver<u64>;
}
