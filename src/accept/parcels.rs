//! A message on its way to next hops: one transaction for all who get the same message the same way.
//! Doesn't know what the client is told.

use super::forward::Way;
use super::next_hop::{Early, Onward, Size};
use super::report::Report;
use super::trace;
use super::{Telling, local_error};
use crate::chain::Draft;
use crate::mail::{Content, Envelope, Recipient, Reply};
use std::io;

/// What goes in one transaction: the same message the same way.
pub(super) struct Parcel {
    pub hop: String,
    content: Content,
    /// With their indices in the envelope.
    pub recipients: Vec<(Recipient, usize)>,
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
    pub telling: Telling,
}

impl Sender<'_> {
    /// `said` gets what each recipient's reply is; of whom nothing goes out because others are to be sent it again, none.
    pub async fn send(&mut self, parcels: &[Parcel], said: &mut [Option<Reply>]) {
        for parcel in parcels {
            self.one(parcel, said).await;
            if self.comes_again(said) {
                break;
            }
        }
    }

    /// The client, that has one reply for all, will send it again for all: who gets it now would get it twice.
    fn comes_again(&self, said: &[Option<Reply>]) -> bool {
        self.telling == Telling::Whole && said.iter().flatten().any(Reply::is_temporary)
    }

    async fn one(&mut self, parcel: &Parcel, said: &mut [Option<Reply>]) {
        let envelope = &self.report.envelope;
        let early = match self.early.take() {
            Some(early) => early.fit(parcel, envelope).await,
            None => None,
        };
        let (mut handing, told) = match early {
            Some(early) => early,
            None => {
                let Report { id, session, .. } = self.report;
                let size = Size::Here(parcel.content.len());
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
        if accepted.is_empty() || self.comes_again(said) {
            return;
        }
        let replies = handing.message(&parcel.content).await;
        // Silence is no acceptance.
        let silence = local_error();
        for (place, index) in accepted.into_iter().enumerate() {
            let reply = replies.get(place).or(replies.last());
            set(said, index, reply.unwrap_or(&silence));
        }
    }
}

fn set(said: &mut [Option<Reply>], index: usize, reply: &Reply) {
    if let Some(said) = said.get_mut(index) {
        *said = Some(reply.clone());
    }
}
