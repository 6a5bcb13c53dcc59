//! From MAIL to the answer for a message that a next hop is to take: nothing is answered with 250 that neither it nor the quarantine has.
//! Keeps no queue, and knows no connection: `deliver` has those.

use super::disposition::{answer, discarded, log_aside, turned_down};
use super::judge::{Judged, judge};
use super::places::set_aside;
use super::report::{Progress, Report};
use super::screening::{is_flagged, own_edits, own_turn};
use super::transaction::{Finished, Transaction};
use super::{Aftermath, Telling, trace};
use crate::chain::{Draft, Run};
use crate::mail::{
    Address, Aside, Content, Disposition, Edit, Envelope, Hook, Journal, Recipient, Replies, Reply,
    Session, Stop, TransactionId, Turn, Verdict,
};
use crate::store::{Delivery, SetAside, Store, StoreError};
use async_trait::async_trait;
use jiff::Timestamp;
use std::io;
use std::sync::Arc;

/// The next hops that the configuration names.
#[async_trait]
pub trait NextHops: Send + Sync {
    fn names(&self) -> Arc<[String]>;

    /// Begins a transaction up to the reply to MAIL; an error is what the client is to be told. The recipients of `envelope` are not looked
    /// at. `size`: of the message in octets, where it is known.
    async fn open(
        &self,
        name: &str,
        id: &TransactionId,
        session: &Session,
        envelope: &Envelope,
        size: Option<u64>,
    ) -> Result<Box<dyn Handing>, Reply>;
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
    ) -> Result<Self, Reply> {
        let handing = onward.hops.open(&hop, id, session, envelope, None).await?;
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
    async fn fit(
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

/// What goes in one transaction: the same message the same way.
pub(super) struct Parcel {
    hop: String,
    content: Content,
    /// With their indices in the envelope.
    recipients: Vec<(Recipient, usize)>,
}

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
        && let Some(reply) = of_all(&ways)
    {
        let verdict = match reply.is_temporary() {
            true => Verdict::Tempfail(reply),
            false => Verdict::Reject(reply),
        };
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
    };
    for parcel in parcels {
        sender.send(&parcel, &mut said).await;
    }
    drop(sender);
    let mut groups = Vec::new();
    let mut dispositions = Vec::with_capacity(ways.len());
    for (index, (way, said)) in ways.into_iter().zip(&said).enumerate() {
        dispositions.push(match way {
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
            Way::Refused(reply) => Disposition::Refused {
                reply: reply.to_string(),
            },
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
    let journal = report.journal(ended, verdict, dispositions);
    let id = journal.id.clone();
    let stored = store(&*services.store, journal, at, aside).await;
    let mut aftermath = None;
    let whole_of_ours = match &stored {
        Ok(journal) => {
            log_aside(journal);
            aftermath = Aftermath::new(&services, after, &envelope, journal);
            answer(&id, Ok("taken"))
        }
        Err(error) => {
            let reply = answer(&id, Err(error));
            for index in kept {
                if let Some(said) = said.get_mut(index) {
                    *said = Some(reply.clone());
                }
            }
            // Those who are not set aside don't depend on our disk.
            answer(&id, Ok("taken"))
        }
    };
    Ok(Finished {
        replies: replies(&envelope, &given, &said, whole_of_ours),
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
    match run.stop() {
        Some(stop) => Way::Aside {
            aside: Aside::Quarantine,
            stop,
            why,
        },
        // Nobody was asked, so nobody can have said it.
        None => Way::Discarded,
    }
}

/// Where there is one reply for all: one that is temporary for any of them, so that the message comes again before it has gone anywhere; or
/// the refusal, if it is refused for all.
fn of_all(ways: &[Way]) -> Option<Reply> {
    let refusals = || {
        ways.iter().filter_map(|way| match way {
            Way::Refused(reply) => Some(reply),
            _ => None,
        })
    };
    let temporary = refusals().find(|reply| reply.is_temporary());
    let all = refusals().count() == ways.len();
    temporary
        .or_else(|| refusals().next().filter(|_| all))
        .cloned()
}

pub(super) struct Trace<'r> {
    pub report: &'r Report,
    pub authentication: String,
}

/// Recipients who get the same message the same way share a transaction.
pub(super) fn parcels(
    envelope: &Envelope,
    ways: &[Way],
    draft: &Draft,
    trace: &Trace<'_>,
) -> io::Result<Vec<Parcel>> {
    let mut parcels: Vec<(Parcel, Vec<_>)> = Vec::new();
    for (index, (recipient, way)) in envelope.recipients.iter().zip(ways).enumerate() {
        let Way::On(hop) = way else { continue };
        let message = draft.message_for(&recipient.address);
        let splices = message.splices()?;
        let mut same = parcels
            .iter_mut()
            .filter(|(parcel, laid)| parcel.hop == *hop && *laid == splices);
        if let Some((parcel, _)) = same.next() {
            parcel.recipients.push((recipient.clone(), index));
            continue;
        }
        let Trace {
            report,
            authentication,
        } = trace;
        let fields = trace::received(
            &report.id,
            &report.session,
            &report.envelope,
            authentication,
            report.at,
        );
        let content = trace::render(&message, &fields)?;
        let parcel = Parcel {
            hop: hop.clone(),
            content,
            recipients: vec![(recipient.clone(), index)],
        };
        parcels.push((parcel, splices));
    }
    Ok(parcels.into_iter().map(|(parcel, _)| parcel).collect())
}

pub(super) struct Sender<'r> {
    pub onward: &'r Onward,
    pub report: &'r Report,
    pub early: Option<Early>,
}

impl Sender<'_> {
    /// `said` gets what each recipient's reply is.
    pub async fn send(&mut self, parcel: &Parcel, said: &mut [Option<Reply>]) {
        let envelope = &self.report.envelope;
        let early = match self.early.take() {
            Some(early) => early.fit(parcel, envelope).await,
            None => None,
        };
        let (mut handing, told) = match early {
            Some(early) => early,
            None => {
                let Report { id, session, .. } = self.report;
                let size = Some(parcel.content.len());
                match self
                    .onward
                    .hops
                    .open(&parcel.hop, id, session, envelope, size)
                    .await
                {
                    Ok(handing) => (handing, Vec::new()),
                    Err(reply) => {
                        for (_, index) in &parcel.recipients {
                            set(said, *index, &reply);
                        }
                        return;
                    }
                }
            }
        };
        // In the order in which they were told to it.
        let index = |of: &Recipient| {
            parcel
                .recipients
                .iter()
                .find(|(one, _)| one == of)
                .map(|(_, index)| *index)
        };
        let mut accepted: Vec<usize> = told.iter().filter_map(index).collect();
        for (recipient, index) in &parcel.recipients {
            if accepted.contains(index) {
                continue;
            }
            match handing.recipient(recipient).await {
                Ok(_) => accepted.push(*index),
                Err(reply) => set(said, *index, &reply),
            }
        }
        if accepted.is_empty() {
            return;
        }
        let replies = handing.message(&parcel.content).await;
        for (place, index) in accepted.into_iter().enumerate() {
            if let Some(reply) = replies.get(place).or(replies.last()) {
                set(said, index, reply);
            }
        }
    }
}

fn set(said: &mut [Option<Reply>], index: usize, reply: &Reply) {
    if let Some(said) = said.get_mut(index) {
        *said = Some(reply.clone());
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

/// For each recipient what the next hop said, and `ours` for those who are no affair of it. Where there is one reply for all, the worst
/// counts, one that is temporary before all others: a message may be delivered twice, but nobody who was to have it is forgotten.
fn replies(envelope: &Envelope, given: &[Address], said: &[Option<Reply>], ours: Reply) -> Replies {
    let rank = |reply: &Reply| match reply {
        reply if reply.is_temporary() => 0,
        reply if !reply.is_positive() => 1,
        _ => 2,
    };
    let whole = said.iter().flatten().min_by_key(|reply| rank(reply));
    let whole = whole.cloned().unwrap_or_else(|| ours.clone());
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
