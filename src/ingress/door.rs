//! What happens to a connection before its first command: PROXY, the limits of who may connect, and those who speak too early.
//! Knows no command.

use crate::mail::{EnhancedCode, Reply};
use crate::metrics;
use crate::net::guard::{Guard, Limit, Ticket};
use crate::net::{Input, Peer, Proxies, Stream};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

/// Time to tell a client that it is turned away.
const REFUSAL: Duration = Duration::from_secs(1);

/// A connection that was let in.
pub struct Guest {
    pub stream: Stream,
    /// What it came over.
    pub proxy: Option<Peer>,
    pub ticket: Ticket,
}

/// None if it was turned away. `silent`: nothing can be said before a handshake.
pub async fn admit(
    mut stream: Stream,
    proxies: Option<&Proxies>,
    guard: &Arc<Guard>,
    meter: &metrics::Smtp,
    silent: bool,
) -> Option<Guest> {
    let peer = stream.peer();
    if let Some(proxies) = proxies {
        stream = Box::pin(proxies.accept(stream)).await?;
    }
    match guard.connect(stream.peer()) {
        Ok(ticket) => Some(Guest {
            proxy: Some(peer).filter(|peer| *peer != stream.peer()),
            stream,
            ticket,
        }),
        Err(reply) => {
            if !silent {
                let mut text = Vec::new();
                reply.write_to(&mut text);
                meter.replies(&text);
                // The client may be gone or not reading; either way it was told what could be told.
                let _ = timeout(REFUSAL, async {
                    stream.write_all(&text).await?;
                    stream.shutdown().await
                })
                .await;
            }
            None
        }
    }
}

/// Waits before the greeting (RFC 5321 §4.3.1 has the client wait for it). The reply for a client that doesn't wait.
pub async fn early_talk(
    stream: &mut Stream,
    input: &mut Input,
    ticket: &Ticket,
) -> io::Result<Option<Reply>> {
    let delay = ticket.guard().config().greeting_delay;
    if delay.is_zero() || ticket.is_exempt() {
        return Ok(None);
    }
    match timeout(delay, input.fill(stream)).await {
        Err(_) => Ok(None),
        Ok(Ok(0)) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(Err(error)) => Err(error),
        Ok(Ok(_)) => {
            ticket.offence(Limit::EarlyTalk);
            let text = "You spoke before the greeting";
            Ok(Some(Reply::new(554, EnhancedCode(5, 5, 1), text)))
        }
    }
}
