//! What became of a transaction, told to the filters with the hook `outcome` once the client has its reply.
//! Changes nothing of it but the journal, which the filters' turns are added to.

use super::Services;
use crate::chain::Run;
use crate::mail::{Became, Disposition, Envelope, Journal, TransactionId, What, Where};
use std::sync::Arc;

/// To be dropped when the client has its reply, or is gone: that sets it going.
#[must_use]
pub struct Aftermath {
    services: Arc<Services>,
    told: Option<Told>,
}

struct Told {
    id: TransactionId,
    run: Run,
    envelope: Arc<Envelope>,
    became: Vec<Became>,
}

impl Aftermath {
    /// Of a journal that is stored.
    pub(super) fn new(
        services: &Arc<Services>,
        run: Option<Run>,
        envelope: &Arc<Envelope>,
        journal: &Journal,
    ) -> Option<Self> {
        // What a release leaves in quarantine has had no outcome yet.
        let stays = |place: &&Where| {
            let refused = matches!(place.disposition, Disposition::Refused { .. });
            !(journal.release.is_some() && refused)
        };
        let became = journal.dispositions.iter().filter(stays);
        let told = Told {
            id: journal.id.clone(),
            run: run?,
            envelope: Arc::clone(envelope),
            became: became.map(became_of).collect(),
        };
        Some(Self {
            services: Arc::clone(services),
            told: Some(told),
        })
    }
}

impl Drop for Aftermath {
    fn drop(&mut self) {
        if let (Some(told), Some(background)) = (self.told.take(), &self.services.outcomes) {
            background.add(tell(Arc::clone(&self.services), told));
        }
    }
}

async fn tell(services: Arc<Services>, told: Told) {
    let Told {
        id,
        mut run,
        envelope,
        became,
    } = told;
    for became in became {
        run.outcome(became, &envelope).await;
    }
    if let Err(error) = services.store.append_turns(&id, &run.end().turns).await {
        tracing::warn!(transaction = id.as_str(), %error, "what filters did at outcome was not journalled");
    }
}

fn became_of(place: &Where) -> Became {
    let (what, mailbox, detail) = match &place.disposition {
        Disposition::Filed { mailbox, why, .. } => (What::Delivered, mailbox.clone(), why),
        Disposition::Quarantined { why, .. } => (What::Quarantined, String::new(), why),
        Disposition::Discarded { why } => (What::Discarded, String::new(), why),
        Disposition::Refused { reply } => (What::Refused, String::new(), reply),
        Disposition::Relayed { next_hop, reply } => (What::Delivered, next_hop.clone(), reply),
        Disposition::Passed { how } => (What::Delivered, String::new(), how),
    };
    Became {
        recipient: place.recipient.clone(),
        what,
        place: mailbox,
        detail: detail.clone(),
    }
}
