//! The order of commands, and which of them are answered. Does not decide what the answers are.

use super::response::{PIECE, packet};
use super::{
    Actions, Answer, Command, Connect, Macros, Modification, Negotiated, Offer, Packet, Path,
    ProtocolError, Steps, Wants,
};

/// What the caller is to do. All from `Connect` to `Data`, `Body` and `End` want an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// To be met with [`Server::negotiate`].
    Negotiate(Offer),
    Connect(Connect),
    Helo(String),
    /// A message that was not ended is over.
    Mail(Path),
    Rcpt(Path),
    /// No answer is wanted.
    Header {
        name: &'a [u8],
        value: &'a [u8],
    },
    Body(&'a [u8]),
    /// The message is all there, with this last piece of its body.
    End(&'a [u8]),
    /// The message is over, if there was one. No answer is wanted.
    Abort,
    /// The session is over; another may follow. No answer is wanted.
    NewSession,
    Quit,
    /// Nothing to do.
    Nothing,
}

/// The machine.
#[derive(Debug)]
pub struct Server {
    phase: Phase,
    negotiated: Negotiated,
    macros: Macros,
    /// Whether the mail server waits for an answer.
    is_due: bool,
    output: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// Before the negotiation.
    Opening,
    /// Between two sessions.
    Open,
    /// Between two messages of a session.
    Session,
    Envelope,
    Header,
    Body,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            phase: Phase::Opening,
            negotiated: Negotiated {
                version: 0,
                actions: Actions::default(),
                steps: Steps::default(),
            },
            macros: Macros::default(),
            is_due: false,
            output: Vec::new(),
        }
    }
}

impl Server {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn handle<'a>(&mut self, packet: Packet<'a>) -> Result<Event<'a>, ProtocolError> {
        let order = || ProtocolError::Order(char::from(packet.command));
        let command = Command::parse(packet)?;
        if self.phase == Phase::Opening && !matches!(command, Command::Negotiate(_) | Command::Quit)
        {
            return Err(order());
        }
        let event = match command {
            Command::Negotiate(offer) => {
                // Again only for another session.
                if self.phase > Phase::Open {
                    return Err(order());
                }
                Event::Negotiate(offer)
            }
            Command::Macros { command, pairs } => {
                self.macros.set(command, &pairs)?;
                Event::Nothing
            }
            Command::Connect(connect) => {
                if self.phase != Phase::Open {
                    return Err(order());
                }
                self.phase = Phase::Session;
                self.due(Steps::CONNECT_UNANSWERED);
                Event::Connect(connect)
            }
            Command::Helo(name) => {
                self.within(Phase::Open, Phase::Session).ok_or_else(order)?;
                self.phase = Phase::Session;
                self.due(Steps::HELO_UNANSWERED);
                Event::Helo(name)
            }
            Command::Mail(path) => {
                self.within(Phase::Open, Phase::Body).ok_or_else(order)?;
                self.phase = Phase::Envelope;
                self.due(Steps::MAIL_UNANSWERED);
                Event::Mail(path)
            }
            Command::Rcpt(path) => {
                self.within(Phase::Envelope, Phase::Envelope)
                    .ok_or_else(order)?;
                self.due(Steps::RCPT_UNANSWERED);
                Event::Rcpt(path)
            }
            Command::Data => {
                self.within(Phase::Envelope, Phase::Envelope)
                    .ok_or_else(order)?;
                self.phase = Phase::Header;
                self.due(Steps::DATA_UNANSWERED);
                self.answer(Answer::Continue);
                Event::Nothing
            }
            Command::Header { name, value } => {
                self.within(Phase::Envelope, Phase::Header)
                    .ok_or_else(order)?;
                self.phase = Phase::Header;
                self.due(Steps::HEADER_UNANSWERED);
                self.answer(Answer::Continue);
                Event::Header { name, value }
            }
            Command::EndOfHeader => {
                self.within(Phase::Envelope, Phase::Header)
                    .ok_or_else(order)?;
                self.phase = Phase::Body;
                self.due(Steps::END_OF_HEADER_UNANSWERED);
                self.answer(Answer::Continue);
                Event::Nothing
            }
            Command::Body(octets) => {
                self.within(Phase::Envelope, Phase::Body)
                    .ok_or_else(order)?;
                self.phase = Phase::Body;
                self.due(Steps::BODY_UNANSWERED);
                Event::Body(octets)
            }
            Command::End(octets) => {
                self.within(Phase::Envelope, Phase::Body)
                    .ok_or_else(order)?;
                self.phase = Phase::Session;
                self.is_due = true;
                Event::End(octets)
            }
            Command::Abort => {
                self.end_message();
                Event::Abort
            }
            Command::QuitNew => {
                self.end_message();
                self.macros.clear();
                self.phase = Phase::Open;
                Event::NewSession
            }
            Command::Unknown => {
                self.due(Steps::UNKNOWN_UNANSWERED);
                self.answer(Answer::Continue);
                Event::Nothing
            }
            Command::Quit => Event::Quit,
        };
        Ok(event)
    }

    /// Answers an offer.
    pub fn negotiate(&mut self, offer: &Offer, wants: &Wants) -> Result<(), ProtocolError> {
        let (negotiated, data) = wants.meet(offer)?;
        self.negotiated = negotiated;
        self.phase = Phase::Open;
        packet(&mut self.output, b'O', &data);
        Ok(())
    }

    pub fn negotiated(&self) -> &Negotiated {
        &self.negotiated
    }

    pub fn macros(&self) -> &Macros {
        &self.macros
    }

    /// The message is over: its macros are not those of the next.
    pub fn end_message(&mut self) {
        self.macros.end_message();
        self.phase = self.phase.min(Phase::Session);
    }

    /// Whether nothing is open that a mail server waits for.
    pub fn is_idle(&self) -> bool {
        self.phase <= Phase::Session && !self.is_due
    }

    /// Answers the last event. False if the mail server does not want to hear it, which must be said later then.
    pub fn answer(&mut self, answer: Answer<'_>) -> bool {
        if !std::mem::take(&mut self.is_due) {
            return answer == Answer::Continue;
        }
        answer.write(&mut self.output);
        true
    }

    /// One change, before the answer to the end of the message.
    pub fn modify(&mut self, modification: &Modification) {
        modification.write(&mut self.output);
    }

    /// A piece of the new body, which takes the place of the old with the first one.
    pub fn replace_body(&mut self, octets: &[u8]) {
        for piece in octets.chunks(PIECE) {
            packet(&mut self.output, b'b', piece);
        }
    }

    /// A new body without an octet.
    pub fn empty_body(&mut self) {
        packet(&mut self.output, b'b', &[]);
    }

    /// The filter is at work: the mail server's clock for the answer to the end of the message begins anew.
    pub fn progress(&mut self) {
        packet(&mut self.output, b'p', &[]);
    }

    /// What is to be sent; the caller empties it.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    fn due(&mut self, unanswered: Steps) {
        self.is_due = !self.negotiated.steps.contains(unanswered);
    }

    fn within(&self, first: Phase, last: Phase) -> Option<()> {
        (first..=last).contains(&self.phase).then_some(())
    }
}
