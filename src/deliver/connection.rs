//! A connection to a next hop: drives the core of `proto::smtp::client`, with the waits of RFC 5321 §4.5.3.2.
//! Knows nothing of transactions.

use super::{Hop, TlsUse};
use crate::mail::{EnhancedCode, Reply};
use crate::net::{Input, Stream};
use crate::proto::smtp::client::{Awaiting, Client, Fault, Step};
use std::fmt;
use std::io;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

/// For a connection to be made; RFC 5321 says nothing of it.
const CONNECT: Duration = Duration::from_secs(30);
const HANDSHAKE: Duration = Duration::from_secs(30);
/// RFC 5321 §4.5.3.2.5, for what is sent in one piece.
const BLOCK: Duration = Duration::from_secs(3 * 60);
/// For what may have been said before a connection broke.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// RFC 5321 §4.5.3.2
fn patience(awaiting: Awaiting) -> Duration {
    Duration::from_secs(
        60 * match awaiting {
            Awaiting::Data => 2,
            Awaiting::Message(_) => 10,
            _ => 5,
        },
    )
}

/// Why a conversation ended that was not at its end.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    #[error("it closed the connection")]
    Closed,
    #[error("no answer in time")]
    Silent,
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Fault(#[from] Fault),
}

pub struct Connection {
    stream: Stream,
    input: Input,
    most: Duration,
    since: Instant,
}

impl Connection {
    /// Up to what is there before the greeting.
    pub async fn open(hop: &Hop) -> Result<Self, Lost> {
        let connecting = hop.remote.connect(CONNECT.min(hop.patience));
        let stream = connecting.await.map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => Lost::Silent,
            _ => Lost::Io(error),
        })?;
        let connection = Self {
            stream,
            input: Input::new(),
            most: hop.patience,
            since: Instant::now(),
        };
        match &hop.tls {
            TlsUse::Implicit(_) => connection.secure(hop).await,
            TlsUse::None | TlsUse::StartTls(_) => Ok(connection),
        }
    }

    /// Since it was made.
    pub fn age(&self) -> Duration {
        self.since.elapsed()
    }

    pub fn is_tls(&self) -> bool {
        self.stream.is_tls()
    }

    /// What came before the handshake does not count (RFC 3207 §4.2).
    pub async fn secure(self, hop: &Hop) -> Result<Self, Lost> {
        let (TlsUse::StartTls(tls) | TlsUse::Implicit(tls)) = &hop.tls else {
            return Ok(self);
        };
        let handshake = timeout(HANDSHAKE.min(self.most), tls.connect(self.stream));
        Ok(Self {
            stream: handshake.await.map_err(|_| Lost::Silent)??,
            input: Input::new(),
            ..self
        })
    }

    /// Until the server has answered.
    pub async fn hear(&mut self, mut step: Step) -> Result<Step, Lost> {
        loop {
            let mut client = match step {
                Step::Read(client) => client,
                Step::Fault(fault) => return Err(fault.into()),
                heard => return Ok(heard),
            };
            self.send(client.output()).await?;
            let (used, next) = client.next(self.input.octets());
            self.input.consume(used);
            step = next;
            if let Step::Read(client) = &mut step
                && client.output().is_empty()
                && self.input.is_empty()
            {
                let wait = patience(client.awaiting()).min(self.most);
                self.read(wait).await?;
            }
        }
    }

    async fn read(&mut self, wait: Duration) -> Result<(), Lost> {
        match timeout(wait, self.input.fill(&mut self.stream)).await {
            Ok(Ok(0)) => Err(Lost::Closed),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(Lost::Silent),
        }
    }

    pub async fn send(&mut self, output: &mut Vec<u8>) -> Result<(), Lost> {
        if output.is_empty() {
            return Ok(());
        }
        let written = timeout(BLOCK.min(self.most), async {
            self.stream.write_all(output).await?;
            self.stream.flush().await
        });
        written.await.map_err(|_| Lost::Silent)??;
        output.clear();
        Ok(())
    }

    /// Whether the server has neither closed nor said anything unasked, such as that it waited too long.
    pub async fn is_alive(&mut self) -> bool {
        self.input.is_empty()
            && timeout(Duration::ZERO, self.input.fill(&mut self.stream))
                .await
                .is_err()
    }

    /// What the server said before it broke the connection off, while we were still sending.
    pub async fn last_words(&mut self, client: Client) -> Option<Reply> {
        let mut client = client;
        client.output().clear();
        let mut step = Step::Read(client);
        let heard = async {
            loop {
                match step {
                    Step::Read(client) => {
                        if self.input.is_empty() {
                            self.read(LAST_WORDS).await.ok()?;
                        }
                        let (used, next) = client.next(self.input.octets());
                        self.input.consume(used);
                        step = next;
                    }
                    Step::Answer(reply, _) | Step::Refused(reply) => return Some(reply),
                    _ => return None,
                }
            }
        };
        timeout(LAST_WORDS, heard).await.ok()?
    }

    /// Whether the server hears it is no matter any more.
    pub async fn part(mut self, last: &'static [u8]) {
        let _ = timeout(LAST_WORDS, async {
            self.stream.write_all(last).await?;
            self.stream.shutdown().await
        })
        .await;
    }
}

/// It is not there, or wants nothing of us: nothing that the message could be blamed for.
pub fn unreachable(name: &str, why: &dyn fmt::Display) -> Reply {
    tracing::warn!(next_hop = name, "not to be had: {why}");
    let text = format!("The next hop {name} is not to be had; please try again later");
    Reply::new(451, EnhancedCode(4, 4, 1), &text)
}

pub fn lost(name: &str, why: &dyn fmt::Display) -> Reply {
    tracing::warn!(next_hop = name, "lost in a transaction: {why}");
    let text = format!("The next hop {name} was lost; please try again later");
    Reply::new(451, EnhancedCode(4, 4, 2), &text)
}
