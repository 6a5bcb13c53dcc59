//! A message that leaves the quarantine for a next hop. It leaves when the next hop has taken it: after a crash between the two it can be
//! released again, and then arrives twice.

use super::{Came, Going, Leaves, NotReleased, Placed};
use crate::accept::Telling;
use crate::accept::forward::{Way, ask, flag, quarantined};
use crate::accept::next_hop::Onward;
use crate::accept::parcels::{Sender, Trace, parcels};
use crate::accept::places::set_aside;
use crate::accept::report::Progress;
use crate::mail::{Disposition, Hook, Reply, Verdict};
use crate::store::{Delivery, Leaving};
use crate::verify;
use std::sync::Arc;

impl Going<'_> {
    pub(super) async fn onward(
        self,
        came: Came,
        onward: &Onward,
        mut leaving: Leaves,
    ) -> Result<Placed, NotReleased> {
        let Self {
            entry,
            held,
            content,
            report,
            mut draft,
            mut run,
            ..
        } = self;
        let envelope = &report.envelope;
        let junk = came.progress.filed.clone();
        flag(&mut run, &mut draft, &came.verdict, junk);
        let mut ways = Vec::with_capacity(envelope.recipients.len());
        let mut refused_by = None;
        for recipient in &envelope.recipients {
            let address = &recipient.address;
            let way = match &came.verdict {
                Verdict::Quarantine(why) => quarantined(&run, why.clone()),
                _ if came.ask => ask(&mut run, &mut draft, envelope, onward, address).await,
                _ => Way::on(&run, onward, address),
            };
            if let Way::Discarded | Way::Refused(_) = way {
                refused_by = run.stop().map(|stop| stop.filter.clone());
            }
            ways.push(way);
        }
        let trace = Trace {
            report: &report,
            authentication: match held.authentication.as_slice() {
                [] => String::new(),
                results => verify::field(&held.session.server_name, results),
            },
        };
        let mut said = vec![None; ways.len()];
        let mut sender = Sender {
            onward,
            report: &report,
            early: None,
            // Who doesn't get it stays in quarantine.
            telling: Telling::Each,
        };
        let parcels = parcels(envelope, &ways, &draft, &trace)?;
        sender.send(&parcels, &mut said).await;
        let (mut gone, mut groups, mut dispositions) = (Vec::new(), Vec::new(), Vec::new());
        let mut refusal = None;
        let stays = |reply: Option<&Reply>| Disposition::Refused {
            reply: format!(
                "{} It stays in quarantine as {}.",
                reply.map_or_else(|| "discarded.".to_owned(), ToString::to_string),
                entry.id
            ),
        };
        let recipients = ways.into_iter().zip(&said).zip(&envelope.recipients);
        for (index, ((way, said), recipient)) in recipients.enumerate() {
            let leaves = leaving.remove(&recipient.address).unwrap_or_default();
            dispositions.push(match (way, said) {
                (Way::On(next_hop), Some(reply)) if reply.is_positive() => {
                    gone.extend(leaves);
                    Disposition::Relayed {
                        next_hop,
                        reply: reply.to_string(),
                    }
                }
                (Way::On(next_hop), reply) => {
                    refusal = Some((next_hop, reply.clone()));
                    stays(reply.as_ref())
                }
                (Way::Aside { aside, stop, why }, _) => {
                    gone.extend(leaves);
                    set_aside(&mut groups, index, aside, stop, why.clone());
                    Disposition::Quarantined {
                        id: 0,
                        why,
                        then: None,
                    }
                }
                (Way::Discarded, _) => {
                    refusal = Some((refused_by.clone().unwrap_or_default(), None));
                    stays(None)
                }
                (Way::Refused(reply), _) => {
                    let who = refused_by.clone().unwrap_or_default();
                    refusal = Some((who, Some(reply.clone())));
                    stays(Some(&reply))
                }
            });
        }
        if gone.is_empty() {
            let (who, reply) = refusal.unwrap_or_default();
            let what = reply.map_or_else(|| "discard".to_owned(), |reply| reply.to_string());
            return Err(NotReleased::Refused { who, what });
        }
        let after = run.afterwards(Hook::Outcome);
        let envelope = Arc::clone(&report.envelope);
        let (at, ended) = (report.at, run.end());
        let progress = Progress {
            next_hop: held.next_hop.clone(),
            ..came.progress
        };
        let aside = report.set_aside(&ended, groups, &progress, &content);
        let delivery = Delivery {
            received_at: at,
            journal: report.journal(ended, came.verdict, dispositions),
            copies: Vec::new(),
            aside,
        };
        let leaving = Leaving {
            id: entry.id,
            recipients: gone,
        };
        Ok(Placed {
            delivery,
            leaving,
            envelope,
            run: after,
        })
    }
}
