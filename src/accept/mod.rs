//! Takes a transaction from MAIL to the reply to its end of data: runs the chain, decides the disposition, commits. 250 means
//! that it is on stable storage. Doesn't know which protocol called it.

mod admission;
mod aftermath;
mod background;
mod claims;
mod disposition;
mod expiry;
mod forward;
mod hygiene;
mod judge;
mod moves;
mod next_hop;
mod parcels;
mod places;
mod release;
mod report;
mod screening;
mod trace;
mod transaction;

pub use aftermath::Aftermath;
pub use background::Background;
pub use expiry::{Expiry, expire, sweep_journals};
pub use hygiene::Hygiene;
pub use moves::{Changed, Move, Moves, came_with};
pub use next_hop::{Handing, NextHops, Size};
pub use release::{NotReleased, Request};
pub use screening::{Record, Screen, Screened, Screening};
pub use transaction::{Finished, Transaction};

use crate::auth::Directory;
use crate::chain::{Chains, Policy, greet};
use crate::mail::{Call, Clock, ContentBuilder, EnhancedCode, Envelope, Reply, Session, Verdict};
use crate::metrics;
use crate::net::Quiet;
use crate::store::Store;
use crate::verify::Verifier;
use std::path::PathBuf;
use std::sync::Arc;
use transaction::Keeper;

#[derive(Debug, Clone)]
pub struct Config {
    pub policy: Policy,
    /// Where large messages are staged; on the file system of the store.
    pub staging: PathBuf,
    /// Octets of a message that are kept in memory before it is staged in a file.
    pub memory: usize,
    /// Recipients of one transaction (RFC 5321 §4.5.3.1.8 wants at least 100).
    pub recipients: usize,
    pub hygiene: Hygiene,
}

/// What the client can be told at the end of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    /// One reply to the message: what a filter refuses for some recipients, and not for all, is discarded for them.
    Whole,
    /// A reply for each recipient (RFC 2033 §4.2): the client hears what was refused for whom.
    Each,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Acceptor(Arc<Services>);

#[derive(Clone)]
struct Services {
    config: Config,
    chains: Arc<dyn Chains>,
    directory: Arc<Directory>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    verifier: Option<Verifier>,
    /// None: the configuration has none.
    hops: Option<Arc<dyn NextHops>>,
    /// None: messages go into mailboxes here.
    onward: Option<next_hop::Onward>,
    /// For the hook `outcome`; none: it is not called.
    outcomes: Option<Background>,
    /// For the hook `moved`.
    moves: Option<Background>,
    releasing: Arc<claims::Claims>,
    meter: Meter,
    /// That mail is put off for want of accounts.
    quiet: Arc<Quiet<()>>,
}

/// What is counted.
#[derive(Debug, Clone, Default)]
struct Meter {
    chain: metrics::Chain,
    authentication: metrics::Authentication,
}

impl Services {
    fn content(&self) -> ContentBuilder {
        ContentBuilder::new(&self.config.staging, self.config.memory)
    }
}

impl Acceptor {
    pub fn new(
        config: Config,
        chains: Arc<dyn Chains>,
        directory: Arc<Directory>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self(Arc::new(Services {
            config,
            chains,
            directory,
            store,
            clock,
            verifier: None,
            hops: None,
            onward: None,
            outcomes: None,
            moves: None,
            releasing: Arc::default(),
            meter: Meter::default(),
            quiet: Arc::default(),
        }))
    }

    /// With the hooks that nobody waits for. Moves want a background that does one thing after the other.
    pub fn telling(self, outcomes: Background, moves: Background) -> Self {
        Self(Arc::new(Services {
            outcomes: Some(outcomes),
            moves: Some(moves),
            ..Services::clone(&self.0)
        }))
    }

    /// The same, counting.
    pub fn counted(self, metrics: &metrics::Registry) -> Self {
        Self(Arc::new(Services {
            meter: Meter {
                chain: metrics.chain(),
                authentication: metrics.authentication(),
            },
            ..Services::clone(&self.0)
        }))
    }

    /// With sender authentication.
    pub fn verifying(self, verifier: Verifier) -> Self {
        Self(Arc::new(Services {
            verifier: Some(verifier),
            ..Services::clone(&self.0)
        }))
    }

    /// For messages that go on to a next hop: to this one, unless a filter names another.
    pub fn handing_on(self, hops: Arc<dyn NextHops>, default: String) -> Self {
        Self(Arc::new(Services {
            onward: Some(next_hop::Onward {
                hops: Arc::clone(&hops),
                default,
            }),
            hops: Some(hops),
            ..Services::clone(&self.0)
        }))
    }

    /// What is released from quarantine may go on to these.
    pub fn knowing_next_hops(self, hops: Arc<dyn NextHops>) -> Self {
        Self(Arc::new(Services {
            hops: Some(hops),
            ..Services::clone(&self.0)
        }))
    }

    /// The `connect` hook; an error is the reply to turn the client away with. What filters tag goes into the session.
    pub async fn connect(&self, session: &mut Arc<Session>) -> Result<(), Reply> {
        let chain = self.0.chains.current();
        refused(greet(chain, session, Call::Connect).await)
    }

    /// EHLO, HELO or LHLO: the `helo` hook; an error is the reply to refuse the command with. The session has the name already.
    pub async fn helo(&self, session: &mut Arc<Session>) -> Result<(), Reply> {
        let (chain, name) = (self.0.chains.current(), session.helo.clone());
        refused(greet(chain, session, Call::Helo(name)).await)
    }

    /// MAIL FROM: the `mail` hook. The envelope has no recipients yet; `size` is what the client says that the message will be. The
    /// transaction ends with the generation of plugins that it begins with here.
    pub async fn begin(
        &self,
        session: Arc<Session>,
        envelope: Envelope,
        size: Option<u64>,
    ) -> Result<Transaction, Reply> {
        let services = Arc::clone(&self.0);
        let chain = services.chains.current();
        if services.onward.is_none() {
            return Transaction::begin(services, Keeper::Us, chain, session, envelope).await;
        }
        let keeper = Keeper::Asker;
        let transaction = Transaction::begin(services, keeper, chain, session, envelope).await?;
        Box::pin(transaction.onward(size)).await
    }

    /// For messages that somebody else keeps, with the generation of plugins that is in force now.
    pub fn screen(&self) -> Screen {
        Screen::new(Arc::clone(&self.0))
    }
}

/// What a verdict means to the client before there is a message: only a refusal matters. What discard and quarantine say of the message
/// that is to come, the session and the run keep.
fn refused(verdict: Verdict) -> Result<(), Reply> {
    match verdict {
        Verdict::Reject(reply) | Verdict::Tempfail(reply) => Err(reply),
        Verdict::Quarantine(_) | Verdict::Discard | Verdict::Continue | Verdict::Accept => Ok(()),
    }
}

/// What a client that has one reply for all recipients hears of the filters' refusals for each, before anything is stored or handed on: one that is
/// temporary, so that it sends the message again for all; or a refusal, if nobody gets it.
fn for_all<'r>(refusals: impl Iterator<Item = Option<&'r Reply>> + Clone) -> Option<Verdict> {
    let mut temporary = refusals
        .clone()
        .flatten()
        .filter(|reply| reply.is_temporary());
    if let Some(reply) = temporary.next() {
        return Some(Verdict::Tempfail(reply.clone()));
    }
    let is_for_all = refusals.clone().all(|refusal| refusal.is_some());
    let reply = refusals.flatten().next().filter(|_| is_for_all)?;
    Some(Verdict::Reject(reply.clone()))
}

/// Something of ours failed, not the client's.
fn local_error() -> Reply {
    Reply::new(
        451,
        EnhancedCode(4, 3, 0),
        "Local error; please try again later",
    )
}

fn no_room() -> Reply {
    Reply::new(
        452,
        EnhancedCode(4, 3, 1),
        "No room to store the message; please try again later",
    )
}
