//! Where the octets of transactions are, as received: beside any copy that is still in a mailbox, whoever has moved it, or in quarantine.
//! Reads the store and nothing else.

use crate::accept::came_with;
use crate::mail::{Content, Departure, Disposition, Journal};
use crate::store::{MailboxId, Store, StoreError};
use jiff::Timestamp;
use std::collections::HashMap;

/// A place for each transaction that has one.
pub struct Originals {
    copies: HashMap<String, (MailboxId, u32)>,
}

impl Originals {
    /// Looks at all messages that came since then.
    pub async fn since(store: &dyn Store, since: Timestamp) -> Result<Self, StoreError> {
        let mut copies = HashMap::new();
        for account in store.accounts().await? {
            for mailbox in present(store.mailboxes(account.id).await)?.unwrap_or_default() {
                let messages = present(store.messages(mailbox.id).await)?;
                for message in messages.unwrap_or_default() {
                    if message.internal_date < since {
                        continue;
                    }
                    let content = present(store.content(mailbox.id, message.uid).await)?;
                    if let Some(id) = content.as_ref().and_then(came_with) {
                        copies.insert(id, (mailbox.id, message.uid));
                    }
                }
            }
        }
        Ok(Self { copies })
    }

    /// The message as received, or in a few words why it is not there any more.
    pub async fn find(
        &self,
        store: &dyn Store,
        journal: &Journal,
    ) -> Result<Result<Content, &'static str>, StoreError> {
        if let Some(content) = self.copy(store, journal.id.as_str()).await? {
            return Ok(Ok(content));
        }
        for place in &journal.dispositions {
            let Disposition::Quarantined { id, then, .. } = &place.disposition else {
                continue;
            };
            let content = match then {
                None => present(store.held(*id).await)?.map(|(_, _, content)| content),
                Some(Departure::Released(as_this)) => self.copy(store, as_this.as_str()).await?,
                Some(Departure::Deleted(_) | Departure::Expired(_)) => None,
            };
            if let Some(content) = content {
                return Ok(Ok(content));
            }
        }
        Ok(Err(gone(journal)))
    }

    async fn copy(&self, store: &dyn Store, id: &str) -> Result<Option<Content>, StoreError> {
        let Some((mailbox, uid)) = self.copies.get(id) else {
            return Ok(None);
        };
        let content = present(store.content(*mailbox, *uid).await)?;
        Ok(content.map(|content| content.received()))
    }
}

/// None for what has been removed since it was listed.
fn present<T>(result: Result<T, StoreError>) -> Result<Option<T>, StoreError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(StoreError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn gone(journal: &Journal) -> &'static str {
    let mut why = "refused";
    for place in &journal.dispositions {
        match place.disposition {
            Disposition::Filed { .. } | Disposition::Quarantined { .. } => return "deleted since",
            Disposition::Relayed { .. } => why = "handed to a next hop",
            Disposition::Passed { .. } => why = "kept by another mail server",
            Disposition::Discarded { .. } => why = "discarded",
            Disposition::Refused { .. } => {}
        }
    }
    why
}
