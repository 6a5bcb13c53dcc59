//! From the chain's verdict to what becomes of a message that is ours to keep, and the commit that makes it so.
//! Doesn't ask the chain but at `deliver`.

use super::judge::{Judged, judge};
use super::transaction::Transaction;
use super::{Telling, local_error, no_room, trace};
use crate::chain::{Ended, total};
use crate::mail::{
    AuthenticationResult, Content, Disposition, EnhancedCode, Envelope, Header, Journal, Replies,
    Reply, Session, TransactionId, Verdict, Where,
};
use crate::store::{Delivery, DeliveryCopy, MailboxName, StoreError};
use jiff::Timestamp;
use std::io;
use std::sync::Arc;

/// Where quarantined mail is set aside, in each recipient's account.
const QUARANTINE: &str = "Quarantine";
const JUNK: &str = "Junk";

/// Runs the rest of the chain over the message and commits what comes of it. Only reading the message back can fail here.
pub(super) async fn settle(
    mut transaction: Transaction,
    content: Content,
    telling: Telling,
) -> io::Result<Replies> {
    let Judged {
        verdict,
        mut draft,
        junk,
        authentication,
        report,
    } = judge(&mut transaction, &content).await?;
    let Transaction {
        services,
        envelope,
        accounts,
        given,
        mut run,
        ..
    } = transaction;
    if let Some(why) = &junk {
        draft.file_by_default(JUNK, why);
    }
    let quarantined = match &verdict {
        Verdict::Continue | Verdict::Accept => None,
        Verdict::Quarantine(why) => Some(why.clone()),
        Verdict::Reject(reply) | Verdict::Tempfail(reply) => {
            let disposition = Disposition::Refused {
                reply: reply.to_string(),
            };
            let journal = report.journal(run.end(), verdict.clone(), |_| disposition.clone());
            // The client keeps the message: a journal that cannot be written loses nothing.
            if let Err(error) = services.store.record(&journal).await {
                tracing::warn!(transaction = journal.id.as_str(), %error, "the journal of a refused message was not stored");
            }
            return Ok(reply.clone().into());
        }
        Verdict::Discard => {
            let why = "a filter discarded it";
            let journal = report.journal(run.end(), verdict.clone(), |_| discarded(why));
            let stored = services.store.record(&journal).await;
            return Ok(answer(&journal.id, stored.map(|()| "taken")).into());
        }
    };

    let mut copies = Vec::with_capacity(accounts.len());
    let mut dispositions = Vec::with_capacity(accounts.len());
    // What the client hears in place of the reply to the whole.
    let mut refusals = vec![None; accounts.len()];
    for (index, (recipient, account)) in envelope.recipients.iter().zip(accounts).enumerate() {
        let address = &recipient.address;
        let answer = match quarantined {
            Some(_) => Verdict::Continue,
            None => run.deliver(address.clone(), &envelope, &mut draft).await,
        };
        let (mailbox, why) = match answer {
            Verdict::Continue | Verdict::Accept => match &quarantined {
                Some(why) => (QUARANTINE.to_owned(), why.clone()),
                None => draft.filing(address).mailbox.unwrap_or_else(|| {
                    (MailboxName::INBOX.to_owned(), "no filter filed it".into())
                }),
            },
            Verdict::Quarantine(why) => (QUARANTINE.to_owned(), why),
            Verdict::Discard => {
                dispositions.push(discarded("a filter discarded it at deliver"));
                continue;
            }
            Verdict::Reject(reply) | Verdict::Tempfail(reply) => {
                dispositions.push(match telling {
                    Telling::Whole => {
                        discarded(&format!("a filter refused it at deliver: {reply}"))
                    }
                    Telling::Each => Disposition::Refused {
                        reply: reply.to_string(),
                    },
                });
                if telling == Telling::Each
                    && let Some(refusal) = refusals.get_mut(index)
                {
                    *refusal = Some(reply);
                }
                continue;
            }
        };
        let name = MailboxName::new(&mailbox).unwrap_or_else(|error| {
            tracing::warn!(transaction = report.id.as_str(), mailbox, %error, "filed into INBOX instead");
            MailboxName::inbox()
        });
        let header = draft.message_for(address).header;
        let fields = trace::fields(
            &report.id,
            &report.session,
            &envelope,
            address,
            authentication.as_deref().unwrap_or_default(),
            report.at,
        );
        copies.push(DeliveryCopy {
            disposition: index,
            account,
            mailbox: name.clone(),
            flags: draft.filing(address).flags,
            content: trace::render(&content, &header, &fields)?,
        });
        dispositions.push(Disposition::Filed {
            mailbox: name.as_str().to_owned(),
            uid: 0,
            why,
        });
    }
    let at = report.at;
    let mut dispositions = dispositions.into_iter();
    let journal = report.journal(run.end(), verdict, |_| {
        dispositions
            .next()
            .unwrap_or_else(|| discarded("no verdict"))
    });
    let id = journal.id.clone();
    let stored = services
        .store
        .deliver(Delivery {
            received_at: at,
            journal,
            copies,
        })
        .await;
    let whole = answer(&id, stored.map(|_| "stored"));
    if refusals.iter().all(Option::is_none) {
        return Ok(Replies::All(whole));
    }
    let of = |recipient: &usize| refusals.get(*recipient).cloned().flatten();
    let each = given
        .iter()
        .map(|recipient| of(recipient).unwrap_or_else(|| whole.clone()))
        .collect();
    Ok(Replies::Each { whole, each })
}

fn discarded(why: &str) -> Disposition {
    Disposition::Discarded {
        why: why.to_owned(),
    }
}

fn answer(id: &TransactionId, stored: Result<&str, StoreError>) -> Reply {
    match stored {
        Ok(what) => Reply::new(250, EnhancedCode(2, 0, 0), &format!("Ok: {what} as {id}")),
        Err(StoreError::Full) => {
            tracing::error!(transaction = id.as_str(), "no room to store a message");
            no_room()
        }
        Err(error) => {
            tracing::error!(transaction = id.as_str(), %error, "storing a message failed");
            local_error()
        }
    }
}

/// What the journal says besides what the chain did.
pub(super) struct Report {
    pub id: TransactionId,
    pub queue_id: Option<String>,
    pub session: Arc<Session>,
    pub envelope: Arc<Envelope>,
    pub received: Header,
    pub size: u64,
    pub authentication: Vec<AuthenticationResult>,
    pub at: Timestamp,
}

impl Report {
    pub fn journal(
        self,
        ended: Ended,
        verdict: Verdict,
        mut disposition: impl FnMut(usize) -> Disposition,
    ) -> Journal {
        let text = |name: &str| self.received.nth(name, 1).map(|field| field.text());
        let message_id = text("Message-ID").map(|id| id.trim_matches(['<', '>']).to_owned());
        let dispositions = self
            .envelope
            .recipients
            .iter()
            .enumerate()
            .map(|(index, recipient)| Where {
                recipient: recipient.address.clone(),
                disposition: disposition(index),
            })
            .collect();
        Journal {
            message_id,
            subject: text("Subject"),
            id: self.id,
            queue_id: self.queue_id,
            at: self.at.to_string(),
            generation: ended.generation,
            session: Session::clone(&self.session),
            envelope: Envelope::clone(&self.envelope),
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
