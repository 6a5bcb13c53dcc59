//! What people do with their mail, told to the filters with the hook `moved`: what they learn from.
//! Nobody waits for it, and nothing of the mail is changed.

use super::{Acceptor, Services};
use crate::chain::{Chain, Run};
use crate::mail::{Content, Hook, Message, Moved, Session, TransactionId};
use crate::store::{MailboxId, StoreError};
use std::sync::Arc;

/// Messages of one command of a client that filters are told of; somebody who sorts a hundred thousand at once teaches no more by the rest.
const MOST: usize = 1000;

/// One command of a client, which may be about many messages.
#[derive(Debug)]
pub struct Move {
    /// Whose mailboxes they are.
    pub account: String,
    pub from: String,
    /// The same where only flags changed.
    pub to: String,
    /// Where the messages are now.
    pub mailbox: MailboxId,
    pub messages: Vec<Changed>,
}

/// Messages for which the flags changed in the same way.
#[derive(Debug)]
pub struct Changed {
    pub uids: Vec<u32>,
    pub added: Vec<String>,
    pub removed: Vec<String>,
}

/// Where such commands are told of. Returns at once. Cheap to clone.
#[derive(Clone)]
pub struct Moves(Arc<Services>);

impl Acceptor {
    pub fn moves(&self) -> Moves {
        Moves(Arc::clone(&self.0))
    }
}

impl Moves {
    /// Whether any filter wants to know.
    pub fn are_wanted(&self) -> bool {
        self.0.moves.is_some() && self.0.chains.current().has(Hook::Moved)
    }

    pub fn tell(&self, command: Move) {
        let chain = self.0.chains.current();
        if let Some(background) = &self.0.moves
            && chain.has(Hook::Moved)
        {
            background.add(each(Arc::clone(&self.0), chain, command));
        }
    }
}

async fn each(services: Arc<Services>, chain: Chain, command: Move) {
    let count: usize = command.messages.iter().map(|group| group.uids.len()).sum();
    if count > MOST {
        tracing::warn!(
            account = command.account,
            "{count} messages moved or flagged at once: filters are told of the first {MOST}"
        );
    }
    let mut left = MOST;
    for group in &command.messages {
        for uid in group.uids.iter().take(left) {
            let moved = Moved {
                account: command.account.clone(),
                from: command.from.clone(),
                to: command.to.clone(),
                added: group.added.clone(),
                removed: group.removed.clone(),
            };
            match one(&services, &chain, command.mailbox, *uid, moved).await {
                // It has been moved on, or expunged.
                Ok(()) | Err(StoreError::NotFound(_)) => {}
                Err(error) => tracing::warn!(%error, "filters were not told of a moved message"),
            }
        }
        left = left.saturating_sub(group.uids.len());
    }
}

async fn one(
    services: &Services,
    chain: &Chain,
    mailbox: MailboxId,
    uid: u32,
    moved: Moved,
) -> Result<(), StoreError> {
    let unreadable = |error| StoreError::Failed(format!("message {uid} cannot be read: {error}"));
    let content = services.store.content(mailbox, uid).await?;
    let journal = match came_with(&content) {
        Some(id) => services.store.journal(&id).await?,
        None => None,
    };
    let message = Message::new(content).map_err(unreadable)?;
    let id: Option<TransactionId> = journal.as_ref().map(|journal| journal.id.clone());
    let session = journal
        .as_ref()
        .map_or_else(Session::default, |journal| journal.session.clone());
    let mut run = Run::new(chain.clone(), Arc::new(session), id.clone());
    let mut envelope = Arc::default();
    if let Some(journal) = journal {
        run = run.knowing(&journal);
        envelope = Arc::new(journal.envelope);
    }
    run.moved(moved, &envelope, message).await;
    match id {
        Some(id) => services.store.append_turns(&id, &run.end().turns).await,
        None => Ok(()),
    }
}

/// The transaction that our own Received field names. Only what was laid over the received octets is ours: everything in them could be
/// forged.
pub fn came_with(content: &Content) -> Option<String> {
    let top = content.splices().first().filter(|splice| splice.at == 0)?;
    super::trace::transaction(top.insert.in_memory()?)
}
