//! Where messages go on: the next hops as a trait, and the transaction that is open with one beside that of the client.
//! Knows no connection: `deliver` has those.

use super::parcels::Parcel;
use crate::chain::Run;
use crate::mail::{Address, Content, Envelope, Recipient, Reply, Session, TransactionId};
use async_trait::async_trait;
use std::sync::Arc;

/// The next hops that the configuration names.
#[async_trait]
pub trait NextHops: Send + Sync {
    fn names(&self) -> Arc<[String]>;

    /// Begins a transaction up to the reply to MAIL; an error is what the client is to be told. The recipients of `envelope` are not looked
    /// at.
    async fn open(
        &self,
        name: &str,
        id: &TransactionId,
        session: &Session,
        envelope: &Envelope,
        size: Size,
    ) -> Result<Box<dyn Handing>, Reply>;
}

/// Of a message, in octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// It is to come; what the client says (RFC 1870).
    ToCome(Option<u64>),
    Here(u64),
}

/// A transaction that is open with a next hop. Dropped before the message, it leaves nothing there.
#[async_trait]
pub trait Handing: Send {
    /// Each error is what the client is to be told.
    async fn recipient(&mut self, recipient: &Recipient) -> Result<Reply, Reply>;

    /// Whether it can go on, as far as can be seen from here.
    async fn is_alive(&mut self) -> bool;

    /// The reply for each recipient that was accepted, in order. Whoever has none has that of the last.
    async fn message(self: Box<Self>, content: &Content) -> Vec<Reply>;
}

/// Where the messages of an acceptor go on.
#[derive(Clone)]
pub(super) struct Onward {
    pub hops: Arc<dyn NextHops>,
    /// Unless a filter names another.
    pub default: String,
}

/// A transaction with the next hop beside that of the client, so that the client hears at MAIL and RCPT what the next hop says to them.
pub(super) struct Early {
    hop: String,
    handing: Box<dyn Handing>,
    /// As it was told.
    envelope: Envelope,
}

impl Early {
    /// When filters have been asked at `mail`.
    pub async fn open(
        onward: &Onward,
        hop: String,
        id: &TransactionId,
        session: &Session,
        envelope: &Envelope,
        announced: Option<u64>,
    ) -> Result<Self, Reply> {
        let size = Size::ToCome(announced);
        let handing = onward.hops.open(&hop, id, session, envelope, size).await?;
        Ok(Self {
            hop,
            handing,
            envelope: Envelope {
                recipients: Vec::new(),
                ..Envelope::clone(envelope)
            },
        })
    }

    /// Whether a recipient goes this way too.
    pub fn is_for(&self, recipient: &Address, run: &Run) -> bool {
        run.via(Some(recipient)).is_none_or(|hop| hop == self.hop)
    }

    /// When filters have been asked at `rcpt`.
    pub async fn recipient(&mut self, recipient: &Recipient) -> Result<(), Reply> {
        self.handing.recipient(recipient).await?;
        self.envelope.recipients.push(recipient.clone());
        Ok(())
    }

    /// The transaction for this parcel, if it can become that: it is for the same sender, and for nobody else.
    pub async fn fit(
        mut self,
        parcel: &Parcel,
        envelope: &Envelope,
    ) -> Option<(Box<dyn Handing>, Vec<Recipient>)> {
        let told =
            |recipient: &Recipient| parcel.recipients.iter().any(|(one, _)| one == recipient);
        let fits = self.hop == parcel.hop
            && is_alike(&self.envelope, envelope)
            && self.envelope.recipients.iter().all(told)
            && self.handing.is_alive().await;
        fits.then_some((self.handing, self.envelope.recipients))
    }
}

/// But for the recipients.
fn is_alike(one: &Envelope, other: &Envelope) -> bool {
    let head = |envelope: &Envelope| {
        let Envelope {
            sender,
            body,
            utf8,
            require_tls,
            ret,
            envid,
            ..
        } = envelope.clone();
        (sender, body, utf8, require_tls, ret, envid)
    };
    head(one) == head(other)
}
