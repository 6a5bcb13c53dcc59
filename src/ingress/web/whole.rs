//! A message that is asked about at once, with all that is known of it: each hook up to `message` in order, as if it had come by SMTP.
//! Knows no protocol.

use crate::accept::{Screen, Screened};
use crate::ingress::changes::{Given, Written};
use crate::ingress::facts::Named;
use crate::mail::{Content, Envelope, Reply, Session};
use std::sync::Arc;

pub struct Whole {
    pub session: Session,
    /// Without recipients.
    pub envelope: Envelope,
    pub recipients: Vec<Named>,
    pub queue_id: Option<String>,
}

pub enum Judged {
    /// Before there was a message to judge.
    Refused(Reply),
    Screened {
        screened: Box<Screened>,
        given: Given,
        /// What was decided of single recipients, for the journal.
        missed: Vec<String>,
    },
}

/// The hooks `connect` and, for a client that has said its name, `helo`.
pub async fn greet(screen: &Screen, session: Session) -> Result<Arc<Session>, Reply> {
    let mut session = Arc::new(session);
    screen.connect(&mut session).await?;
    if !session.helo.is_empty() {
        screen.helo(&mut session).await?;
    }
    Ok(session)
}

impl Whole {
    pub async fn judge(self, screen: &Screen, content: Content) -> Judged {
        match Box::pin(self.ask(screen, content)).await {
            Ok(judged) => judged,
            Err(reply) => Judged::Refused(reply),
        }
    }

    async fn ask(self, screen: &Screen, content: Content) -> Result<Judged, Reply> {
        let session = greet(screen, self.session).await?;
        let mut given = Given {
            envelope: self.envelope.clone(),
            recipients: Vec::new(),
        };
        let named = self.recipients.len();
        let mut screening = screen.begin(session, self.envelope).await?;
        let mut missed = Vec::new();
        let mut first = None;
        for Named { recipient, written } in self.recipients {
            let address = recipient.as_ref().map(|one| one.address.clone());
            given.recipients.push(Written {
                address: address.map_err(Reply::clone),
                text: written,
            });
            let recipient = match recipient {
                Ok(recipient) => recipient,
                // The mail server has it, and so it stays.
                Err(reply) => {
                    tracing::warn!(queue_id = self.queue_id, %reply, "filters are not told of a recipient");
                    first.get_or_insert(reply);
                    continue;
                }
            };
            let address = recipient.address.clone();
            match screening.recipient(recipient).await {
                Ok(()) => {}
                // There is one answer: the client has to come again with all of them.
                Err(reply) if reply.is_temporary() => return Err(reply),
                Err(reply) => {
                    missed.push(format!(
                        "telling the client of {address} that \"{reply}\": the mail server asks when it has taken all recipients; this one is removed"
                    ));
                    first.get_or_insert(reply);
                }
            }
        }
        missed.extend(given.untold());
        if let Some(reply) = first
            && missed.len() == named
        {
            return Err(reply);
        }
        let screened = screening.finish(content, self.queue_id).await;
        Ok(Judged::Screened {
            screened: Box::new(screened),
            given,
            missed,
        })
    }
}
