//! The order of commands (RFC 5321 §4.1.4): what may come next, what is answered here and what is asked of the caller.
//! Does not decide who may send what to whom.

use super::chunk::{Drain, Progress};
use super::command::{Command, Hello, Mail, ReadAddress, needs_utf8, no_chunk_size};
use super::data::Receiving;
use super::handover::{Trust, Xclient, Xforward};
use super::line::{Fault, Lines, Read};
use super::{Blame, Config, Dialect, refusal, syntax, unknown_parameter};
use crate::mail::{Address, Body, Recipient, Replies, Reply};
use std::sync::Arc;

/// Replies of more octets than this are sent before more commands are looked at, or a client that pipelines commands
/// with long replies would make us hold them all.
const OUTPUT_MAX: usize = 8 * 1024;

/// The machine between two commands.
#[derive(Debug)]
pub struct Server {
    config: Arc<Config>,
    pub(super) security: Security,
    trust: Trust,
    pub(super) phase: Phase,
    lines: Lines,
    pub(super) output: Vec<u8>,
    counts: Counts,
    /// Octets of a chunk that nobody wants.
    pub(super) drain: Option<Box<Drain>>,
    /// The reply to the chunk that failed in this transaction. Those behind it get the same.
    pub(super) failed: Option<Box<Reply>>,
    /// The limit that the last refusal was about.
    hit: Option<&'static str>,
}

/// Since the last message that was taken.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    errors: u32,
    commands: u32,
    idle: u32,
}

/// Why the machine ends the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Farewell {
    /// QUIT, or the caller's 421.
    Said,
    Errors,
    Commands,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Security {
    /// In the clear, and STARTTLS is not offered.
    Plain,
    /// In the clear; STARTTLS is offered.
    StartTls,
    Tls,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Turned away with the greeting: only QUIT is left (RFC 5321 §3.1).
    Refused,
    /// Before EHLO.
    Connected,
    /// Between two transactions.
    Ready,
    /// After MAIL.
    Transaction(Open),
    Closing(Farewell),
}

/// The transaction that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Open {
    utf8: bool,
    pub body: Body,
    /// Recipients.
    pub accepted: usize,
    /// Whether there was a RCPT at all.
    pub attempted: bool,
    /// Set by the first chunk that was taken.
    pub chunks: Option<Progress>,
}

/// What the caller is to do next. All but `Close` give the machine back, or give it back for an answer.
#[derive(Debug)]
pub enum Step {
    /// Send what is in `output`; read if all octets are used.
    Read(Server),
    /// EHLO, HELO or LHLO. Once it is accepted, a transaction that was open is over; refused, it changes nothing (RFC 5321 §4.1.4).
    Hello(Asked<Hello>),
    Mail(Asked<Mail>),
    /// Another client's session takes the place of this one, from its greeting on.
    Xclient(Asked<Xclient>),
    /// What the next transaction's client is.
    Xforward(Asked<Xforward>),
    Rcpt(Asked<Recipient>),
    Data(Asked<Data>),
    /// BDAT: a chunk of the message follows, the first or another (RFC 3030 §2).
    Chunk(Receiving),
    /// The transaction that was open, if one was, is over: by RSET, or because a chunk of its message cannot be taken.
    /// So is what was said of its client.
    Reset(Server),
    /// Send what is in `output`, do the handshake, call [`Server::secured`]. All octets are used, whatever came behind the
    /// command: those could be an attacker's (RFC 3207 §4.2).
    StartTls(Server),
    /// Send these octets and close.
    Close(Vec<u8>, Farewell),
}

/// DATA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Data;

/// A command that waits for an answer.
#[derive(Debug)]
pub struct Asked<C> {
    pub command: C,
    server: Server,
}

impl<C> Asked<C> {
    pub(super) fn into_server(self) -> Server {
        self.server
    }

    /// Turns the command down; 421 ends the connection too (RFC 5321 §3.8).
    pub fn refuse(self, reply: &Reply) -> Server {
        let mut server = self.server;
        server.turn_down(reply);
        server
    }
}

impl Asked<Hello> {
    pub fn accept(self) -> Server {
        let mut server = self.server;
        server.reset();
        server.phase = Phase::Ready;
        server.hello(self.command.extended);
        server
    }
}

impl Asked<Mail> {
    pub fn accept(self) -> Server {
        let mut server = self.server;
        server.phase = Phase::Transaction(Open {
            utf8: self.command.utf8,
            body: self.command.body,
            accepted: 0,
            attempted: false,
            chunks: None,
        });
        server.say(b"250 2.1.0 Sender ok\r\n");
        server
    }
}

impl Asked<Recipient> {
    pub fn accept(self) -> Server {
        let mut server = self.server;
        if let Phase::Transaction(open) = &mut server.phase {
            open.accepted += 1;
        }
        server.say(b"250 2.1.5 Recipient ok\r\n");
        server
    }
}

impl Asked<Data> {
    pub fn accept(self) -> Receiving {
        let mut server = self.server;
        server.say(b"354 End the message with <CRLF>.<CRLF>\r\n");
        Receiving::new(server)
    }
}

/// Whether the machine goes on by itself with the next line.
pub(super) enum Next {
    Line(Server),
    Step(Step),
}

impl Server {
    /// The greeting is in `output`.
    pub fn new(config: Arc<Config>, security: Security) -> Self {
        Self::silent(config, security, Phase::Connected).anew()
    }

    /// This client may speak for others.
    pub fn trusting(self, trust: Trust) -> Self {
        Self { trust, ..self }
    }

    pub(super) fn trust(&self) -> Trust {
        self.trust
    }

    /// Who speaks for others is a mail server of ours, and so is who speaks LMTP: its mail was taken, and must not bounce here for what an
    /// address looks like.
    fn read_address(&self) -> ReadAddress {
        let Trust { xclient, xforward } = self.trust;
        match xclient || xforward || self.config.dialect == Dialect::Lmtp {
            true => Address::vouched,
            false => Address::parse,
        }
    }

    /// From the greeting on, with a client that has done nothing yet.
    pub(super) fn anew(mut self) -> Self {
        self.phase = Phase::Connected;
        self.counts = Counts::default();
        let Config {
            hostname, dialect, ..
        } = self.config.as_ref();
        let greeting = format!("220 {hostname} {} wasmilter\r\n", dialect.name());
        self.say(greeting.as_bytes());
        self
    }

    pub(super) fn turned_away(mut self, reply: &Reply) -> Self {
        self.phase = Phase::Refused;
        self.refuse(reply);
        self
    }

    /// A server that turns this client away: `reply` is its greeting.
    pub fn refused(config: Arc<Config>, security: Security, reply: &Reply) -> Self {
        Self::silent(config, security, Phase::Refused).turned_away(reply)
    }

    fn silent(config: Arc<Config>, security: Security, phase: Phase) -> Self {
        Self {
            config,
            security,
            trust: Trust::default(),
            phase,
            lines: Lines::default(),
            output: Vec::new(),
            counts: Counts::default(),
            drain: None,
            failed: None,
            hit: None,
        }
    }

    /// What is to be sent. The caller empties it.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// After the handshake all that was known of the client is forgotten (RFC 3207 §4.2).
    pub fn secured(self) -> Self {
        Self {
            counts: self.counts,
            trust: self.trust,
            ..Self::silent(self.config, Security::Tls, Phase::Connected)
        }
    }

    /// Says that the connection ends now, wherever it stands (RFC 5321 §3.8), and gives what is to be sent.
    pub fn close(mut self, reply: &Reply) -> Vec<u8> {
        reply.write_to(&mut self.output);
        self.output
    }

    /// The limit that was hit since this was last asked.
    pub fn take_hit(&mut self) -> Option<&'static str> {
        self.hit.take()
    }

    /// Refusals since the last message that was taken.
    pub fn errors(&self) -> u32 {
        self.counts.errors
    }

    /// Whether a chunk is being read for nothing.
    pub fn is_draining(&self) -> bool {
        self.drain.is_some()
    }

    /// Whether a command has begun and not ended.
    pub fn in_line(&self) -> bool {
        self.lines.in_line() || self.drain.is_some()
    }

    /// How many octets were used, and what is to be done.
    pub fn next(mut self, input: &[u8]) -> (usize, Step) {
        let mut used = 0;
        loop {
            if let Phase::Closing(farewell) = self.phase {
                return (used, Step::Close(self.output, farewell));
            }
            if self.output.len() > OUTPUT_MAX {
                return (used, Step::Read(self));
            }
            let rest = input.get(used..).unwrap_or_default();
            if let Some(drain) = self.drain.take() {
                let (count, left) = drain.next(rest.len());
                used += count;
                match left {
                    Ok(left) => {
                        self.drain = Some(left);
                        return (used, Step::Read(self));
                    }
                    Err(drained) => {
                        let was_open = self.is_open();
                        self = self.drained(drained);
                        if was_open && !self.is_open() {
                            return (used, Step::Reset(self));
                        }
                    }
                }
                continue;
            }
            let (count, read) = self.lines.next(rest);
            used += count;
            let parsed = match read {
                Read::More => return (used, Step::Read(self)),
                Read::Line(line) => Command::parse(&line, &self.config, self.read_address()),
                Read::Fault(fault) => Err(line_fault(fault)),
            };
            self = match parsed {
                Ok(command) => match self.command(command) {
                    Next::Line(server) => server,
                    Next::Step(Step::StartTls(server)) => {
                        return (input.len(), Step::StartTls(server));
                    }
                    Next::Step(step) => return (used, step),
                },
                Err(reply) => {
                    self.refuse(&reply);
                    self
                }
            };
        }
    }

    fn command(mut self, command: Command) -> Next {
        self.counts.commands += 1;
        self.counts.idle += u32::from(command.is_idle());
        let Config {
            commands,
            idle_commands,
            ..
        } = *self.config;
        if self.counts.commands > commands || self.counts.idle > idle_commands {
            refusal(421, (4, 7, 0), "Too many commands and no message").write_to(&mut self.output);
            self.phase = Phase::Closing(Farewell::Commands);
            return Next::Line(self);
        }
        match (command, self.phase) {
            (Command::Quit, _) => {
                self.say(b"221 2.0.0 Bye\r\n");
                self.phase = Phase::Closing(Farewell::Said);
            }
            (Command::Http, _) => {
                // A web page can make a browser send a form here; none of its lines gets a second chance.
                self.refuse(&refusal(421, (4, 7, 0), "This is a mail server"));
            }
            (Command::Bdat { size, last }, _) => return self.bdat(size, last),
            (_, Phase::Refused) => self.out_of_order("You were turned away; only QUIT is left"),
            (Command::Hello(hello), _) => return self.ask(hello, Step::Hello),
            (Command::Handover(verb, told), _) => return self.handover(verb, told),
            (Command::Rset, _) => {
                self.reset();
                self.say(b"250 2.0.0 Ok\r\n");
                return Next::Step(Step::Reset(self));
            }
            (Command::Noop, _) => self.say(b"250 2.0.0 Ok\r\n"),
            // RFC 5321 §3.5.3: neither a yes nor a no, or the list of our users could be read off.
            (Command::Vrfy, _) => {
                self.say(b"252 2.0.0 Cannot verify the user; send the message and see\r\n");
            }
            (Command::Expn, _) => self.refuse(&refusal(502, (5, 5, 1), "Lists are not shown")),
            (Command::Help, _) => {
                let hello = match self.config.dialect {
                    Dialect::Smtp => "EHLO HELO",
                    Dialect::Lmtp => "LHLO",
                };
                let text = format!(
                    "214-2.0.0 wasmilter\r\n\
                     214 2.0.0 {hello} MAIL RCPT DATA BDAT RSET NOOP VRFY STARTTLS QUIT\r\n"
                );
                self.say(text.as_bytes());
            }
            (Command::StartTls, phase) => return self.start_tls(phase),
            (Command::Mail(_), Phase::Connected) => {
                let text = format!("Say {} first", self.config.dialect.hello());
                self.out_of_order(&text);
            }
            (Command::Mail(_), Phase::Transaction(_)) => {
                self.out_of_order("A transaction is open; end it or say RSET first");
            }
            // RFC 8689 §2: elsewhere there is no such parameter.
            (Command::Mail(mail), _) if mail.require_tls && self.security != Security::Tls => {
                self.refuse(&unknown_parameter("REQUIRETLS"));
            }
            (Command::Mail(mail), _) => return self.ask(mail, Step::Mail),
            (Command::Rcpt(_) | Command::Data, Phase::Transaction(open))
                if open.chunks.is_some() || self.failed.is_some() =>
            {
                // RFC 3030 §2: BDAT and DATA don't mix.
                self.out_of_order("A chunk of the message was sent: go on with BDAT, or say RSET");
            }
            (Command::Rcpt(recipient), Phase::Transaction(open)) => {
                self.phase = Phase::Transaction(Open {
                    attempted: true,
                    ..open
                });
                let original = recipient.original.as_deref().unwrap_or_default();
                if !open.utf8 && (recipient.address.needs_utf8() || !original.is_ascii()) {
                    self.refuse(&needs_utf8());
                } else if open.accepted >= self.config.recipients {
                    // RFC 5321 §4.5.3.1.10
                    let text = "Too many recipients: send the others another copy";
                    self.refuse(&refusal(452, (4, 5, 3), text).about("message-recipients"));
                } else {
                    return self.ask(recipient, Step::Rcpt);
                }
            }
            (Command::Rcpt(_), _) => self.out_of_order("Say MAIL first"),
            (Command::Data, Phase::Transaction(open)) => {
                if open.accepted == 0 {
                    let reply = self.no_recipients(open);
                    match open.attempted {
                        true => self.turn_down(&reply),
                        false => self.refuse(&reply),
                    }
                } else if open.body == Body::Binary {
                    // RFC 3030 §3: lines and dots would not leave it as it is.
                    self.out_of_order("A message of BODY=BINARYMIME is sent by BDAT");
                } else {
                    return self.ask(Data, Step::Data);
                }
            }
            (Command::Data, _) => self.out_of_order("Say MAIL and RCPT first"),
        }
        Next::Line(self)
    }

    fn start_tls(mut self, phase: Phase) -> Next {
        match (self.security, phase) {
            (Security::Plain, _) => {
                self.refuse(&refusal(502, (5, 5, 1), "TLS is not offered here"));
            }
            (Security::Tls, _) => self.out_of_order("TLS is on already"),
            (Security::StartTls, Phase::Transaction(_)) => {
                self.out_of_order("A transaction is open; end it or say RSET first");
            }
            (Security::StartTls, _) => {
                self.say(b"220 2.0.0 Go ahead\r\n");
                return Next::Step(Step::StartTls(self));
            }
        }
        Next::Line(self)
    }

    pub(super) fn ask<C>(self, command: C, step: impl FnOnce(Asked<C>) -> Step) -> Next {
        Next::Step(step(Asked {
            command,
            server: self,
        }))
    }

    /// Why there can be no message: nobody would get it.
    pub(super) fn no_recipients(&self, open: Open) -> Reply {
        match (open.attempted, self.config.dialect) {
            // RFC 5321 §4.1.1.4; a client that pipelines learns here that all its recipients were refused.
            (true, Dialect::Smtp) => refusal(554, (5, 5, 1), "No valid recipients"),
            // RFC 2033 §4.2
            (true, Dialect::Lmtp) => refusal(503, (5, 5, 1), "No valid recipients"),
            (false, _) => refusal(503, (5, 5, 1), "Say RCPT first"),
        }
    }

    fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Transaction(_))
    }

    /// Ends the transaction that is open, if one is.
    fn reset(&mut self) {
        if self.is_open() {
            self.phase = Phase::Ready;
        }
        self.failed = None;
    }

    pub(super) fn message_done(mut self, replies: &Replies) -> Self {
        let recipients = match (self.phase, self.config.dialect) {
            (Phase::Transaction(open), Dialect::Lmtp) => open.accepted,
            _ => 0,
        };
        self.reset();
        if recipients == 0 {
            self.answer(std::iter::once(replies.whole()));
        } else {
            // RFC 2033 §4.2: one for each RCPT that was accepted, in their order.
            self.answer((0..recipients).map(|recipient| replies.of(recipient)));
        }
        self
    }

    /// All replies to one message: together they are one refusal, or none if one of them is positive.
    fn answer<'r>(&mut self, replies: impl Iterator<Item = &'r Reply>) {
        let (mut positive, mut permanent, mut closing) = (false, false, false);
        for reply in replies {
            reply.write_to(&mut self.output);
            self.hit = reply.limit.or(self.hit);
            positive |= reply.is_positive();
            permanent |= reply.code >= 500;
            closing |= reply.code == 421;
        }
        if positive {
            self.counts = Counts::default();
        } else if permanent {
            self.blame(500);
        }
        if closing {
            self.count(421);
        }
    }

    /// A refusal that the caller decided on.
    fn turn_down(&mut self, reply: &Reply) {
        self.hit = reply.limit.or(self.hit);
        reply.write_to(&mut self.output);
        self.blame(reply.code);
    }

    /// See [`Self::count`].
    fn blame(&mut self, code: u16) {
        match self.config.blame {
            Blame::Faults if code != 421 => {}
            Blame::Faults | Blame::Refusals => self.count(code),
        }
    }

    pub(super) fn out_of_order(&mut self, text: &str) {
        self.refuse(&refusal(503, (5, 5, 1), text));
    }

    pub(super) fn refuse(&mut self, reply: &Reply) {
        self.hit = reply.limit.or(self.hit);
        reply.write_to(&mut self.output);
        self.count(reply.code);
    }

    /// What a refusal means for the session.
    fn count(&mut self, code: u16) {
        if code == 421 {
            self.phase = Phase::Closing(Farewell::Said);
        }
        // What is temporary may be our fault.
        if code >= 500 {
            self.counts.errors += 1;
        }
        let closing = matches!(self.phase, Phase::Closing(_));
        if self.counts.errors >= self.config.errors && !closing {
            refusal(421, (4, 7, 0), "Too many errors").write_to(&mut self.output);
            self.phase = Phase::Closing(Farewell::Errors);
        }
    }

    pub(super) fn say(&mut self, octets: &[u8]) {
        self.output.extend_from_slice(octets);
    }
}

fn line_fault(fault: Fault) -> Reply {
    match fault {
        Fault::TooLong => refusal(500, (5, 5, 6), "Line too long").about("command-line"),
        Fault::BareLineEnd => refusal(
            500,
            (5, 5, 2),
            "Lines end in CR LF; neither may stand alone (RFC 5321 2.3.8)",
        ),
        Fault::Nul => syntax("Syntax error: a NUL has no place here"),
        Fault::Chunk => no_chunk_size(),
    }
}
