//! From the chain's verdict to what becomes of the message, and the commit that makes it so.

use super::admission;
use super::transaction::{Finished, Transaction};
use super::{Aftermath, Services, Telling, local_error, no_room, trace};
use crate::chain::{Draft, Ended, Ruling, Run, total};
use crate::mail::{
    Address, AuthenticationResult, Content, Disposition, EnhancedCode, Envelope, Header, Hook,
    Journal, Message, Replies, Reply, Session, TransactionId, Turn, Verdict, Where,
};
use crate::store::{Delivery, DeliveryCopy, MailboxName, StoreError};
use crate::verify::{self, Checked};
use jiff::Timestamp;
use std::io;
use std::sync::Arc;
use std::time::Instant;

/// Where quarantined mail is set aside, in each recipient's account.
const QUARANTINE: &str = "Quarantine";
const JUNK: &str = "Junk";

/// Runs the rest of the chain over the message and commits what comes of it. Only reading the message back can fail here.
pub(super) async fn settle(
    transaction: Transaction,
    content: Content,
    telling: Telling,
) -> io::Result<Finished> {
    let Transaction {
        services,
        id,
        session,
        mut envelope,
        original,
        accounts,
        given,
        mut run,
        sender,
    } = transaction;
    let message = Message::new(content.clone())?;
    let received = message.header.clone();
    let mut draft = Draft::new(message, &envelope.recipients);
    let checked = authenticate(&services, &session, sender, &content, &mut draft, &mut run).await?;
    let verdict = match checked.ruling.refusal {
        Some(reply) if reply.is_temporary() => Verdict::Tempfail(reply),
        Some(reply) => Verdict::Reject(reply),
        None => match run.message(&mut envelope, &mut draft).await {
            Verdict::Continue => rule(&services, &id, run.score(), &mut draft),
            other => other,
        },
    };
    let nobody = envelope.recipients.is_empty();
    let verdict = match verdict {
        Verdict::Continue | Verdict::Accept | Verdict::Quarantine(_) if nobody => Verdict::Discard,
        other => other,
    };
    if let (Verdict::Continue, Some(why)) = (&verdict, &checked.ruling.junk) {
        draft.file_by_default(JUNK, why);
    }
    let authentication = services
        .verifier
        .as_ref()
        .map(|_| verify::field(&session.server_name, &checked.results));
    let report = Report {
        id,
        session,
        envelope: Arc::clone(&envelope),
        original,
        received,
        size: content.len(),
        authentication: checked.results,
        at: services.clock.now(),
    };
    let quarantined = match &verdict {
        Verdict::Continue | Verdict::Accept => None,
        Verdict::Quarantine(why) => Some(why.clone()),
        Verdict::Reject(reply) | Verdict::Tempfail(reply) => {
            let disposition = Disposition::Refused {
                reply: reply.to_string(),
            };
            let after = run.afterwards(Hook::Outcome);
            let journal = report.journal(run.end(), verdict.clone(), |_| disposition.clone());
            let mut finished = Finished::from(Replies::from(reply.clone()));
            match services.store.record(&journal).await {
                Ok(()) => {
                    finished.aftermath =
                        Aftermath::new(&services, after, &envelope, &journal, QUARANTINE);
                }
                // The client keeps the message: a journal that cannot be written loses nothing.
                Err(error) => {
                    tracing::warn!(transaction = journal.id.as_str(), %error, "the journal of a refused message was not stored");
                }
            }
            return Ok(finished);
        }
        Verdict::Discard => {
            let why = match nobody {
                true => "filters removed all recipients",
                false => "a filter discarded it",
            };
            let after = run.afterwards(Hook::Outcome);
            let journal = report.journal(run.end(), verdict.clone(), |_| discarded(why));
            let stored = services.store.record(&journal).await;
            let aftermath = match &stored {
                Ok(()) => Aftermath::new(&services, after, &envelope, &journal, QUARANTINE),
                Err(_) => None,
            };
            return Ok(Finished {
                replies: answer(&journal.id, stored.map(|()| "taken")).into(),
                aftermath,
            });
        }
    };
    let accounts = match admission::accounts(&services, &accounts, &envelope).await {
        Ok(accounts) => accounts,
        Err(error) => return Ok(Replies::from(answer(&report.id, Err(error))).into()),
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
    let after = run.afterwards(Hook::Outcome);
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
    let aftermath = match &stored {
        Ok(journal) => Aftermath::new(&services, after, &envelope, journal, QUARANTINE),
        Err(_) => None,
    };
    let whole = answer(&id, stored.map(|_| "stored"));
    if refusals.iter().all(Option::is_none) {
        return Ok(Finished {
            replies: Replies::All(whole),
            aftermath,
        });
    }
    let of = |given: &Address| {
        let mut recipients = envelope.recipients.iter();
        let index = recipients.position(|recipient| recipient.address == *given)?;
        refusals.get(index).cloned().flatten()
    };
    let each = given
        .iter()
        .map(|recipient| of(recipient).unwrap_or_else(|| whole.clone()))
        .collect();
    Ok(Finished {
        replies: Replies::Each { whole, each },
        aftermath,
    })
}

/// The built-in filter before all others: checks who the message is from, and removes what only pretends to be our word on that.
async fn authenticate(
    services: &Services,
    session: &Session,
    sender: Option<verify::Sender>,
    content: &Content,
    draft: &mut Draft,
    run: &mut Run,
) -> io::Result<Checked> {
    let started = Instant::now();
    let checked = match (&services.verifier, sender) {
        (Some(verifier), Some(sender)) => verifier.message(sender, content).await?,
        _ => Checked::default(),
    };
    let edits = verify::removals(&draft.message().header, &session.server_name);
    if services.verifier.is_none() && edits.is_empty() {
        return Ok(checked);
    }
    draft.apply(&edits);
    let verdict = match &checked.ruling.refusal {
        Some(reply) if reply.is_temporary() => Verdict::Tempfail(reply.clone()),
        Some(reply) => Verdict::Reject(reply.clone()),
        None => Verdict::Continue,
    };
    run.authenticated(&checked.results);
    run.built_in(Turn {
        filter: verify::FILTER.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        hook: Hook::Message,
        recipient: None,
        about: None,
        result: Ok(verdict.clone()),
        verdict,
        symbols: checked.ruling.symbols.clone(),
        edits,
        refused: Vec::new(),
        log: Vec::new(),
        elapsed: started.elapsed(),
        memory: 0,
        host_calls: 0,
    });
    Ok(checked)
}

fn rule(services: &Services, id: &TransactionId, score: f32, draft: &mut Draft) -> Verdict {
    match services.config.policy.rule(score) {
        Ruling::Deliver => Verdict::Continue,
        Ruling::Junk => {
            draft.file_by_default(
                JUNK,
                &format!("score {score:.1} reaches the policy's junk threshold"),
            );
            Verdict::Continue
        }
        Ruling::Reject => Verdict::Reject(Reply::new(
            550,
            EnhancedCode(5, 7, 1),
            &format!("Refused as {id}: judged to be spam (score {score:.1})"),
        )),
    }
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
struct Report {
    id: TransactionId,
    session: Arc<Session>,
    envelope: Arc<Envelope>,
    /// As the client gave it.
    original: Envelope,
    received: Header,
    size: u64,
    authentication: Vec<AuthenticationResult>,
    at: Timestamp,
}

impl Report {
    fn journal(
        self,
        ended: Ended,
        verdict: Verdict,
        mut disposition: impl FnMut(usize) -> Disposition,
    ) -> Journal {
        let text = |name: &str| self.received.nth(name, 1).map(|field| field.text());
        let message_id = text("Message-ID").map(|id| id.trim_matches(['<', '>']).to_owned());
        // Whom filters removed: the client named them, and they are to be told of.
        let removed = match &verdict {
            Verdict::Reject(reply) | Verdict::Tempfail(reply) => Disposition::Refused {
                reply: reply.to_string(),
            },
            _ => discarded("a filter removed the recipient"),
        };
        let named = self.original.recipients.iter();
        let removed = named
            .filter(|recipient| !self.envelope.has(&recipient.address))
            .map(|recipient| Where {
                recipient: recipient.address.clone(),
                disposition: removed.clone(),
            });
        let dispositions = self
            .envelope
            .recipients
            .iter()
            .enumerate()
            .map(|(index, recipient)| Where {
                recipient: recipient.address.clone(),
                disposition: disposition(index),
            })
            .chain(removed)
            .collect();
        Journal {
            message_id,
            subject: text("Subject"),
            id: self.id,
            at: self.at.to_string(),
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
