//! Next hops: servers of the administrator's that messages are handed to, by SMTP or LMTP.
//! Keeps no queue: what a next hop doesn't take stays with whoever gave it to us.

mod connection;
mod fit;
mod handing;
mod idle;

use crate::accept::{Handing, NextHops, Size};
use crate::mail::{Envelope, Reply, Session, TransactionId};
use crate::net::{Quiet, Remote, TlsClient};
use crate::proto::smtp::Dialect;
use async_trait::async_trait;
use idle::Idle;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

#[derive(Debug, Clone)]
pub struct Hop {
    pub name: String,
    pub remote: Remote,
    pub dialect: Dialect,
    pub tls: TlsUse,
    pub telling: Telling,
    /// No wait is longer than this, and none longer than RFC 5321 §4.5.3.2 says.
    pub patience: Duration,
    /// At once. It ends a circle too, in which each transaction opens the next one before there is a message whose hops could be counted.
    pub transactions: usize,
    /// What we call ourselves.
    pub hostname: String,
}

#[derive(Debug, Clone)]
pub enum TlsUse {
    None,
    /// Without it nothing is handed on.
    StartTls(TlsClient),
    Implicit(TlsClient),
}

/// How the next hop is told of the client that the message came from, if it offers to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    Nothing,
    Xforward,
    Xclient,
}

/// A next hop, the connections to it that are between two transactions, and room for further transactions.
struct Known {
    hop: Hop,
    idle: Arc<Idle>,
    room: Arc<Semaphore>,
    /// Of its being full.
    quiet: Quiet<()>,
}

/// All that the configuration names.
pub struct Hops {
    hops: Vec<Arc<Known>>,
    names: Arc<[String]>,
}

impl Hops {
    pub fn new(hops: Vec<Hop>) -> Self {
        Self {
            names: hops.iter().map(|hop| hop.name.clone()).collect(),
            hops: hops
                .into_iter()
                .map(|hop| {
                    let most = hop.transactions.min(Semaphore::MAX_PERMITS);
                    Arc::new(Known {
                        hop,
                        idle: Arc::default(),
                        room: Arc::new(Semaphore::new(most)),
                        quiet: Quiet::default(),
                    })
                })
                .collect(),
        }
    }
}

#[async_trait]
impl NextHops for Hops {
    fn names(&self) -> Arc<[String]> {
        Arc::clone(&self.names)
    }

    async fn open(
        &self,
        name: &str,
        id: &TransactionId,
        session: &Session,
        envelope: &Envelope,
        size: Size,
    ) -> Result<Box<dyn Handing>, Reply> {
        let known = self.hops.iter().find(|known| known.hop.name == name);
        // The configuration and the host of plugins have checked the name.
        let known =
            known.ok_or_else(|| connection::unreachable(name, &"there is no such next hop"))?;
        let handing = handing::open(known, id, session, envelope, size).await?;
        Ok(Box::new(handing))
    }
}
