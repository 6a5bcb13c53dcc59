//! From MAIL to the answer for a message that a next hop is to take: nothing is answered with 250 that neither it nor the quarantine has.
//! Keeps no queue.

use super::disposition::{answer, discarded, log_aside, turned_down};
use super::judge::{Judged, judge};
use super::next_hop::Onward;
use super::parcels::{Sender, Trace, parcels};
use super::places::set_aside;
use super::report::Progress;
use super::screening::{is_flagged, own_edits, own_turn};
use super::transaction::{Finished, Transaction};
use super::{Aftermath, Telling, for_all};
use crate::chain::{Draft, Run};
use crate::mail::{
    Address, Aside, Content, Disposition, Edit, Envelope, Hook, Journal, Recipient, Replies, Reply,
    Stop, TransactionId, Turn, Verdict,
};
use crate::store::{Delivery, SetAside, Store, StoreError};
use jiff::Timestamp;
use std::io;
use std::sync::Arc;

/// What is to become of the message for one recipient, before anything is handed on.
pub(super) enum Way {
    On(String),
    Aside {
        aside: Aside,
        stop: Stop,
        why: String,
    },
    Discarded,
    Refused(Reply),
}

impl Way {
    fn refusal(&self) -> Option<&Reply> {
        match self {
            Self::Refused(reply) => Some(reply),
            _ => None,
        }
    }
}

/// Runs the rest of the chain over the message and hands on what comes of it. Only reading the message back can fail here.
pub(super) async fn settle(
    mut transaction: Transaction,
    onward: Onward,
    content: Content,
    telling: Telling,
) -> io::Result<Finished> {
    let early = transaction.early.take();
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
        given,
        mut run,
        ..
    } = transaction;
    if !goes_on(&verdict) {
        return Ok(turned_down(&services, run, &envelope, report, verdict).await);
    }
    let junk = filed.clone().filter(|_| verdict == Verdict::Continue);
    flag(&mut run, &mut draft, &verdict, junk);
    let mut ways = Vec::with_capacity(envelope.recipients.len());
    for recipient in &envelope.recipients {
        let address = &recipient.address;
        ways.push(match &verdict {
            Verdict::Quarantine(why) => quarantined(&run, why.clone()),
            _ => ask(&mut run, &mut draft, &envelope, &onward, address).await,
        });
    }
    // Nothing has gone out yet, so nothing goes out twice.
    if telling == Telling::Whole
        && let Some(verdict) = for_all(ways.iter().map(Way::refusal))
    {
        return Ok(turned_down(&services, run, &envelope, report, verdict).await);
    }
    let trace = Trace {
        report: &report,
        authentication: authentication.unwrap_or_default(),
    };
    let parcels = parcels(&envelope, &ways, &draft, &trace)?;
    let mut said = vec![None; ways.len()];
    let mut sender = Sender {
        onward: &onward,
        report: &report,
        early,
        telling,
    };
    sender.send(&parcels, &mut said).await;
    drop(sender);
    // A client that has one reply for all sends it again for all.
    let mut temporary = said.iter().flatten().filter(|reply| reply.is_temporary());
    let again = temporary
        .next()
        .filter(|_| telling == Telling::Whole)
        .cloned();
    let mut groups = Vec::new();
    let mut dispositions = Vec::with_capacity(ways.len());
    for (index, (way, said)) in ways.into_iter().zip(&mut said).enumerate() {
        dispositions.push(match way {
            Way::On(_) | Way::Aside { .. } | Way::Discarded
                if said.is_none() && again.is_some() =>
            {
                Disposition::Refused {
                    reply: again.as_ref().map(ToString::to_string).unwrap_or_default(),
                }
            }
            Way::On(hop) => came(&hop, said.as_ref()),
            Way::Aside { aside, stop, why } => {
                set_aside(&mut groups, index, aside, stop, why.clone());
                Disposition::Quarantined {
                    id: 0,
                    why,
                    then: None,
                }
            }
            Way::Discarded => discarded("a filter discarded it at relay"),
            Way::Refused(reply) if telling == Telling::Whole => {
                discarded(&format!("a filter refused it at relay: {reply}"))
            }
            Way::Refused(reply) => {
                *said = Some(reply.clone());
                Disposition::Refused {
                    reply: reply.to_string(),
                }
            }
        });
    }
    let after = run.afterwards(Hook::Outcome);
    let (at, mut ended) = (report.at, run.end());
    note_filing(&mut ended.turns);
    let progress = Progress {
        earlier: Vec::new(),
        unruled: matches!(verdict, Verdict::Quarantine(_)),
        filed: filed.filter(|_| verdict != Verdict::Accept),
        next_hop: Some(onward.default.clone()),
    };
    let aside = report.set_aside(&ended, groups, &progress, &content);
    let kept: Vec<_> = aside
        .iter()
        .flat_map(|aside| aside.dispositions.clone())
        .collect();
    // Somebody who was named has it, here or at a next hop, or was refused it.
    let is_heard = |(recipient, said): (&Recipient, &Option<Reply>)| {
        said.is_some() && given.contains(&recipient.address)
    };
    let mut all = envelope.recipients.iter().zip(&said);
    let counts = match !kept.is_empty() || all.any(is_heard) {
        true => Counting::Named,
        false => Counting::All,
    };
    let journal = report.journal(ended, verdict, dispositions);
    let id = journal.id.clone();
    let stored = store(&*services.store, journal, at, aside).await;
    let mut aftermath = None;
    match &stored {
        Ok(journal) => {
            log_aside(journal);
            aftermath = Aftermath::new(&services, after, &envelope, journal);
        }
        Err(error) => {
            let reply = answer(&id, Err(error));
            for index in kept {
                if let Some(said) = said.get_mut(index) {
                    *said = Some(reply.clone());
                }
            }
        }
    }
    note_refusals(&id, &envelope, &given, &said);
    // Those who are not set aside don't depend on our disk.
    let ours = answer(&id, Ok("taken"));
    Ok(Finished {
        replies: replies(&envelope, &given, &said, counts, ours),
        aftermath,
    })
}

impl Way {
    pub fn on(run: &Run, onward: &Onward, recipient: &Address) -> Self {
        Self::On(
            run.via(Some(recipient))
                .unwrap_or(&onward.default)
                .to_owned(),
        )
    }
}

fn goes_on(verdict: &Verdict) -> bool {
    matches!(
        verdict,
        Verdict::Continue | Verdict::Accept | Verdict::Quarantine(_)
    )
}

/// What the policy files as junk is told to whoever files it.
pub(super) fn flag(
    run: &mut Run,
    draft: &mut Draft,
    verdict: &Verdict,
    junk: Option<(String, String)>,
) {
    let Some((_, why)) = junk.filter(|_| !is_flagged(draft)) else {
        return;
    };
    let edits = own_edits(None, true);
    draft.apply(&edits);
    run.built_in(own_turn(verdict, edits, vec![why]));
}

/// The `relay` hook.
pub(super) async fn ask(
    run: &mut Run,
    draft: &mut Draft,
    envelope: &Arc<Envelope>,
    onward: &Onward,
    recipient: &Address,
) -> Way {
    let hop = run
        .via(Some(recipient))
        .unwrap_or(&onward.default)
        .to_owned();
    match run.relay(recipient.clone(), hop, envelope, draft).await {
        Verdict::Continue | Verdict::Accept => match run.held(recipient) {
            Some((stop, why)) => Way::Aside {
                aside: Aside::Hold,
                stop,
                why,
            },
            None => Way::on(run, onward, recipient),
        },
        Verdict::Quarantine(why) => quarantined(run, why),
        Verdict::Discard => Way::Discarded,
        Verdict::Reject(reply) | Verdict::Tempfail(reply) => Way::Refused(reply),
    }
}

pub(super) fn quarantined(run: &Run, why: String) -> Way {
    match run.stop().cloned() {
        Some(stop) => Way::Aside {
            aside: Aside::Quarantine,
            stop,
            why,
        },
        // Nobody was asked, so nobody can have said it.
        None => Way::Discarded,
    }
}

fn came(hop: &str, said: Option<&Reply>) -> Disposition {
    match said {
        Some(reply) if reply.is_positive() => Disposition::Relayed {
            next_hop: hop.to_owned(),
            reply: reply.to_string(),
        },
        Some(reply) => Disposition::Refused {
            reply: format!("{hop} said {reply}"),
        },
        None => Disposition::Refused {
            reply: format!("{hop} did not answer"),
        },
    }
}

/// What filters ask for that is the next hop's affair.
fn note_filing(turns: &mut [Turn]) {
    for turn in turns {
        let is_filing = |edit: &Edit| matches!(edit, Edit::FileInto { .. } | Edit::AddFlag(_));
        let missed = turn
            .edits
            .iter()
            .filter(|scoped| is_filing(&scoped.edit))
            .count();
        let why = "filing: the mailbox is the affair of the next hop";
        turn.refused
            .extend(std::iter::repeat_n(why.to_owned(), missed));
    }
}

/// Of those whom filters added the client knows nothing.
fn note_refusals(
    id: &TransactionId,
    envelope: &Envelope,
    given: &[Address],
    said: &[Option<Reply>],
) {
    for (recipient, said) in envelope.recipients.iter().zip(said) {
        let address = &recipient.address;
        if let Some(reply) = said
            && !reply.is_positive()
            && !given.contains(address)
        {
            tracing::warn!(transaction = id.as_str(), recipient = %address, %reply, "a recipient that a filter added is refused");
        }
    }
}

/// The journal comes back with what it was set aside as. Without anything set aside, a journal that cannot be stored loses no mail.
async fn store(
    store: &dyn Store,
    journal: Journal,
    received_at: Timestamp,
    aside: Vec<SetAside>,
) -> Result<Journal, StoreError> {
    if !aside.is_empty() {
        let delivery = Delivery {
            received_at,
            journal,
            copies: Vec::new(),
            aside,
        };
        return store.deliver(delivery).await;
    }
    if let Err(error) = store.record(&journal).await {
        tracing::warn!(transaction = journal.id.as_str(), %error, "the journal of a message that was handed on was not stored");
    }
    Ok(journal)
}

/// Whose refusals the client hears of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counting {
    Named,
    /// Those of recipients that filters added too: there is nobody else.
    All,
}

/// For each recipient what the next hop said, and `ours` for those who are no affair of it. Where there is one reply for all, the worst
/// counts, one that is temporary before all others: a message may be delivered twice, but nobody who was to have it is forgotten. That a
/// recipient is refused for good whom a filter added is nothing to the client, unless filters left nobody else.
fn replies(
    envelope: &Envelope,
    given: &[Address],
    said: &[Option<Reply>],
    counts: Counting,
    ours: Reply,
) -> Replies {
    let rank = |reply: &Reply| match reply {
        reply if reply.is_temporary() => 0,
        reply if !reply.is_positive() => 1,
        _ => 2,
    };
    let counts =
        |recipient: &Recipient| counts == Counting::All || given.contains(&recipient.address);
    let heard = envelope.recipients.iter().zip(said);
    let heard = heard.filter_map(|(recipient, said)| {
        let said = said.as_ref()?;
        (said.is_temporary() || counts(recipient)).then_some(said)
    });
    let whole = heard.min_by_key(|reply| rank(reply)).cloned();
    let whole = whole.unwrap_or_else(|| ours.clone());
    let of = |given: &Address| -> Option<Reply> {
        let mut recipients = envelope.recipients.iter();
        let index = recipients.position(|recipient| recipient.address == *given)?;
        said.get(index).cloned().flatten()
    };
    let each = given
        .iter()
        .map(|given| of(given).unwrap_or_else(|| ours.clone()))
        .collect();
    Replies::Each { whole, each }
}
