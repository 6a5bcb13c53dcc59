//! Milter in: a mail server asks what is to become of a message that it keeps. Drives the core of `proto::milter` over a connection and
//! turns its events into calls of `accept`. Knows neither the order of commands nor what filters want.

mod connection;
mod facts;
mod modifications;
mod wants;

use crate::accept::Acceptor;
use crate::net::{Limits, Listener, Stream};
use connection::Connection;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// As long as libmilter waits: a client of the mail server may be idle, and its session keeps the connection.
const IDLE: Duration = Duration::from_secs(7210);

#[derive(Debug, Clone)]
pub struct Config {
    /// For a mail server that does not give its name.
    pub hostname: String,
    /// Octets of the largest message.
    pub size: u64,
    /// How long a mail server may send nothing between two commands.
    pub idle: Duration,
    /// How long it may take to send the rest of a command, or to read what it is sent.
    pub stall: Duration,
    /// How often a mail server that waits for the answer to a message hears that it is being worked on.
    pub progress: Duration,
    /// At once.
    pub connections: usize,
    /// How long messages have to end after the stop.
    pub drain: Duration,
}

impl Default for Config {
    fn default() -> Self {
        let Limits {
            connections, drain, ..
        } = Limits::default();
        Self {
            hostname: "localhost".to_owned(),
            size: 50 << 20,
            idle: IDLE,
            stall: Duration::from_secs(60),
            // Sendmail gives up after 10 seconds where its configuration says nothing.
            progress: Duration::from_secs(5),
            connections,
            drain,
        }
    }
}

/// Serves until `stop`; then connections on which no message is open are closed, and the others' messages are let end.
pub async fn serve(
    listener: Listener,
    config: Config,
    acceptor: Acceptor,
    stop: CancellationToken,
) {
    let limits = Limits {
        connections: config.connections,
        // There is no way to say it: the end of the connection is a failure of the filter.
        refusal: String::new(),
        drain: config.drain,
    };
    let shared = Arc::new(Shared {
        config,
        acceptor,
        stop: stop.clone(),
    });
    let handler = |stream| converse(Arc::clone(&shared), stream);
    listener.serve(limits, stop, handler).await;
}

/// What all connections of a listener have in common.
struct Shared {
    config: Config,
    acceptor: Acceptor,
    stop: CancellationToken,
}

async fn converse(shared: Arc<Shared>, stream: Stream) {
    let peer = stream.peer();
    tracing::debug!(%peer, "connected");
    match Connection::new(shared, stream).run().await {
        Ok(()) => tracing::debug!(%peer, "closed"),
        Err(error) => tracing::info!(%peer, %error, "a milter connection is ended"),
    }
}
