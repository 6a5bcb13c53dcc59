//! What the store is asked and what it answers.

pub use crate::mail::{MailboxName, MailboxNameError};

use super::SetAside;
use crate::mail::{Content, Journal};
use jiff::Timestamp;
use std::collections::BTreeSet;

#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    #[error("{0} does not exist")]
    NotFound(String),
    #[error("{0} already exists")]
    AlreadyExists(String),
    #[error("{0}")]
    Refused(String),
    /// The disk is full. Temporary: it works again when there is room.
    #[error("no space left on the disk of the data directory")]
    Full,
    #[error("the store failed: {0}")]
    Failed(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountId(pub i64);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MailboxId(pub i64);

#[derive(Debug, Clone)]
pub struct Account {
    pub id: AccountId,
    /// As added: the full address.
    pub login: crate::mail::Address,
    /// A PHC string.
    pub password: String,
}

/// RFC 6154 §2
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpecialUse {
    Archive,
    Drafts,
    Junk,
    Sent,
    Trash,
}

impl SpecialUse {
    /// The mailboxes that each account is made with.
    pub const ALL: [Self; 5] = [
        Self::Archive,
        Self::Drafts,
        Self::Junk,
        Self::Sent,
        Self::Trash,
    ];

    /// The name of its mailbox; `\` before it makes it the attribute.
    pub fn name(self) -> &'static str {
        match self {
            Self::Archive => "Archive",
            Self::Drafts => "Drafts",
            Self::Junk => "Junk",
            Self::Sent => "Sent",
            Self::Trash => "Trash",
        }
    }
}

#[derive(Debug, Clone)]
pub struct Mailbox {
    pub id: MailboxId,
    pub name: MailboxName,
    pub special_use: Option<SpecialUse>,
    pub uid_validity: u32,
    pub uid_next: u32,
    /// Of the last change in it; at least 1 (RFC 7162 §3.1.2.1).
    pub highest_modseq: u64,
    pub messages: u32,
    pub unseen: u32,
}

/// Flags as IMAP writes them: `\Seen`, `$Forwarded`. System flags in the case of RFC 3501 §2.3.2, keywords as first given.
pub type Flags = BTreeSet<String>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageMeta {
    pub uid: u32,
    pub flags: Flags,
    pub modseq: u64,
    pub internal_date: Timestamp,
    /// Octets, splices applied.
    pub size: u64,
}

#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Ascending by UID.
    pub changed: Vec<MessageMeta>,
    /// Ascending.
    pub expunged: Vec<u32>,
    pub highest_modseq: u64,
    pub uid_next: u32,
}

#[derive(Debug, Clone)]
pub struct Append {
    pub content: Content,
    pub flags: Flags,
    pub internal_date: Timestamp,
}

/// A message accepted by the chain, for its local recipients.
#[derive(Debug)]
pub struct Delivery {
    pub received_at: Timestamp,
    pub journal: Journal,
    pub copies: Vec<DeliveryCopy>,
    pub aside: Vec<SetAside>,
}

#[derive(Debug)]
pub struct DeliveryCopy {
    /// Index of its recipient in `journal.dispositions`; `deliver` writes mailbox and UID there.
    pub disposition: usize,
    pub account: AccountId,
    /// Made and subscribed if it is not there, with the levels above it: many clients show only what is subscribed.
    pub mailbox: MailboxName,
    pub flags: Flags,
    /// All copies of one delivery have the same received octets, each with its own splices.
    pub content: Content,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlagOp {
    Add,
    Remove,
    Replace,
}

#[derive(Debug, Clone)]
pub struct FlagChange {
    pub op: FlagOp,
    pub flags: Flags,
    /// RFC 7162 §3.1.3
    pub unchanged_since: Option<u64>,
}

#[derive(Debug, Clone)]
pub struct Copying<'a> {
    pub from: MailboxId,
    pub uids: &'a [u32],
    pub to: MailboxId,
    pub r#move: bool,
}

/// Pairs of old and new UID, ascending by the old one.
#[derive(Debug, Clone, Default)]
pub struct Copied {
    pub uids: Vec<(u32, u32)>,
}
