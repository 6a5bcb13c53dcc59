//! A milter at work on one transaction, which is one session on a connection of its own: what the hooks of the chain are in its protocol,
//! and what its answers are to the chain. Doesn't decide what a failure means.

use super::Inner;
use super::changes::Changes;
use super::dialogue::Dialogue;
use super::facts::Facts;
use crate::mail::{
    Address, Call, Content, EnhancedCode, Failure, FailureKind, FilterRun, Header, Outcome,
    Recipient, Reply, Scoped, Verdict, View,
};
use crate::metrics;
use crate::proto::milter::{Command, Said, Steps};
use async_trait::async_trait;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;

/// Octets of one piece of the body, as Sendmail and Postfix send it.
const PIECE: usize = 65_535;

pub struct Run {
    milter: Arc<Inner>,
    state: State,
    /// Recipients that the milter has been told of.
    told: Vec<Address>,
}

enum State {
    Fresh,
    Open(Box<Open>),
    /// It needs to see no more.
    Satisfied,
    /// The message is to vanish, which is said when it is there.
    Discarding,
}

struct Open {
    dialogue: Dialogue,
    _place: OwnedSemaphorePermit,
}

/// An answer that ends the asking: with this verdict.
enum Ending {
    Verdict(Verdict),
    Satisfied,
    Discarding,
}

impl Run {
    pub fn new(milter: Arc<Inner>) -> Self {
        Self {
            milter,
            state: State::Fresh,
            told: Vec::new(),
        }
    }

    async fn answer(
        &mut self,
        call: &Call,
        view: &View,
    ) -> Result<(Verdict, Vec<Scoped>), Failure> {
        let mut open = match std::mem::replace(&mut self.state, State::Satisfied) {
            State::Satisfied => return Ok((Verdict::Continue, Vec::new())),
            State::Discarding => return Ok((self.discard(call), Vec::new())),
            State::Fresh => {
                let mut open = self.begin().await?;
                if let Some(ending) = self.greet(&mut open, view).await? {
                    return Ok((self.end(call, ending), Vec::new()));
                }
                open
            }
            State::Open(open) => open,
        };
        let ended = match call {
            Call::Rcpt(address) => {
                let recipient = Recipient::from(address.clone());
                match self.recipient(&mut open, view, &recipient).await? {
                    // It is about this one only.
                    Some(Ending::Verdict(verdict)) => {
                        self.state = State::Open(open);
                        return Ok((verdict, Vec::new()));
                    }
                    other => other,
                }
            }
            Call::Message => return self.message(open, view, call).await,
            _ => None,
        };
        Ok(match ended {
            Some(ending) => (self.end(call, ending), Vec::new()),
            None => {
                self.state = State::Open(open);
                (Verdict::Continue, Vec::new())
            }
        })
    }

    async fn begin(&self) -> Result<Box<Open>, Failure> {
        let place = self.milter.place().await?;
        Ok(Box::new(Open {
            dialogue: Dialogue::open(&self.milter.config).await?,
            _place: place,
        }))
    }

    /// Up to MAIL.
    async fn greet(&self, open: &mut Open, view: &View) -> Result<Option<Ending>, Failure> {
        let facts = Facts::new(view);
        let helo = facts.helo().map(str::to_owned).map(Command::Helo);
        let before = [Some(Command::Connect(facts.connect())), helo];
        for command in before.into_iter().flatten() {
            if let Some(ending) = self.command(open, &command, &facts).await? {
                return Ok(Some(ending));
            }
        }
        open.dialogue.within = true;
        self.command(open, &Command::Mail(facts.mail()), &facts)
            .await
    }

    async fn recipient(
        &mut self,
        open: &mut Open,
        view: &View,
        recipient: &Recipient,
    ) -> Result<Option<Ending>, Failure> {
        let mut facts = Facts::new(view);
        facts.recipient = Some(recipient.address.clone());
        self.told.push(recipient.address.clone());
        let command = Command::Rcpt(Facts::rcpt(recipient));
        self.command(open, &command, &facts).await
    }

    async fn command(
        &self,
        open: &mut Open,
        command: &Command<'_>,
        facts: &Facts,
    ) -> Result<Option<Ending>, Failure> {
        let patience = self.milter.config.command;
        // It changes nothing before the end of a message; the core sees to that.
        let mut none = Changes::new(0);
        let values = |name: &str| facts.value(name);
        let said = open.dialogue.say(command, &values, &mut none, patience);
        Ok(ending(said.await?))
    }

    /// From the recipients that it doesn't know of to the end of the message.
    async fn message(
        &mut self,
        mut open: Box<Open>,
        view: &View,
        call: &Call,
    ) -> Result<(Verdict, Vec<Scoped>), Failure> {
        for recipient in &view.envelope.recipients {
            if self.told.contains(&recipient.address) {
                continue;
            }
            if let Some(ending) = self.recipient(&mut open, view, recipient).await? {
                return Ok((self.end(call, ending), Vec::new()));
            }
        }
        let message = view.message.as_ref().ok_or_else(|| Failure {
            kind: FailureKind::Host,
            text: "there is no message".to_owned(),
        })?;
        let content = message.render().map_err(unreadable)?;
        let mut changes = Changes::new(self.milter.config.size);
        let facts = Facts::new(view);
        let talk = Talk {
            facts: &facts,
            patience: self.milter.config.content,
        };
        let steps = open.dialogue.agreed().map(|agreed| agreed.steps);
        let steps = steps.unwrap_or_default();
        let said = talk
            .content(&mut open.dialogue, &content, steps, &mut changes)
            .await?;
        let verdict = match ending(said) {
            None | Some(Ending::Satisfied) => Verdict::Continue,
            Some(ending) => return Ok((self.end(call, ending), Vec::new())),
        };
        let space = steps.contains(Steps::LEADING_SPACE);
        let server = &view.session.server_name;
        let edits = changes.edits(&message.header, &view.envelope, server, space)?;
        Ok((verdict, edits))
    }

    fn end(&mut self, call: &Call, ending: Ending) -> Verdict {
        match ending {
            Ending::Verdict(verdict) => verdict,
            Ending::Satisfied => Verdict::Continue,
            Ending::Discarding => self.discard(call),
        }
    }

    fn discard(&mut self, call: &Call) -> Verdict {
        if *call == Call::Message {
            return Verdict::Discard;
        }
        self.state = State::Discarding;
        Verdict::Continue
    }
}

/// The part of a conversation that is about content.
struct Talk<'a> {
    facts: &'a Facts,
    patience: Duration,
}

impl Talk<'_> {
    async fn say(
        &self,
        dialogue: &mut Dialogue,
        command: &Command<'_>,
        changes: &mut Changes,
    ) -> Result<Said, Failure> {
        let values = |name: &str| self.facts.value(name);
        dialogue.say(command, &values, changes, self.patience).await
    }

    /// The first answer that ends it, or that to the end.
    async fn content(
        &self,
        dialogue: &mut Dialogue,
        content: &Content,
        steps: Steps,
        changes: &mut Changes,
    ) -> Result<Said, Failure> {
        let said = self.say(dialogue, &Command::Data, changes).await?;
        if said != Said::Continue {
            return Ok(said);
        }
        let header = Header::read(content).map_err(unreadable)?;
        let space = steps.contains(Steps::LEADING_SPACE);
        for field in header.fields() {
            let name = field.name();
            // A line that is not a field, such as mbox's, has none.
            if name.is_empty() {
                continue;
            }
            let mut value = field.value().to_vec();
            value.retain(|octet| *octet != b'\r');
            let value = match value.strip_prefix(b" ") {
                Some(value) if !space => value,
                _ => &value,
            };
            let name = name.as_bytes();
            let said = self
                .say(dialogue, &Command::Header { name, value }, changes)
                .await?;
            if said != Said::Continue {
                return Ok(said);
            }
        }
        let said = self.say(dialogue, &Command::EndOfHeader, changes).await?;
        if said != Said::Continue {
            return Ok(said);
        }
        if !steps.contains(Steps::NO_BODY) {
            let mut at = start(content, &header).map_err(unreadable)?;
            while at < content.len() {
                let octets = content.read(at, PIECE).map_err(unreadable)?;
                at += octets.len() as u64;
                match self.say(dialogue, &Command::Body(&octets), changes).await? {
                    Said::Continue => {}
                    Said::Skip => break,
                    other => return Ok(other),
                }
            }
        }
        let said = self.say(dialogue, &Command::End(&[]), changes).await?;
        dialogue.within = false;
        Ok(said)
    }
}

/// Where the body begins: behind the first empty line.
fn start(content: &Content, header: &Header) -> io::Result<u64> {
    let end = header.received_len();
    Ok(match content.read(end, 2)?.as_ref() {
        [b'\r', b'\n', ..] => end + 2,
        [b'\n', ..] => end + 1,
        _ => end,
    })
}

/// None for `continue`.
fn ending(said: Said) -> Option<Ending> {
    Some(match said {
        Said::Continue | Said::Skip => return None,
        Said::Accept => Ending::Satisfied,
        Said::Discard => Ending::Discarding,
        Said::Reject => Ending::Verdict(Verdict::Reject(Reply::new(
            550,
            EnhancedCode(5, 7, 1),
            "Refused by a filter",
        ))),
        Said::Tempfail | Said::Shutdown => Ending::Verdict(Verdict::Tempfail(Reply::new(
            451,
            EnhancedCode(4, 7, 1),
            "A filter asks you to try again later",
        ))),
        // 421 would say that the connection ends (RFC 5321 §3.8).
        Said::Refuse(reply) if reply.code == 421 => {
            Ending::Verdict(Verdict::Tempfail(Reply { code: 451, ..reply }))
        }
        Said::Refuse(reply) if reply.is_temporary() => Ending::Verdict(Verdict::Tempfail(reply)),
        Said::Refuse(reply) => Ending::Verdict(Verdict::Reject(reply)),
    })
}

fn unreadable(error: io::Error) -> Failure {
    Failure {
        kind: FailureKind::Host,
        text: format!("the message could not be read back: {error}"),
    }
}

#[async_trait]
impl FilterRun for Run {
    async fn call(&mut self, call: &Call, view: View) -> Outcome {
        let started = Instant::now();
        let milter = Arc::clone(&self.milter);
        let (pass, answer) = match milter.admit(call.hook()) {
            Ok(pass) => (Some(pass), self.answer(call, &view).await),
            Err(failure) => (None, Err(failure)),
        };
        let (result, edits) = match answer {
            Ok((verdict, edits)) => (Ok(verdict), edits),
            Err(failure) => (Err(failure), Vec::new()),
        };
        milter.done(pass, &result);
        let outcome = Outcome {
            edits,
            elapsed: started.elapsed(),
            ..Outcome::new(result)
        };
        milter.meter.count(&metrics::Call {
            hook: call.hook().name(),
            result: match &outcome.result {
                Ok(verdict) => verdict.name(),
                Err(_) => "failed",
            },
            failure: outcome
                .result
                .as_ref()
                .err()
                .map(|failure| failure.kind.to_string()),
            elapsed: outcome.elapsed,
            edits: outcome.edits.len(),
            symbols: 0,
            refused: 0,
        });
        outcome
    }
}
