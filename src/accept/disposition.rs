//! From the chain's verdict to what becomes of the message, and the commit that makes it so.

use super::admission;
use super::places::{Places, Sorter};
use super::report::{Progress, Report};
use super::transaction::{Finished, Transaction};
use super::{Aftermath, Services, Telling, local_error, no_room};
use crate::chain::{Draft, Ruling, Run};
use crate::mail::{
    Address, Content, Disposition, EnhancedCode, Hook, Journal, Message, Mode, Replies, Reply,
    Session, TransactionId, Turn, Verdict,
};
use crate::store::{Delivery, StoreError};
use crate::verify::{self, Checked};
use std::io;
use std::iter::repeat;
use std::sync::Arc;
use std::time::Instant;

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
    // Where it is filed unless a filter files it.
    let mut filed = checked
        .ruling
        .junk
        .clone()
        .map(|why| (JUNK.to_owned(), why));
    let hygiene = services.config.hygiene;
    let unclean = hygiene.refusal(&received, &session.server_name);
    let verdict = match unclean.or(checked.ruling.refusal) {
        Some(reply) if reply.is_temporary() => Verdict::Tempfail(reply),
        Some(reply) => Verdict::Reject(reply),
        None => match run.message(&mut envelope, &mut draft).await {
            Verdict::Continue => rule(&services, &id, run.score(), &mut filed),
            other => other,
        },
    };
    let nobody = envelope.recipients.is_empty();
    let verdict = match verdict {
        Verdict::Continue | Verdict::Accept | Verdict::Quarantine(_) if nobody => Verdict::Discard,
        other => other,
    };
    if let (Verdict::Continue, Some((mailbox, why))) = (&verdict, &filed) {
        draft.file_by_default(mailbox, why);
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
        release: None,
    };
    match &verdict {
        Verdict::Continue | Verdict::Accept | Verdict::Quarantine(_) => {}
        Verdict::Reject(reply) | Verdict::Tempfail(reply) => {
            let disposition = Disposition::Refused {
                reply: reply.to_string(),
            };
            let after = run.afterwards(Hook::Outcome);
            let journal = report.journal(run.end(), verdict.clone(), repeat(disposition));
            let mut finished = Finished::from(Replies::from(reply.clone()));
            match services.store.record(&journal).await {
                Ok(()) => {
                    finished.aftermath = Aftermath::new(&services, after, &envelope, &journal);
                }
                // The client keeps the message: a journal that cannot be written loses nothing.
                Err(error) => {
                    tracing::warn!(transaction = journal.id.as_str(), %error, "the journal of a refused message was not stored");
                }
            }
            return Ok(finished);
        }
        Verdict::Discard => {
            let disposition = discarded("a filter discarded it");
            let after = run.afterwards(Hook::Outcome);
            let journal = report.journal(run.end(), verdict.clone(), repeat(disposition));
            let stored = services.store.record(&journal).await;
            let aftermath = match &stored {
                Ok(()) => Aftermath::new(&services, after, &envelope, &journal),
                Err(_) => None,
            };
            return Ok(Finished {
                replies: answer(&journal.id, stored.map(|()| "taken")).into(),
                aftermath,
            });
        }
    }
    let accounts = match admission::accounts(&services, &accounts, &envelope).await {
        Ok(accounts) => accounts,
        Err(error) => return Ok(Replies::from(answer(&report.id, Err(error))).into()),
    };

    let mut sorter = Sorter {
        report: &report,
        run: &mut run,
        draft: &mut draft,
        authentication: authentication.unwrap_or_default(),
        received: report.at,
    };
    let mut places = Places::default();
    // What the client hears in place of the reply to the whole.
    let mut refusals = vec![None; accounts.len()];
    let recipients = envelope.recipients.iter().zip(accounts);
    for ((recipient, account), refusal) in recipients.zip(&mut refusals) {
        let address = &recipient.address;
        let place = match &verdict {
            Verdict::Quarantine(why) => sorter.quarantined(why.clone()),
            _ => sorter.ask(address).await,
        };
        let instead = |reply: Option<&Reply>| match (reply, telling) {
            (None, _) => discarded("a filter discarded it at deliver"),
            (Some(reply), Telling::Whole) => {
                discarded(&format!("a filter refused it at deliver: {reply}"))
            }
            (Some(reply), Telling::Each) => {
                *refusal = Some(reply.clone());
                Disposition::Refused {
                    reply: reply.to_string(),
                }
            }
        };
        places.push(&sorter, address, account, place, instead)?;
    }
    let after = run.afterwards(Hook::Outcome);
    let (at, ended) = (report.at, run.end());
    let progress = Progress {
        earlier: Vec::new(),
        unruled: matches!(verdict, Verdict::Quarantine(_)),
        filed: match &verdict {
            // A filter has said that the policy does not count.
            Verdict::Accept => None,
            _ => filed,
        },
    };
    let aside = report.set_aside(&ended, places.groups, &progress, &content);
    let journal = report.journal(ended, verdict, places.dispositions);
    let id = journal.id.clone();
    let stored = services
        .store
        .deliver(Delivery {
            received_at: at,
            journal,
            copies: places.copies,
            aside,
        })
        .await;
    let mut aftermath = None;
    if let Ok(journal) = &stored {
        log_aside(journal);
        aftermath = Aftermath::new(&services, after, &envelope, journal);
    }
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
        mode: Mode::Active,
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
        calls: Vec::new(),
    });
    Ok(checked)
}

/// What the policy makes of the score; `filed` gets the mailbox that it asks for.
pub(super) fn rule(
    services: &Services,
    id: &TransactionId,
    score: f32,
    filed: &mut Option<(String, String)>,
) -> Verdict {
    match services.config.policy.rule(score) {
        Ruling::Deliver => Verdict::Continue,
        Ruling::Junk => {
            let why = format!("score {score:.1} reaches the policy's junk threshold");
            *filed = Some((JUNK.to_owned(), why));
            Verdict::Continue
        }
        Ruling::Reject => Verdict::Reject(Reply::new(
            550,
            EnhancedCode(5, 7, 1),
            &format!("Refused as {id}: judged to be spam (score {score:.1})"),
        )),
    }
}

/// Says what went into the quarantine.
pub(super) fn log_aside(journal: &Journal) {
    for place in &journal.dispositions {
        if let Disposition::Quarantined { id, why, .. } = &place.disposition {
            tracing::info!(transaction = journal.id.as_str(), recipient = %place.recipient, id, why, "set aside in quarantine");
        }
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
