//! From the chain's verdict to what becomes of a message that is ours to keep, and the commit that makes it so.
//! Doesn't ask the chain but at `deliver`.

use super::admission;
use super::judge::{Judged, judge};
use super::places::{Place, Places, Sorter};
use super::report::{Progress, Report};
use super::transaction::{Finished, Transaction};
use super::{Aftermath, Services, Telling, for_all, local_error, no_room};
use crate::chain::Run;
use crate::mail::{
    Address, Content, Disposition, EnhancedCode, Envelope, Hook, Journal, Replies, Reply,
    TransactionId, Verdict,
};
use crate::store::{Delivery, StoreError};
use std::io;
use std::iter::repeat;
use std::sync::Arc;

/// Runs the rest of the chain over the message and commits what comes of it. Only reading the message back can fail here.
pub(super) async fn settle(
    mut transaction: Transaction,
    content: Content,
    telling: Telling,
) -> io::Result<Finished> {
    let Judged {
        verdict,
        mut draft,
        filed,
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
    if let (Verdict::Continue, Some((mailbox, why))) = (&verdict, &filed) {
        draft.file_by_default(mailbox, why);
    }
    match &verdict {
        Verdict::Continue | Verdict::Accept | Verdict::Quarantine(_) => {}
        _ => return Ok(turned_down(&services, run, &envelope, report, verdict).await),
    }
    let accounts = match admission::accounts(&services, &accounts, &envelope).await {
        Ok(accounts) => accounts,
        Err(error) => return Ok(Replies::from(answer(&report.id, Err(&error))).into()),
    };

    let mut sorter = Sorter {
        report: &report,
        run: &mut run,
        draft: &mut draft,
        authentication: authentication.unwrap_or_default(),
        received: report.at,
    };
    let mut places = Places::default();
    let mut refusals: Vec<Option<Reply>> = vec![None; accounts.len()];
    let recipients = envelope.recipients.iter().zip(accounts);
    for ((recipient, account), refusal) in recipients.zip(&mut refusals) {
        let address = &recipient.address;
        let place = match &verdict {
            Verdict::Quarantine(why) => sorter.quarantined(why.clone()),
            _ => sorter.ask(address).await,
        };
        // The client sends it again for all: the others' filters need not be asked.
        if telling == Telling::Whole
            && let Place::Refused(reply) = &place
            && reply.is_temporary()
        {
            *refusal = Some(reply.clone());
            break;
        }
        let hook = sorter.run.stop().map_or(Hook::Deliver, |stop| stop.hook);
        let instead = |reply: Option<&Reply>| {
            *refusal = reply.cloned();
            match (reply, telling) {
                (None, _) => discarded(&format!("a filter discarded it at {hook}")),
                (Some(reply), Telling::Whole) => {
                    discarded(&format!("a filter refused it at deliver: {reply}"))
                }
                (Some(reply), Telling::Each) => Disposition::Refused {
                    reply: reply.to_string(),
                },
            }
        };
        places.push(&sorter, address, account, place, instead)?;
    }
    if telling == Telling::Whole
        && let Some(verdict) = for_all(refusals.iter().map(Option::as_ref))
    {
        return Ok(turned_down(&services, run, &envelope, report, verdict).await);
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
        next_hop: None,
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
    let whole = answer(&id, stored.as_ref().map(|_| "stored"));
    if telling == Telling::Whole || refusals.iter().all(Option::is_none) {
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

/// A message that is refused, or discarded, for all.
pub(super) async fn turned_down(
    services: &Arc<Services>,
    run: Run,
    envelope: &Arc<Envelope>,
    report: Report,
    verdict: Verdict,
) -> Finished {
    let refusal = match &verdict {
        Verdict::Reject(reply) | Verdict::Tempfail(reply) => Some(reply.clone()),
        _ => None,
    };
    let disposition = match &refusal {
        Some(reply) => Disposition::Refused {
            reply: reply.to_string(),
        },
        None => discarded("a filter discarded it"),
    };
    let after = run.afterwards(Hook::Outcome);
    let journal = report.journal(run.end(), verdict, repeat(disposition));
    let stored = services.store.record(&journal).await;
    let aftermath = match &stored {
        Ok(()) => Aftermath::new(services, after, envelope, &journal),
        Err(_) => None,
    };
    let reply = match (refusal, stored) {
        (None, stored) => answer(&journal.id, stored.as_ref().map(|()| "taken")),
        (Some(reply), Ok(())) => reply,
        // The client keeps the message: a journal that cannot be written loses nothing.
        (Some(reply), Err(error)) => {
            tracing::warn!(transaction = journal.id.as_str(), %error, "the journal of a refused message was not stored");
            reply
        }
    };
    Finished {
        replies: reply.into(),
        aftermath,
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

pub(super) fn discarded(why: &str) -> Disposition {
    Disposition::Discarded {
        why: why.to_owned(),
    }
}

pub(super) fn answer(id: &TransactionId, stored: Result<&str, &StoreError>) -> Reply {
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
