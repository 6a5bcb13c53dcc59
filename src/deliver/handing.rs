//! One transaction with a next hop, step by step: MAIL, its recipients, the message.
//! Says what the next hop answered, and decides nothing by it.

use super::connection::{Connection, Lost, lost, unreachable};
use super::fit;
use super::{Hop, Known, Telling, TlsUse};
use crate::accept::{Handing, Size};
use crate::mail::{Content, EnhancedCode, Envelope, How, Recipient, Reply, Session, TransactionId};
use crate::proto::smtp::client::{After, Client, Facts, Open, Ready, Step};
use async_trait::async_trait;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

/// Octets of a message that are read at a time.
const PIECE: usize = 64 * 1024;

/// A transaction that is open.
pub struct Handed {
    known: Arc<Known>,
    /// None once the connection is gone.
    talk: Option<(Connection, Open)>,
    _room: OwnedSemaphorePermit,
}

/// Why a transaction did not begin.
enum NotBegun {
    /// What the next hop says to MAIL, or would have to.
    Refused(Reply),
    /// Nothing that the message could be blamed for.
    Away(String),
    /// It stands, but says nothing: so it would on another connection.
    Silent,
}

impl From<Lost> for NotBegun {
    fn from(why: Lost) -> Self {
        match why {
            Lost::Silent => Self::Silent,
            why => Self::Away(why.to_string()),
        }
    }
}

/// Up to the reply to MAIL, on a connection that another message has left if there is one.
pub async fn open(
    known: &Arc<Known>,
    id: &TransactionId,
    session: &Session,
    envelope: &Envelope,
    size: Size,
) -> Result<Handed, Reply> {
    let hop = &known.hop;
    let room = Arc::clone(&known.room);
    let room = match size {
        Size::ToCome(_) => room.try_acquire_owned().ok(),
        // The message is here, and may have gone on to others already: it goes in no circle, and is not to be sent again for want of room.
        Size::Here(_) => match timeout(hop.patience, room.acquire_owned()).await {
            Ok(room) => room.ok(),
            Err(_) => None,
        },
    };
    let Some(room) = room else {
        return Err(full(known));
    };
    let facts = facts(id, session);
    let begin =
        async |connection, ready| begin(hop, connection, ready, &facts, envelope, size).await;
    let first = match known.idle.take().await {
        Some((connection, ready)) => Some(begin(connection, ready).await),
        None => None,
    };
    let begun = match first {
        Some(Err(NotBegun::Refused(reply))) if reply.code != 421 => Err(NotBegun::Refused(reply)),
        Some(begun @ (Ok(_) | Err(NotBegun::Silent))) => begun,
        // It had enough of that connection, or was about to close it.
        Some(Err(_)) | None => match greeted(hop).await {
            Ok((connection, ready)) => begin(connection, ready).await,
            Err(why) => Err(why),
        },
    };
    let begun = begun.map(|talk| Handed {
        known: Arc::clone(known),
        talk: Some(talk),
        _room: room,
    });
    begun.map_err(|why| match why {
        NotBegun::Refused(reply) => passed_on(reply),
        NotBegun::Away(why) => unreachable(&hop.name, &why),
        NotBegun::Silent => unreachable(&hop.name, &Lost::Silent),
    })
}

fn full(known: &Known) -> Reply {
    let Hop {
        name, transactions, ..
    } = &known.hop;
    if known.quiet.is_over(()) {
        tracing::warn!(
            next_hop = name,
            transactions,
            "as many transactions as it may have; if there is not that much mail, it hands its messages back to this server"
        );
    }
    let text = format!("The next hop {name} is busy; please try again later");
    Reply::new(451, EnhancedCode(4, 3, 2), &text)
}

async fn begin(
    hop: &Hop,
    mut connection: Connection,
    ready: Ready,
    facts: &Facts,
    envelope: &Envelope,
    size: Size,
) -> Result<(Connection, Open), NotBegun> {
    let step = match hop.telling {
        Telling::Nothing => Step::Ready(ready),
        Telling::Xforward => ready.xforward(facts),
        Telling::Xclient => ready.xclient(facts),
    };
    let ready = match connection.hear(step).await? {
        Step::Ready(ready) => ready,
        other => return Err(turned_away(other)),
    };
    let size = match size {
        Size::ToCome(size) => size,
        Size::Here(size) => Some(size),
    };
    let client = match ready.mail(envelope, size) {
        Ok(client) => client,
        Err(reply) => {
            tokio::spawn(connection.part(b"QUIT\r\n"));
            return Err(NotBegun::Refused(reply));
        }
    };
    match connection.hear(Step::Read(client)).await? {
        Step::Sender(open) => Ok((connection, open)),
        Step::Refused(reply) => {
            tokio::spawn(connection.part(b"QUIT\r\n"));
            Err(NotBegun::Refused(reply))
        }
        other => Err(turned_away(other)),
    }
}

/// Up to where a transaction can begin.
async fn greeted(hop: &Hop) -> Result<(Connection, Ready), NotBegun> {
    let mut connection = Connection::open(hop).await?;
    let client = Client::new(hop.dialect, &hop.hostname, connection.is_tls());
    let mut step = Step::Read(client);
    loop {
        step = match connection.hear(step).await? {
            Step::Ready(ready) => match hop.tls {
                TlsUse::StartTls(_) if !connection.is_tls() => match ready.start_tls() {
                    Some(client) => Step::Read(client),
                    None => {
                        let why = "it offers no STARTTLS, which the configuration wants";
                        return Err(NotBegun::Away(why.to_owned()));
                    }
                },
                _ => return Ok((connection, ready)),
            },
            Step::StartTls(client) => {
                connection = connection.secure(hop).await?;
                Step::Read(client.secured())
            }
            other => return Err(turned_away(other)),
        };
    }
}

/// Refused before the message was spoken of: us, not the message.
fn turned_away(step: Step) -> NotBegun {
    NotBegun::Away(match step {
        Step::Refused(reply) => format!("it said {reply}"),
        _ => "it answered what was not asked".to_owned(),
    })
}

/// A reply to our client. 421 ends the next hop's connection, not that of our client (RFC 5321 §3.8).
fn passed_on(mut reply: Reply) -> Reply {
    if reply.code == 421 {
        reply.code = 451;
    }
    reply
}

fn facts(id: &TransactionId, session: &Session) -> Facts {
    let helo = Some(session.helo.clone());
    // What the client spoke to the server that told us of it is not known.
    let told = session
        .via
        .as_ref()
        .is_some_and(|via| via.how != How::Proxy);
    Facts {
        name: session.client_name.clone(),
        address: session.client_address,
        helo: helo.filter(|helo| !helo.is_empty()),
        protocol: match session.protocol.as_str() {
            _ if told => None,
            "SMTP" => Some("SMTP".to_owned()),
            _ if session.is_lmtp() => None,
            _ => Some("ESMTP".to_owned()),
        },
        ident: Some(id.to_string()),
        login: session.authenticated.clone(),
    }
}

#[async_trait]
impl Handing for Handed {
    async fn recipient(&mut self, recipient: &Recipient) -> Result<Reply, Reply> {
        let name = &self.known.hop.name;
        let Some((mut connection, open)) = self.talk.take() else {
            return Err(lost(name, &Lost::Closed));
        };
        match connection.hear(open.rcpt(recipient)).await {
            Ok(Step::Recipient(open, reply)) => {
                self.talk = Some((connection, open));
                match reply.is_positive() {
                    true => Ok(reply),
                    false => Err(passed_on(reply)),
                }
            }
            Ok(Step::Refused(reply)) => Err(passed_on(reply)),
            Ok(_) => Err(lost(name, &"it answered what was not asked")),
            Err(why) => Err(lost(name, &why)),
        }
    }

    async fn is_alive(&mut self) -> bool {
        match &mut self.talk {
            Some((connection, _)) => connection.is_alive().await,
            None => false,
        }
    }

    async fn message(mut self: Box<Self>, content: &Content) -> Vec<Reply> {
        let known = Arc::clone(&self.known);
        let Some((connection, open)) = self.talk.take() else {
            return vec![lost(&known.hop.name, &Lost::Closed)];
        };
        let accepted = open.accepted();
        let mut replies = Vec::with_capacity(accepted);
        if let Err(why) = send(&known, connection, open, content, &mut replies).await {
            // What it has taken it has taken; of the others nobody knows, so they are sent again.
            let reply = lost(&known.hop.name, &why);
            replies.resize(accepted.max(1), reply);
        }
        replies.into_iter().map(passed_on).collect()
    }
}

async fn send(
    known: &Known,
    mut connection: Connection,
    open: Open,
    content: &Content,
    replies: &mut Vec<Reply>,
) -> Result<(), Lost> {
    let accepted = open.accepted();
    if let Some(reply) = fit::refusal(open.unsaid(), content)? {
        replies.resize(accepted.max(1), reply);
        tokio::spawn(connection.part(open.quit()));
        return Ok(());
    }
    let mut sending = match connection.hear(open.message(content.len())).await? {
        Step::Go(sending) => sending,
        Step::Refused(reply) => {
            replies.resize(accepted.max(1), reply);
            tokio::spawn(connection.part(b"QUIT\r\n"));
            return Ok(());
        }
        _ => return Err(Lost::Closed),
    };
    let mut offset = 0;
    while offset < content.len() {
        let octets = content.read(offset, PIECE)?;
        offset += octets.len() as u64;
        sending.push(&octets);
        if let Err(why) = connection.send(sending.output()).await {
            match connection.last_words(sending.end()).await {
                // In the middle of a message no answer can mean that it was taken.
                Some(reply) if !reply.is_positive() => replies.resize(accepted.max(1), reply),
                _ => return Err(why),
            }
            return Ok(());
        }
    }
    let mut step = Step::Read(sending.end());
    loop {
        match connection.hear(step).await? {
            Step::Answer(reply, after) => {
                replies.push(reply);
                step = match after {
                    After::More(client) => Step::Read(client),
                    After::Over(ready) => {
                        over(known, connection, ready, replies);
                        break;
                    }
                };
            }
            _ => return Err(Lost::Closed),
        }
    }
    if replies.len() == 1 && accepted > 1 {
        let reply = replies.first().cloned();
        replies.extend(std::iter::repeat_n(reply, accepted - 1).flatten());
    }
    tracing::debug!(next_hop = known.hop.name, "answered");
    Ok(())
}

/// The transaction is over, and the connection is there for the next.
fn over(known: &Known, connection: Connection, ready: Ready, replies: &[Reply]) {
    let is_closing = replies.iter().any(|reply| reply.code == 421);
    // After XCLIENT all of it is one client's.
    if is_closing || known.hop.telling == Telling::Xclient {
        tokio::spawn(connection.part(ready.quit()));
    } else {
        known.idle.keep(connection, ready);
    }
}

impl Drop for Handed {
    /// A message that goes no further: the next hop need not wait for it.
    fn drop(&mut self) {
        if let Some((connection, open)) = self.talk.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(connection.part(open.quit()));
        }
    }
}
