//! One mail transaction: a consuming value from MAIL to the reply to the end of data. Dropped before that, it leaves nothing behind.

use super::admission::Admission;
use super::disposition::settle;
use super::forward;
use super::next_hop::Early;
use super::{Aftermath, Services, Telling, local_error, refused};
use crate::auth::Found;
use crate::chain::{Chain, Run};
use crate::mail::{
    Address, Content, ContentBuilder, EnhancedCode, Envelope, Recipient, Replies, Reply, Session,
    TransactionId,
};
use crate::store::{AccountId, StoreError};
use crate::verify;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Who has the message when all is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeper {
    /// It goes into mailboxes here.
    Us,
    /// Whoever asked, or a next hop: its recipients are no affair of ours.
    Asker,
}

pub struct Transaction {
    pub(super) services: Arc<Services>,
    pub(super) keeper: Keeper,
    pub(super) id: TransactionId,
    /// What the mail server that the message comes from calls it.
    pub(super) queue_id: Option<String>,
    pub(super) session: Arc<Session>,
    /// As filters leave it.
    pub(super) envelope: Arc<Envelope>,
    /// As the client gave it.
    pub(super) original: Envelope,
    /// Of the recipients that the client named.
    pub(super) accounts: BTreeMap<Address, AccountId>,
    /// For each time that a recipient was taken, which it was: one that is given twice is there once.
    pub(super) given: Vec<Address>,
    pub(super) run: Run,
    /// With the next hop, where that has the message.
    pub(super) early: Option<Early>,
    /// What was found of the sender at MAIL, if that is checked.
    pub(super) sender: Option<verify::Sender>,
}

/// What the client is told, and what is to happen once it has been told.
pub struct Finished {
    pub replies: Replies,
    pub aftermath: Option<Aftermath>,
}

impl From<Replies> for Finished {
    fn from(replies: Replies) -> Self {
        Self {
            replies,
            aftermath: None,
        }
    }
}

impl Transaction {
    pub(super) async fn begin(
        services: Arc<Services>,
        keeper: Keeper,
        chain: Chain,
        session: Arc<Session>,
        envelope: Envelope,
    ) -> Result<Self, Reply> {
        let id = services.clock.transaction_id();
        let mut run = Run::new(chain, Arc::clone(&session), Some(id.clone())).greeted();
        if let Some(onward) = &services.onward {
            run = run.relaying(onward.hops.names());
        }
        if keeper == Keeper::Us {
            run = run.admitting(Arc::new(Admission(Arc::clone(&services))));
        }
        let sender = match &services.verifier {
            Some(verifier) => Some(verifier.sender(&session, &envelope).await),
            None => None,
        };
        let mut transaction = Self {
            services,
            keeper,
            id,
            queue_id: None,
            session,
            original: envelope.clone(),
            envelope: Arc::new(envelope),
            accounts: BTreeMap::new(),
            given: Vec::new(),
            run,
            early: None,
            sender,
        };
        if let Some(sender) = &transaction.sender {
            transaction.run.authenticated(&sender.results);
            if let Some(reply) = &sender.ruling.refusal {
                tracing::info!(transaction = transaction.id.as_str(), client = ?transaction.session.client_address, sender = %transaction.envelope.sender, %reply, "refused at MAIL");
                return Err(reply.clone());
            }
        }
        refused(transaction.run.mail(&mut transaction.envelope).await)?;
        Ok(transaction)
    }

    /// The next hop is told of it too, and may refuse it. `size`: what the client says that it will be.
    pub(super) async fn onward(mut self, size: Option<u64>) -> Result<Self, Reply> {
        if let Some(onward) = &self.services.onward {
            let hop = self.run.via(None).unwrap_or(&onward.default).to_owned();
            let (id, session, envelope) = (&self.id, &self.session, &self.envelope);
            let early = Early::open(onward, hop, id, session, envelope, size).await?;
            self.early = Some(early);
        }
        Ok(self)
    }

    /// With what the mail server that the message comes from calls it.
    pub fn called(self, queue_id: Option<String>) -> Self {
        Self { queue_id, ..self }
    }

    pub fn id(&self) -> &TransactionId {
        &self.id
    }

    /// RCPT TO of a client that hears the reply to each, so that it can send the others another copy (RFC 5321 §4.5.3.1.10).
    pub async fn recipient(&mut self, recipient: Recipient) -> Result<(), Reply> {
        if self.envelope.recipients.len() >= self.services.config.recipients {
            return Err(Reply::new(
                452,
                EnhancedCode(4, 5, 3),
                "Too many recipients; send the others in another transaction",
            )
            .about("message-recipients"));
        }
        self.named(recipient).await
    }

    /// Is it ours and does it exist, if we are to keep the message; the `rcpt` hook.
    pub(super) async fn named(&mut self, recipient: Recipient) -> Result<(), Reply> {
        let address = &recipient.address;
        if self.envelope.has(address) {
            self.given.push(address.clone());
            // Perhaps a filter had added it.
            if !self.original.has(address) {
                self.original.recipients.push(recipient);
            }
            return Ok(());
        }
        let account = match self.keeper {
            Keeper::Us => Some(account(&self.services, &self.id, address).await?),
            Keeper::Asker => None,
        };
        refused(self.run.rcpt(address.clone(), &mut self.envelope).await)?;
        if let Some(early) = &mut self.early
            && early.is_for(address, &self.run)
        {
            early.recipient(&recipient).await?;
        }
        self.given.push(address.clone());
        if let Some(account) = account {
            self.accounts.insert(address.clone(), account);
        }
        if !self.envelope.has(address) {
            let envelope = Arc::make_mut(&mut self.envelope);
            envelope.recipients.push(recipient.clone());
        }
        if !self.original.has(address) {
            self.original.recipients.push(recipient);
        }
        Ok(())
    }

    /// Takes the octets of the message as they come; large ones go to a staging file.
    pub fn content(&self) -> ContentBuilder {
        self.services.content()
    }

    /// The chain, the policy, the commit; the replies to the end of data.
    pub async fn finish(self, content: Content, telling: Telling) -> Finished {
        let id = self.id.clone();
        let settled = match self.services.onward.clone() {
            Some(onward) => Box::pin(forward::settle(self, onward, content, telling)).await,
            None => Box::pin(settle(self, content, telling)).await,
        };
        settled.unwrap_or_else(|error| {
            tracing::error!(transaction = id.as_str(), %error, "the message could not be read back");
            Replies::from(local_error()).into()
        })
    }
}

/// Whose mailbox it is.
async fn account(
    services: &Services,
    id: &TransactionId,
    address: &Address,
) -> Result<AccountId, Reply> {
    match services.directory.find(address).await {
        Ok(Found::Account(account)) => Ok(account),
        Ok(Found::NoSuchUser) => Err(nobody(services, id, address).await),
        Ok(Found::NotOurs) => Err(Reply::new(
            550,
            EnhancedCode(5, 7, 1),
            &format!("<{address}> is not ours to deliver; this server does not relay"),
        )),
        Err(error) => Err(lookup_failed(id, &error)),
    }
}

/// An address of ours without a mailbox. Where nobody has one the accounts are still to come, or an index is missing that had them: no sender
/// is told for good that it does not exist.
async fn nobody(services: &Services, id: &TransactionId, address: &Address) -> Reply {
    match services.store.has_accounts().await {
        Ok(true) => Reply::new(
            550,
            EnhancedCode(5, 1, 1),
            &format!("<{address}> has no mailbox here"),
        ),
        Ok(false) => {
            if services.quiet.is_over(()) {
                tracing::warn!(transaction = id.as_str(), recipient = %address, "mail is put off: there are no accounts; was index.sqlite lost? If not: wasmilter account add");
            }
            Reply::new(
                451,
                EnhancedCode(4, 3, 0),
                "There are no mailboxes here yet; please try again later",
            )
        }
        Err(error) => lookup_failed(id, &error),
    }
}

fn lookup_failed(id: &TransactionId, error: &StoreError) -> Reply {
    tracing::error!(transaction = id.as_str(), %error, "looking up a recipient failed");
    local_error()
}
