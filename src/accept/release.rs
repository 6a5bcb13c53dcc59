//! Lets a message out of the quarantine: the rest of the chain, the whole of it or none, and a commit in which it is delivered and leaves.
//! What the chain refuses, or drops, stays where it is.

mod onward;

use super::admission::{self, Admission};
use super::disposition::log_aside;
use super::judge::rule;
use super::next_hop::Onward;
use super::places::{Place, Places, Sorter};
use super::report::{Progress, Report};
use super::{Acceptor, Aftermath, Services};
use crate::auth::Found;
use crate::chain::{Chain, Draft, Run};
use crate::mail::{
    Address, Aside, Content, Disposition, Entry, Envelope, Held, Hook, Journal, Message, Recipient,
    Release, Released, Reply, Turn, Verdict,
};
use crate::store::{AccountId, Delivery, Leaving, StoreError};
use crate::verify;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

#[derive(Debug, Clone)]
pub struct Request {
    pub id: u64,
    pub how: Release,
    /// One of its recipients: for that one only. Another address here: it gets the message in place of them.
    pub to: Option<Address>,
}

/// Why a message stays in quarantine.
#[derive(Debug, thiserror::Error)]
pub enum NotReleased {
    #[error(
        "there is no message {0} in quarantine (any more); `wasmilter quarantine list` shows what there is"
    )]
    Gone(u64),
    #[error("it is being released already")]
    UnderWay,
    #[error("<{0}> has no mailbox here; name another recipient with --to ADDRESS")]
    NoMailbox(Address),
    #[error(
        "it was on its way to a next hop, and the configuration has none; add [[next-hop]] and start the server again"
    )]
    NoNextHop,
    #[error("{who} refuses it: {what}; --original delivers it as it came in")]
    Refused { who: String, what: String },
    #[error(transparent)]
    Store(StoreError),
    #[error("the message cannot be read back: {0}")]
    Unreadable(#[from] io::Error),
}

impl Acceptor {
    /// The journal of what came of it. Some of its recipients may stay in quarantine, or be there again: the journal says so.
    pub async fn release(&self, request: &Request) -> Result<Journal, NotReleased> {
        let services = &*self.0;
        let claim = services.releasing.claim(request.id);
        let _claim = claim.ok_or(NotReleased::UnderWay)?;
        let gone = |error| match error {
            StoreError::NotFound(_) => NotReleased::Gone(request.id),
            error => NotReleased::Store(error),
        };
        let (entry, held, content) = services.store.held(request.id).await.map_err(gone)?;
        let (recipients, leaving) = addressed(&entry, &held, request.to.as_ref());
        let addresses = recipients.iter().map(|one| one.address.clone());
        let leaving: Leaves = addresses.zip(leaving).collect();
        let onward = match &held.next_hop {
            Some(default) => Some(Onward {
                hops: services.hops.clone().ok_or(NotReleased::NoNextHop)?,
                default: default.clone(),
            }),
            None => None,
        };
        let mut accounts = BTreeMap::new();
        for recipient in recipients.iter().filter(|_| onward.is_none()) {
            let address = recipient.address.clone();
            accounts.insert(address, account(services, &recipient.address).await?);
        }
        let envelope = Arc::new(Envelope {
            recipients,
            ..held.envelope.clone()
        });
        let message = Message::new(content.clone())?;
        let report = Report {
            id: services.clock.transaction_id(),
            queue_id: None,
            session: Arc::new(held.session.clone()),
            envelope: Arc::clone(&envelope),
            original: Envelope::clone(&envelope),
            received: message.header.clone(),
            size: content.len(),
            authentication: held.authentication.clone(),
            at: services.clock.now(),
            release: Some(Released {
                transaction: entry.transaction.clone(),
                id: entry.id,
                how: request.how,
            }),
        };
        let chain = match request.how {
            Release::Original => Chain {
                generation: 0,
                filters: Arc::new([]),
            },
            Release::Continue | Release::Again => services.chains.current(),
        };
        let run = Run::new(chain, Arc::clone(&report.session), Some(report.id.clone()));
        let mut run = match &onward {
            Some(onward) => run.relaying(onward.hops.names()),
            None => run.admitting(Arc::new(Admission(Arc::clone(&self.0)))),
        };
        run.authenticated(&held.authentication);
        let told = held.turns.clone();
        let mut going = Going {
            draft: Draft::new(message, &envelope.recipients),
            services,
            entry,
            held,
            content,
            report,
            run,
        };
        let came = match request.how {
            Release::Continue => going.on().await,
            Release::Original => Ok(going.as_it_came()),
            Release::Again => going.again().await,
        }?;
        let Placed {
            delivery,
            leaving,
            envelope,
            run,
        } = match &onward {
            Some(onward) => going.onward(came, onward, leaving).await?,
            None => going.places(came, &accounts, leaving).await?,
        };
        let handed_on = onward.is_some().then(|| delivery.journal.clone());
        let journal = match (services.store.release(delivery, leaving).await, handed_on) {
            (Ok(journal), _) => journal,
            // It was deleted, or expired, while the next hop took it.
            (Err(StoreError::NotFound(_)), Some(journal)) => {
                services.store.record(&journal).await.map_err(gone)?;
                journal
            }
            (Err(error), _) => return Err(gone(error)),
        };
        tracing::info!(transaction = journal.id.as_str(), id = request.id, how = ?request.how, "released from quarantine");
        log_aside(&journal);
        let after = match request.how {
            Release::Continue | Release::Again => run,
            // They were not asked, but hear of it: that a person lets it out is what filters learn from.
            Release::Original => {
                let chain = services.chains.current();
                let session = Arc::new(journal.session.clone());
                let mut run = Run::new(chain, session, Some(journal.id.clone()));
                run.authenticated(&journal.authentication);
                run.resume(&told);
                run.afterwards(Hook::Outcome)
            }
        };
        drop(Aftermath::new(&self.0, after, &envelope, &journal));
        Ok(journal)
    }
}

/// Of those who get it: whose place in the quarantine that empties. Of one whom a filter adds there is nothing in quarantine.
type Leaves = BTreeMap<Address, Vec<Address>>;

/// Who gets it, and whose place in the quarantine that empties: for an address that is not one of its recipients, that of all.
fn addressed(
    entry: &Entry,
    held: &Held,
    to: Option<&Address>,
) -> (Vec<Recipient>, Vec<Vec<Address>>) {
    let own = |address: &Address| -> Recipient {
        let mut given = held.envelope.recipients.iter();
        let given = given.find(|recipient| recipient.address == *address);
        given
            .cloned()
            .unwrap_or_else(|| Recipient::from(address.clone()))
    };
    match to {
        None => entry
            .recipients
            .iter()
            .map(|address| (own(address), vec![address.clone()]))
            .unzip(),
        Some(to) if entry.recipients.contains(to) => (vec![own(to)], vec![vec![to.clone()]]),
        Some(to) => (
            vec![Recipient::from(to.clone())],
            vec![entry.recipients.clone()],
        ),
    }
}

async fn account(services: &Services, address: &Address) -> Result<AccountId, NotReleased> {
    match services.directory.find(address).await {
        Ok(Found::Account(account)) => Ok(account),
        Ok(Found::NoSuchUser | Found::NotOurs) => Err(NotReleased::NoMailbox(address.clone())),
        Err(error) => Err(NotReleased::Store(error)),
    }
}

/// A message on its way out.
struct Going<'s> {
    services: &'s Services,
    entry: Entry,
    held: Held,
    content: Content,
    report: Report,
    draft: Draft,
    run: Run,
}

/// What came of it before it goes to each recipient.
struct Came {
    verdict: Verdict,
    progress: Progress,
    /// Whether filters are asked at `deliver`.
    ask: bool,
}

/// Ready to be committed.
struct Placed {
    delivery: Delivery,
    leaving: Leaving,
    /// As filters left it.
    envelope: Arc<Envelope>,
    /// For the hook `outcome`.
    run: Option<Run>,
}

impl Going<'_> {
    /// The filters that come after where it was stopped.
    async fn on(&mut self) -> Result<Came, NotReleased> {
        let earlier = self.held.turns.clone();
        for turn in &earlier {
            self.draft.apply(&turn.edits);
        }
        self.run.resume(&earlier);
        let ask = self.entry.aside == Aside::Quarantine;
        let filed = self.held.filed.clone();
        if ask {
            self.run.go_on_after(&self.held.stop);
        }
        if ask && self.held.unruled {
            return self.message(earlier, filed).await;
        }
        self.file(filed.as_ref());
        Ok(Came {
            verdict: Verdict::Continue,
            progress: Progress {
                earlier,
                unruled: false,
                filed,
                next_hop: None,
            },
            ask,
        })
    }

    /// No filters, and no edits but that no field pretends to be our word on who sent it.
    fn as_it_came(&mut self) -> Came {
        let server = &self.held.session.server_name;
        self.draft
            .apply(&verify::removals(&self.report.received, server));
        Came {
            verdict: Verdict::Continue,
            progress: Progress {
                earlier: Vec::new(),
                unruled: false,
                filed: None,
                next_hop: None,
            },
            ask: false,
        }
    }

    /// All filters. The sender is not checked again: what was found when it came holds.
    async fn again(&mut self) -> Result<Came, NotReleased> {
        for turn in std::mem::take(&mut self.held.turns) {
            if turn.filter == verify::FILTER {
                self.draft.apply(&turn.edits);
                self.run.built_in(turn);
            } else if matches!(turn.hook, Hook::Connect | Hook::Helo) {
                // The client is gone: what filters said of its connection holds, but that they set the message aside.
                self.run.resume(&[turn]);
            }
        }
        let whole = Arc::clone(&self.report.envelope);
        let mut envelope = Arc::new(Envelope {
            recipients: Vec::new(),
            ..Envelope::clone(&whole)
        });
        let mut verdict = self.run.mail(&mut envelope).await;
        for recipient in &whole.recipients {
            if refusal(&verdict).is_some() {
                break;
            }
            if envelope.has(&recipient.address) {
                continue;
            }
            verdict = self
                .run
                .rcpt(recipient.address.clone(), &mut envelope)
                .await;
            if !envelope.has(&recipient.address) {
                let recipients = &mut Arc::make_mut(&mut envelope).recipients;
                recipients.push(recipient.clone());
            }
        }
        if let Some(what) = refusal(&verdict) {
            return Err(self.refused(what));
        }
        for recipient in &envelope.recipients {
            if !whole.has(&recipient.address) {
                self.draft.add(&recipient.address);
            }
        }
        self.report.envelope = envelope;
        // Before the policy has been asked, it is what the check of the sender asked for.
        let filed = self.held.filed.clone().filter(|_| self.held.unruled);
        self.message(Vec::new(), filed).await
    }

    /// The `message` hook and the policy.
    async fn message(
        &mut self,
        earlier: Vec<Turn>,
        mut filed: Option<(String, String)>,
    ) -> Result<Came, NotReleased> {
        let envelope = &mut self.report.envelope;
        let mut verdict = self.run.message(envelope, &mut self.draft).await;
        if let Some(what) = refusal(&verdict) {
            return Err(self.refused(what));
        }
        match &verdict {
            Verdict::Continue => {
                let score = self.run.score();
                verdict = rule(self.services, &self.report.id, score, &mut filed);
                if let Some(what) = refusal(&verdict) {
                    let who = "the policy".to_owned();
                    return Err(NotReleased::Refused { who, what });
                }
                self.file(filed.as_ref());
            }
            // A filter has said that the policy does not count.
            Verdict::Accept => filed = None,
            _ => {}
        }
        Ok(Came {
            progress: Progress {
                earlier,
                unruled: matches!(verdict, Verdict::Quarantine(_)),
                filed,
                next_hop: None,
            },
            verdict,
            ask: true,
        })
    }

    fn file(&mut self, filed: Option<&(String, String)>) {
        if let Some((mailbox, why)) = filed {
            self.draft.file_by_default(mailbox, why);
        }
    }

    fn refused(&self, what: String) -> NotReleased {
        let who = self.run.stop().map(|stop| stop.filter.clone());
        NotReleased::Refused {
            who: who.unwrap_or_default(),
            what,
        }
    }

    /// What is delivered to whom, and who leaves the quarantine by it.
    async fn places(
        self,
        came: Came,
        known: &BTreeMap<Address, AccountId>,
        mut leaving: Leaves,
    ) -> Result<Placed, NotReleased> {
        let Self {
            services,
            entry,
            held,
            content,
            report,
            mut draft,
            mut run,
        } = self;
        let accounts = admission::accounts(services, known, &report.envelope).await;
        let accounts = accounts.map_err(NotReleased::Store)?;
        let authentication = match held.authentication.as_slice() {
            [] => String::new(),
            results => verify::field(&held.session.server_name, results),
        };
        let mut sorter = Sorter {
            report: &report,
            run: &mut run,
            draft: &mut draft,
            authentication,
            received: entry.at,
        };
        let mut places = Places::default();
        let mut gone = Vec::new();
        let mut refusal = None;
        let recipients = report.envelope.recipients.iter().zip(accounts);
        for (recipient, account) in recipients {
            let address = &recipient.address;
            let place = match &came.verdict {
                Verdict::Quarantine(why) => sorter.quarantined(why.clone()),
                _ if came.ask => sorter.ask(address).await,
                _ => sorter.filed(address),
            };
            if let Place::Discarded | Place::Refused(_) = place {
                refusal = sorter.run.stop().map(|stop| stop.filter.clone());
            } else {
                gone.extend(leaving.remove(address).unwrap_or_default());
            }
            let instead = |reply: Option<&Reply>| Disposition::Refused {
                reply: format!(
                    "{} It stays in quarantine as {}.",
                    reply.map_or_else(|| "discarded.".to_owned(), ToString::to_string),
                    entry.id
                ),
            };
            places.push(&sorter, address, account, place, instead)?;
        }
        if gone.is_empty() {
            let mut replies = places.dispositions.iter();
            let what = replies.find_map(|disposition| match disposition {
                Disposition::Refused { reply } => Some(reply.clone()),
                _ => None,
            });
            return Err(NotReleased::Refused {
                who: refusal.unwrap_or_else(|| "the chain".to_owned()),
                what: what.unwrap_or_else(|| "no recipient is left".to_owned()),
            });
        }
        let after = run.afterwards(Hook::Outcome);
        let envelope = Arc::clone(&report.envelope);
        let (at, ended) = (report.at, run.end());
        let aside = report.set_aside(&ended, places.groups, &came.progress, &content);
        let delivery = Delivery {
            received_at: at,
            journal: report.journal(ended, came.verdict, places.dispositions),
            copies: places.copies,
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

/// What a verdict says that ends in no delivery.
fn refusal(verdict: &Verdict) -> Option<String> {
    match verdict {
        Verdict::Reject(reply) | Verdict::Tempfail(reply) => Some(reply.to_string()),
        Verdict::Discard => Some("discard".to_owned()),
        Verdict::Continue | Verdict::Accept | Verdict::Quarantine(_) => None,
    }
}
