//! One transaction with a next hop, step by step: MAIL, its recipients, the message.
//! Says what the next hop answered, and decides nothing by it.

use super::connection::{Connection, Lost, lost, unreachable};
use super::{Hop, Telling, TlsUse};
use crate::accept::Handing;
use crate::mail::{Content, Envelope, How, Recipient, Reply, Session, TransactionId};
use crate::proto::smtp::client::{After, Client, Facts, Open, Ready, Step};
use async_trait::async_trait;
use std::sync::Arc;

/// Octets of a message that are read at a time.
const PIECE: usize = 64 * 1024;

/// A transaction that is open.
pub struct Handed {
    hop: Arc<Hop>,
    /// None once the connection is gone.
    talk: Option<(Connection, Open)>,
}

/// Up to the reply to MAIL.
pub async fn open(
    hop: &Arc<Hop>,
    id: &TransactionId,
    session: &Session,
    envelope: &Envelope,
    size: Option<u64>,
) -> Result<Handed, Reply> {
    let absent = |why: Lost| unreachable(&hop.name, &why);
    let (mut connection, ready) = greeted(hop).await?;
    let facts = facts(id, session);
    let step = match hop.telling {
        Telling::Nothing => Step::Ready(ready),
        Telling::Xforward => ready.xforward(&facts),
        Telling::Xclient => ready.xclient(&facts),
    };
    let ready = match connection.hear(step).await.map_err(absent)? {
        Step::Ready(ready) => ready,
        other => return Err(turned_away(hop, other)),
    };
    let client = match ready.mail(envelope, size) {
        Ok(client) => client,
        Err(reply) => {
            tokio::spawn(connection.part(b"QUIT\r\n"));
            return Err(reply);
        }
    };
    match connection.hear(Step::Read(client)).await.map_err(absent)? {
        Step::Sender(open) => Ok(Handed {
            hop: Arc::clone(hop),
            talk: Some((connection, open)),
        }),
        Step::Refused(reply) => {
            tokio::spawn(connection.part(b"QUIT\r\n"));
            Err(passed_on(reply))
        }
        other => Err(turned_away(hop, other)),
    }
}

/// Up to where a transaction can begin.
async fn greeted(hop: &Hop) -> Result<(Connection, Ready), Reply> {
    let absent = |why: Lost| unreachable(&hop.name, &why);
    let mut connection = Connection::open(hop).await.map_err(absent)?;
    let client = Client::new(hop.dialect, &hop.hostname, connection.is_tls());
    let mut step = Step::Read(client);
    loop {
        step = match connection.hear(step).await.map_err(absent)? {
            Step::Ready(ready) => match hop.tls {
                TlsUse::StartTls(_) if !connection.is_tls() => match ready.start_tls() {
                    Some(client) => Step::Read(client),
                    None => {
                        let why = "it offers no STARTTLS, which the configuration wants";
                        return Err(unreachable(&hop.name, &why));
                    }
                },
                _ => return Ok((connection, ready)),
            },
            Step::StartTls(client) => {
                connection = connection.secure(hop).await.map_err(absent)?;
                Step::Read(client.secured())
            }
            other => return Err(turned_away(hop, other)),
        };
    }
}

/// Refused before the message was spoken of: us, not the message.
fn turned_away(hop: &Hop, step: Step) -> Reply {
    match step {
        Step::Refused(reply) => unreachable(&hop.name, &format!("it said {reply}")),
        _ => unreachable(&hop.name, &"it answered what was not asked"),
    }
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
            protocol if protocol.contains("LMTP") => None,
            _ => Some("ESMTP".to_owned()),
        },
        ident: Some(id.to_string()),
        login: session.authenticated.clone(),
    }
}

#[async_trait]
impl Handing for Handed {
    async fn recipient(&mut self, recipient: &Recipient) -> Result<Reply, Reply> {
        let name = &self.hop.name;
        let Some((mut connection, open)) = self.talk.take() else {
            return Err(lost(name, &Lost::Closed));
        };
        match connection.hear(Step::Read(open.rcpt(recipient))).await {
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
        let hop = Arc::clone(&self.hop);
        let Some((connection, open)) = self.talk.take() else {
            return vec![lost(&hop.name, &Lost::Closed)];
        };
        let accepted = open.accepted();
        let mut replies = Vec::with_capacity(accepted);
        if let Err(why) = send(&hop, connection, open, content, &mut replies).await {
            // What it has taken it has taken; of the others nobody knows, so they are sent again.
            let reply = lost(&hop.name, &why);
            replies.resize(accepted.max(1), reply);
        }
        replies.into_iter().map(passed_on).collect()
    }
}

async fn send(
    hop: &Hop,
    mut connection: Connection,
    open: Open,
    content: &Content,
    replies: &mut Vec<Reply>,
) -> Result<(), Lost> {
    let accepted = open.accepted();
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
                        tokio::spawn(connection.part(ready.quit()));
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
    tracing::debug!(next_hop = hop.name, "answered");
    Ok(())
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
