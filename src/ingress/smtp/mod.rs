//! SMTP and LMTP in: what a listener's connections have in common, and how each begins.

mod connection;

use super::door;
use crate::accept::Acceptor;
use crate::metrics;
use crate::net::guard::{self, Guard};
use crate::net::{Limits, Listener, Networks, Peer, Proxies, Stream, Tls};
use crate::proto::smtp::{self, Trust};
use connection::Connection;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// RFC 5321 §4.5.3.2.7
const IDLE: Duration = Duration::from_secs(5 * 60);

#[derive(Debug, Clone)]
pub struct Config {
    pub core: smtp::Config,
    pub tls: TlsUse,
    /// How long a client may take to send or to read anything at all.
    pub idle: Duration,
    /// Set where all connections come over proxies.
    pub proxies: Option<Proxies>,
    /// Who may say XCLIENT.
    pub xclient: Networks,
    pub xforward: Networks,
    pub guard: Arc<Guard>,
    pub meter: metrics::Smtp,
    /// At once.
    pub connections: usize,
    /// How long transactions have to end after the stop.
    pub drain: Duration,
}

#[derive(Debug, Clone)]
pub enum TlsUse {
    None,
    /// Offered.
    StartTls(Tls),
    /// From the first octet (RFC 8314 §3).
    Implicit(Tls),
}

impl Default for Config {
    fn default() -> Self {
        let Limits {
            connections, drain, ..
        } = Limits::default();
        Self {
            core: smtp::Config::default(),
            tls: TlsUse::None,
            idle: IDLE,
            proxies: None,
            xclient: Networks::default(),
            xforward: Networks::default(),
            guard: Arc::new(Guard::new(guard::Config::default(), None)),
            meter: metrics::Smtp::default(),
            connections,
            drain,
        }
    }
}

/// Serves until `stop`; then idle clients are sent away and transactions are let end.
pub async fn serve(
    listener: Listener,
    config: Config,
    acceptor: Acceptor,
    stop: CancellationToken,
) {
    let refusal = match config.tls {
        // Nothing can be said before the handshake, and that would be work.
        TlsUse::Implicit(_) => String::new(),
        TlsUse::None | TlsUse::StartTls(_) => format!(
            "421 4.7.0 {} Too many connections; try again later\r\n",
            config.core.hostname
        ),
    };
    let limits = Limits {
        connections: config.connections,
        refusal,
        drain: config.drain,
    };
    let shared = Arc::new(Shared {
        core: Arc::new(config.core),
        tls: config.tls,
        idle: config.idle,
        proxies: config.proxies,
        xclient: config.xclient,
        xforward: config.xforward,
        guard: config.guard,
        meter: config.meter,
        acceptor,
        stop: stop.clone(),
        last_call: CancellationToken::new(),
    });
    let last_call = async {
        stop.cancelled().await;
        tokio::time::sleep(config.drain * 3 / 4).await;
        shared.last_call.cancel();
        std::future::pending().await
    };
    let handler = |stream| converse(Arc::clone(&shared), stream);
    tokio::select! {
        () = listener.serve(limits, stop.clone(), handler) => {}
        () = last_call => {}
    }
}

/// What all connections of a listener have in common.
struct Shared {
    core: Arc<smtp::Config>,
    tls: TlsUse,
    idle: Duration,
    proxies: Option<Proxies>,
    xclient: Networks,
    xforward: Networks,
    guard: Arc<Guard>,
    meter: metrics::Smtp,
    acceptor: Acceptor,
    /// Who is between two transactions hears that it is over.
    stop: CancellationToken,
    /// So does who is in one (RFC 5321 §3.8).
    last_call: CancellationToken,
}

impl Shared {
    /// Which of others' words are taken from there.
    fn trust(&self, peer: Peer) -> Trust {
        Trust {
            xclient: self.xclient.contains_peer(peer),
            xforward: self.xforward.contains_peer(peer),
        }
    }
}

async fn converse(shared: Arc<Shared>, stream: Stream) {
    let Some((peer, connection)) = Box::pin(open(shared, stream)).await else {
        return;
    };
    match connection.run().await {
        Ok(()) => tracing::debug!(%peer, "closed"),
        Err(error) => tracing::debug!(%peer, %error, "lost"),
    }
}

async fn open(shared: Arc<Shared>, stream: Stream) -> Option<(Peer, Connection)> {
    let silent = matches!(shared.tls, TlsUse::Implicit(_));
    let Shared {
        proxies,
        guard,
        meter,
        ..
    } = shared.as_ref();
    let guest = door::admit(stream, proxies.as_ref(), guard, meter, silent).await?;
    let (peer, proxy) = (guest.stream.peer(), guest.proxy);
    tracing::debug!(%peer, proxy = proxy.map(tracing::field::display), "connected");
    match Connection::open(shared, guest).await {
        Ok(connection) => Some((peer, connection)),
        Err(error) => {
            tracing::debug!(%peer, %error, "no TLS");
            None
        }
    }
}

#[cfg(test)]
mod tests;
