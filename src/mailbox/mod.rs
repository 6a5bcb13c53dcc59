//! The IMAP server: drives `proto::imap` over the store, one session a connection, one file a group of commands.
//! Accepts no connections and checks no passwords itself.

mod append;
mod auth;
mod capability;
mod connection;
mod copy;
mod dispatch;
mod fetch;
mod idle;
mod item;
mod list;
mod manage;
mod moves;
mod search;
mod select;
mod selected;
mod session;
mod store;
mod unreadable;

use crate::accept::Moves;
use crate::auth::Directory;
use crate::mail::Clock;
use crate::metrics;
use crate::net::guard::{self, Guard, Ticket};
use crate::net::{Stream, Tls};
use crate::proto::imap::Reply;
use crate::store::{Store, StoreError};
pub use select::Recent;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

#[derive(Debug, Clone)]
pub struct Config {
    /// Named in the greeting.
    pub hostname: String,
    /// LOGIN and AUTHENTICATE PLAIN over a connection that is not encrypted.
    pub allow_plaintext_auth: bool,
    /// Where messages of APPEND are put while they come in.
    pub staging: PathBuf,
    /// Octets of a message of APPEND.
    pub max_message: u64,
    /// From the connection to a successful login.
    pub login_timeout: Duration,
    /// Between two commands. At least 30 minutes (RFC 3501 §5.4).
    pub idle_timeout: Duration,
    /// For a client to take what it asked for, each 64 KiB or so.
    pub write_timeout: Duration,
    /// Before a failed login is answered: guessing takes time.
    pub failed_login_delay: Duration,
}

impl Config {
    /// Wrong commands one after the other until the connection is closed.
    const BAD_COMMANDS_MAX: u32 = 10;
    /// Failed logins until the connection is closed.
    const FAILED_LOGINS_MAX: u32 = 5;

    pub fn new(hostname: &str, staging: PathBuf) -> Self {
        Self {
            hostname: hostname.to_owned(),
            allow_plaintext_auth: false,
            staging,
            max_message: 50 * 1024 * 1024,
            login_timeout: Duration::from_secs(120),
            idle_timeout: Duration::from_secs(31 * 60),
            write_timeout: Duration::from_secs(5 * 60),
            failed_login_delay: Duration::from_secs(2),
        }
    }
}

/// What all sessions of a server share.
pub struct Mailboxes {
    config: Config,
    store: Arc<dyn Store>,
    directory: Arc<Directory>,
    clock: Arc<dyn Clock>,
    recent: Arc<Recent>,
    /// Who wants to know what people do with their mail.
    moves: Option<Moves>,
    guard: Arc<Guard>,
    meter: metrics::Imap,
}

impl Mailboxes {
    pub fn new(
        config: Config,
        store: Arc<dyn Store>,
        directory: Arc<Directory>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            config,
            store,
            directory,
            clock,
            recent: Arc::default(),
            moves: None,
            guard: Arc::new(Guard::new(guard::Config::default(), None)),
            meter: metrics::Imap::default(),
        }
    }

    /// Filters are told what people move, copy and flag.
    pub fn telling(self, moves: Moves) -> Self {
        Self {
            moves: Some(moves),
            ..self
        }
    }

    /// What is recent is so for one session of all those listeners that share this (RFC 3501 §2.3.2).
    pub fn sharing(self, recent: Arc<Recent>) -> Self {
        Self { recent, ..self }
    }

    /// With limits for its clients, counting.
    pub fn guarded(self, guard: Arc<Guard>, meter: metrics::Imap) -> Self {
        Self {
            guard,
            meter,
            ..self
        }
    }

    /// Whether a client may come in; otherwise it was told why it may not, unless it could not hear it before a handshake.
    pub async fn admit(&self, stream: &mut Stream, silent: bool) -> Option<Ticket> {
        match self.guard.connect(stream.peer()) {
            Ok(ticket) => Some(ticket),
            Err(_) if silent => None,
            Err(reply) => {
                session::turn_away(stream, &reply).await;
                None
            }
        }
    }

    /// One connection from greeting to end. STARTTLS is offered if `tls` is given and the stream is not encrypted; for implicit TLS the
    /// handshake comes before. At `shutdown`, the command in flight is finished, then the client is told BYE.
    pub async fn serve(
        &self,
        stream: Stream,
        ticket: Ticket,
        tls: Option<&Tls>,
        shutdown: CancellationToken,
    ) {
        session::run(self, stream, ticket, tls, shutdown).await;
    }
}

/// What a client is told of an error of the store (codes: RFC 5530).
fn refusal(error: &StoreError) -> Reply {
    match error {
        StoreError::NotFound(_) => Reply::no("There is no such mailbox").code("NONEXISTENT"),
        StoreError::AlreadyExists(_) => {
            Reply::no("A mailbox of that name exists already").code("ALREADYEXISTS")
        }
        StoreError::Refused(why) => Reply::no(why.clone()).code("CANNOT"),
        StoreError::Full => Reply::no("There is no room left").code("OVERQUOTA"),
        StoreError::Failed(_) => {
            // What exactly failed is not for clients.
            tracing::error!(%error, "imap");
            Reply::no("The store failed; try again later").code("UNAVAILABLE")
        }
    }
}
