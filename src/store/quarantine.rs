//! Mail that is set aside, at rest.
//! Doesn't know why it is there nor what releases it.

use super::{Delivery, StoreError};
use crate::mail::{Address, Content, Entry, Held, Journal};
use async_trait::async_trait;
use jiff::Timestamp;

/// A message to set aside for some of its recipients.
#[derive(Debug)]
pub struct SetAside {
    /// Indices of its recipients in `journal.dispositions`; `deliver` writes its number there.
    pub dispositions: Vec<usize>,
    pub entry: Entry,
    pub held: Held,
    /// Kept as received.
    pub content: Content,
}

/// An entry, or some of its recipients, on the way out.
#[derive(Debug, Clone)]
pub struct Leaving {
    pub id: u64,
    pub recipients: Vec<Address>,
}

/// What may stay: what is younger, as long as all of it is no larger, messages and what is kept beside them.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    pub since: Timestamp,
    pub octets: u64,
}

/// What is in quarantine.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Quarantined {
    /// Newest first.
    pub entries: Vec<Entry>,
    /// The numbers of those that cannot be read, newest first. They can be deleted, and expire.
    pub unreadable: Vec<u64>,
}

/// What has left by itself.
#[derive(Debug, Clone)]
pub struct Expired {
    pub id: u64,
    pub at: Timestamp,
    /// None: it could not be read.
    pub entry: Option<Entry>,
}

/// The journal of the transaction that set a message aside says what became of it, from the commit on in which that happens.
#[async_trait]
pub trait Quarantine: Send + Sync {
    async fn quarantined(&self) -> Result<Quarantined, StoreError>;
    /// `NotFound` if it has left.
    async fn held(&self, id: u64) -> Result<(Entry, Held, Content), StoreError>;
    /// As `deliver`, and what is leaving leaves in the same commit: `NotFound`, and nothing of it happens, if one of its recipients has
    /// left already.
    async fn release(&self, delivery: Delivery, leaving: Leaving) -> Result<Journal, StoreError>;
    /// Whether it can be read or not. `NotFound` if it has left.
    async fn delete_held(&self, id: u64, at: Timestamp) -> Result<(), StoreError>;
    /// Removes the oldest that may not stay, some hundred at a time: again until there are none.
    async fn expire_held(&self, keep: Keep, at: Timestamp) -> Result<Vec<Expired>, StoreError>;
}
