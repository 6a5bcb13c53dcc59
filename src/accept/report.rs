//! What is told of a transaction when it ends: its journal, and what is set aside of it.
//! Decides nothing.

use crate::chain::{Ended, total};
use crate::mail::{
    Address, Aside, AuthenticationResult, Content, Disposition, Entry, Envelope, Header, Held,
    Journal, Mode, Released, Session, Stop, TransactionId, Turn, Verdict, Where,
};
use crate::store::SetAside;
use jiff::Timestamp;
use std::sync::Arc;

/// What is known of a transaction besides what the chain did.
pub(super) struct Report {
    pub id: TransactionId,
    /// What the mail server that keeps the message calls it, if one does.
    pub queue_id: Option<String>,
    pub session: Arc<Session>,
    pub envelope: Arc<Envelope>,
    /// As the client gave it.
    pub original: Envelope,
    /// The header as received.
    pub received: Header,
    pub size: u64,
    pub authentication: Vec<AuthenticationResult>,
    pub at: Timestamp,
    /// If it goes on with a message that was in quarantine.
    pub release: Option<Released>,
}

/// A message to set aside for these recipients (indices into the envelope).
pub(super) struct Group {
    pub aside: Aside,
    pub stop: Stop,
    pub why: String,
    pub recipients: Vec<usize>,
}

/// How far the message has come besides the chain.
pub(super) struct Progress {
    /// Calls of filters in the transactions that this one goes on with.
    pub earlier: Vec<Turn>,
    pub unruled: bool,
    pub filed: Option<(String, String)>,
    /// The one that it was on its way to.
    pub next_hop: Option<String>,
}

impl Report {
    fn text(&self, name: &str) -> Option<String> {
        self.received.nth(name, 1).map(|field| field.text())
    }

    fn message_id(&self) -> Option<String> {
        let id = self.text("Message-ID")?;
        Some(id.trim_matches(['<', '>']).to_owned())
    }

    pub fn set_aside(
        &self,
        ended: &Ended,
        groups: Vec<Group>,
        progress: &Progress,
        content: &Content,
    ) -> Vec<SetAside> {
        if groups.is_empty() {
            return Vec::new();
        }
        let turns: Vec<Turn> = progress
            .earlier
            .iter()
            .chain(&ended.turns)
            // What a shadow would have done is not gone on with.
            .filter(|turn| turn.mode != Mode::Shadow)
            .cloned()
            .collect();
        let address = |index: &usize| -> Option<Address> {
            let recipient = self.envelope.recipients.get(*index)?;
            Some(recipient.address.clone())
        };
        let one = |group: Group| SetAside {
            entry: Entry {
                id: 0,
                transaction: self.id.clone(),
                at: self.at,
                aside: group.aside,
                filter: group.stop.filter.clone(),
                hook: group.stop.hook,
                why: group.why,
                sender: self.envelope.sender.to_string(),
                recipients: group.recipients.iter().filter_map(address).collect(),
                from: self.text("From"),
                subject: self.text("Subject"),
                message_id: self.message_id(),
                size: self.size,
                score: total(&ended.symbols),
            },
            held: Held {
                session: Session::clone(&self.session),
                envelope: Envelope::clone(&self.envelope),
                authentication: self.authentication.clone(),
                turns: turns.clone(),
                stop: group.stop,
                unruled: progress.unruled,
                filed: progress.filed.clone(),
                next_hop: progress.next_hop.clone(),
            },
            dispositions: group.recipients,
            content: content.received(),
        };
        groups.into_iter().map(one).collect()
    }

    /// `dispositions` in the order of the envelope's recipients.
    pub fn journal(
        self,
        ended: Ended,
        verdict: Verdict,
        dispositions: impl IntoIterator<Item = Disposition>,
    ) -> Journal {
        let (message_id, subject) = (self.message_id(), self.text("Subject"));
        // Whom filters removed: the client named them, and they are to be told of.
        let removed = match &verdict {
            Verdict::Reject(reply) | Verdict::Tempfail(reply) => Disposition::Refused {
                reply: reply.to_string(),
            },
            _ => Disposition::Discarded {
                why: "a filter removed the recipient".to_owned(),
            },
        };
        let named = self.original.recipients.iter();
        let removed = named
            .filter(|recipient| !self.envelope.has(&recipient.address))
            .map(|recipient| Where {
                recipient: recipient.address.clone(),
                disposition: removed.clone(),
            });
        let recipients = self.envelope.recipients.iter();
        let dispositions = recipients
            .zip(dispositions)
            .map(|(recipient, disposition)| Where {
                recipient: recipient.address.clone(),
                disposition,
            })
            .chain(removed)
            .collect();
        Journal {
            message_id,
            subject,
            id: self.id,
            queue_id: self.queue_id,
            at: self.at.to_string(),
            release: self.release,
            generation: ended.generation,
            session: Session::clone(&self.session),
            envelope: self.original,
            size: self.size,
            authentication: self.authentication,
            score: total(&ended.symbols),
            turns: ended.turns,
            verdict,
            dispositions,
            elapsed: ended.elapsed,
        }
    }
}
