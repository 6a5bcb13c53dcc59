//! One connection: drives the core of `proto::smtp` and turns its questions into calls of `accept`.
//! Knows neither the order of commands nor what becomes of a message.

use super::{Shared, TlsUse};
use crate::accept::{Aftermath, Finished, Telling, Transaction};
use crate::ingress::door::{self, Guest};
use crate::ingress::handover;
use crate::ingress::staging::{cannot_store, local_error, push};
use crate::mail::{ContentBuilder, EnhancedCode, Envelope, Hook, Replies, Reply, Session, Tags};
use crate::net::guard::{Limit, Pace, Ticket};
use crate::net::{Input, Peer, Stream};
use crate::proto::smtp::{
    Dialect, Farewell, Hello, Mail, Piece, Receiving, Security, Server, Step, Told, Trust,
};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

/// Time to read what a client still sends after the last reply. Closing with octets unread would make the system reset
/// the connection, and the client might never see that reply.
const LINGER: Duration = Duration::from_secs(1);

// A task is as large as the largest thing that it ever waits for, all its life. What is large and rare is therefore boxed.

pub struct Connection {
    shared: Arc<Shared>,
    stream: Stream,
    input: Input,
    session: Arc<Session>,
    /// The peer's, or the client's that XCLIENT told of.
    trust: Trust,
    ticket: Ticket,
    /// As the core has counted them.
    errors: u32,
    command_pace: Pace,
    /// From MAIL on.
    message_pace: Pace,
    /// What XFORWARD said of the next transaction's client.
    forwarded: Option<Box<Told>>,
    /// What filters left at `connect`.
    connected: Tags,
    /// Of the last message, until the client has its reply.
    aftermath: Option<Box<Aftermath>>,
    /// Boxed: most connections have none most of the time.
    transaction: Option<Box<Transaction>>,
    /// What the chunks so far brought of its message.
    chunks: Option<ContentBuilder>,
}

/// What the next octets are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// The first of a command.
    Command,
    /// More of one.
    Line,
    /// A message's, or taken for one.
    Message,
}

/// How waiting for the client ended.
enum Waited {
    Octets,
    Gone,
    /// There is nothing more to say but this.
    Enough(Reply),
}

impl Connection {
    pub async fn open(shared: Arc<Shared>, guest: Guest) -> io::Result<Self> {
        let Guest {
            mut stream,
            proxy,
            ticket,
        } = guest;
        if let TlsUse::Implicit(tls) = &shared.tls {
            stream = Box::pin(tls.accept(stream)).await?;
        }
        let mut session = Session {
            server_name: shared.core.hostname.clone(),
            client_address: stream.peer().ip(),
            protocol: match shared.core.dialect {
                Dialect::Smtp => "SMTP",
                Dialect::Lmtp => "LMTP",
            }
            .to_owned(),
            tls: stream.tls(),
            ..Session::default()
        };
        if let Some(proxy) = proxy {
            handover::proxied(&mut session, proxy);
        }
        Ok(Self {
            trust: shared.trust(stream.peer()),
            shared,
            stream,
            input: Input::new(),
            session: Arc::new(session),
            ticket,
            errors: 0,
            command_pace: Pace::default(),
            message_pace: Pace::default(),
            forwarded: None,
            connected: Tags::default(),
            aftermath: None,
            transaction: None,
            chunks: None,
        })
    }

    /// What is not waited for while the client says nothing is boxed: there may be ten thousand such clients.
    pub async fn run(mut self) -> io::Result<()> {
        let early = door::early_talk(&mut self.stream, &mut self.input, &self.ticket);
        if let Some(reply) = Box::pin(early).await? {
            let mut last = Vec::new();
            reply.write_to(&mut last);
            return Box::pin(self.close(&last)).await;
        }
        let mut server = Box::pin(self.greet()).await;
        loop {
            let is_draining = server.is_draining();
            let (used, step) = server.next(self.input.octets());
            self.input.consume(used);
            if is_draining {
                self.ticket.bytes(used as u64);
            }
            server = match step {
                Step::Read(mut server) => {
                    // Octets that are left are no reason to wait: the core only wants its output sent.
                    let waiting = match server.in_line() {
                        // A message may as well be sent slowly by many chunks as by one.
                        _ if server.is_draining() || self.chunks.is_some() => Waiting::Message,
                        true => Waiting::Line,
                        false => {
                            self.command_pace = Pace::default();
                            Waiting::Command
                        }
                    };
                    if let Some(limit) = server.take_hit() {
                        self.ticket.tell(limit);
                    }
                    if server.errors() > self.errors {
                        Box::pin(self.ticket.tarpit(self.errors, server.errors())).await;
                    }
                    self.errors = server.errors();
                    match self.exchange(server.output(), waiting).await? {
                        Waited::Octets => server,
                        Waited::Gone => return Ok(()),
                        Waited::Enough(reply) => {
                            return Box::pin(self.close(&server.close(&reply))).await;
                        }
                    }
                }
                Step::Hello(asked) => match Box::pin(self.hello(&asked.command)).await {
                    Ok(()) => asked.accept(),
                    Err(reply) => asked.refuse(&reply),
                },
                Step::Mail(asked) => match Box::pin(self.begin(&asked.command)).await {
                    Ok(()) => asked.accept(),
                    Err(reply) => asked.refuse(&reply),
                },
                Step::Xclient(asked) => {
                    self.forget();
                    let told = Told::clone(&asked.command.0);
                    if let Some(address) = told.address {
                        let peer = address.map(|address| Peer::Tcp((address, 0).into()));
                        self.trust =
                            peer.map_or_else(Trust::default, |peer| self.shared.trust(peer));
                    }
                    handover::xclient(Arc::make_mut(&mut self.session), told);
                    tracing::debug!(peer = %self.stream.peer(), client = ?self.session.client_address, "XCLIENT");
                    match Box::pin(self.connect_again()).await {
                        Ok(()) => asked.accept(self.trust),
                        Err(reply) => asked.turn_away(&reply),
                    }
                }
                Step::Xforward(asked) => {
                    let told = Told::clone(&asked.command.0);
                    self.forwarded.get_or_insert_default().merge(told);
                    asked.accept()
                }
                Step::Rcpt(asked) => match &mut self.transaction {
                    Some(transaction) => {
                        let taken = match self.ticket.recipient() {
                            Ok(()) => Box::pin(transaction.recipient(asked.command.clone())).await,
                            Err(reply) => Err(reply),
                        };
                        match taken {
                            Ok(()) => asked.accept(),
                            Err(reply) => asked.refuse(&reply),
                        }
                    }
                    None => asked.refuse(&lost_transaction()),
                },
                Step::Data(asked) => match Box::pin(self.receive(asked.accept())).await? {
                    Some(server) => server,
                    None => return Ok(()),
                },
                Step::Chunk(receiving) => match Box::pin(self.receive(receiving)).await? {
                    Some(server) => server,
                    None => return Ok(()),
                },
                Step::Reset(server) => {
                    self.forget();
                    server
                }
                Step::StartTls(mut server) => {
                    self.send(server.output()).await?;
                    self = Box::pin(self.start_tls()).await?;
                    server.secured()
                }
                Step::Close(rest, farewell) => {
                    match farewell {
                        Farewell::Said => {}
                        Farewell::Errors => {
                            self.ticket.offence(Limit::Errors);
                            let last = self.shared.core.errors;
                            Box::pin(self.ticket.tarpit(self.errors, last)).await;
                        }
                        Farewell::Commands => self.ticket.offence(Limit::Commands),
                    }
                    return Box::pin(self.close(&rest)).await;
                }
            };
        }
    }

    async fn greet(&mut self) -> Server {
        let core = Arc::clone(&self.shared.core);
        let security = match (&self.shared.tls, self.stream.is_tls()) {
            (_, true) => Security::Tls,
            (TlsUse::StartTls(_), false) => Security::StartTls,
            (TlsUse::None | TlsUse::Implicit(_), false) => Security::Plain,
        };
        let connect = self.shared.acceptor.connect(&mut self.session).await;
        self.connected = self.session.tags.clone();
        match connect {
            Ok(()) => Server::new(core, security).trusting(self.trust),
            Err(reply) => Server::refused(core, security, &reply),
        }
    }

    /// The connection is another client's now.
    async fn connect_again(&mut self) -> Result<(), Reply> {
        if let Some(address) = self.session.client_address {
            self.ticket = self.shared.guard.connect(Peer::Tcp((address, 0).into()))?;
        }
        let session = Arc::make_mut(&mut self.session);
        (session.tags, session.greeted) = Default::default();
        let connect = Box::pin(self.shared.acceptor.connect(&mut self.session)).await;
        self.connected = self.session.tags.clone();
        connect
    }

    /// Refused, it leaves all as it was (RFC 5321 §4.1.4), the transaction that may be open too.
    async fn hello(&mut self, hello: &Hello) -> Result<(), Reply> {
        let mut arc = Arc::clone(&self.session);
        let session = Arc::make_mut(&mut arc);
        session.helo.clone_from(&hello.name);
        // RFC 3848; there is no keyword for HELO under TLS.
        session.protocol = match (self.shared.core.dialect, hello.extended, &session.tls) {
            (Dialect::Smtp, false, _) => "SMTP",
            (Dialect::Smtp, true, None) => "ESMTP",
            (Dialect::Smtp, true, Some(_)) => "ESMTPS",
            (Dialect::Lmtp, _, None) => "LMTP",
            (Dialect::Lmtp, _, Some(_)) => "LMTPS",
        }
        .to_owned();
        self.shared.acceptor.helo(&mut arc).await?;
        self.forget();
        self.session = arc;
        Ok(())
    }

    /// The transaction is over.
    fn forget(&mut self) {
        self.forwarded = None;
        self.transaction = None;
        self.chunks = None;
    }

    async fn begin(&mut self, mail: &Mail) -> Result<(), Reply> {
        self.ticket.mail()?;
        self.message_pace = Pace::default();
        let mut session = Arc::clone(&self.session);
        if mail.utf8 {
            // RFC 6531 §4.3
            let protocol = match (self.shared.core.dialect, &session.tls) {
                (Dialect::Smtp, None) => "UTF8SMTP",
                (Dialect::Smtp, Some(_)) => "UTF8SMTPS",
                (Dialect::Lmtp, None) => "UTF8LMTP",
                (Dialect::Lmtp, Some(_)) => "UTF8LMTPS",
            };
            Arc::make_mut(&mut session).protocol = protocol.to_owned();
        }
        let queue_id = self
            .forwarded
            .clone()
            .and_then(|told| handover::xforward(Arc::make_mut(&mut session), *told));
        let envelope = Envelope {
            sender: mail.sender.clone(),
            recipients: Vec::new(),
            body: mail.body,
            utf8: mail.utf8,
            require_tls: mail.require_tls,
            ret: mail.ret,
            envid: mail.envid.clone(),
        };
        let begun = self.shared.acceptor.begin(session, envelope, mail.size);
        let transaction = Box::pin(begun).await?;
        // Used up by a transaction, not by a MAIL that was refused.
        self.forwarded = None;
        self.transaction = Some(Box::new(transaction.called(queue_id)));
        Ok(())
    }

    /// From the 354 to the reply to the message, or through one chunk of it; none if the client is gone, and then nothing of the
    /// message is left.
    async fn receive(&mut self, receiving: Receiving) -> io::Result<Option<Server>> {
        let mut octets = 0;
        let received = self.message(receiving, &mut octets).await;
        // However it ended: they came.
        self.ticket.bytes(octets);
        received
    }

    /// Counts the `octets` that came.
    async fn message(
        &mut self,
        mut receiving: Receiving,
        came: &mut u64,
    ) -> io::Result<Option<Server>> {
        let mut content = match (self.chunks.take(), &self.transaction) {
            (Some(content), _) => Ok(content),
            (None, Some(transaction)) => Ok(transaction.content()),
            (None, None) => Err(lost_transaction()),
        };
        loop {
            let (used, piece) = receiving.next(self.input.octets());
            *came += used as u64;
            receiving = match piece {
                Piece::Content(receiving, octets) => {
                    push(&mut content, octets);
                    self.input.consume(used);
                    receiving
                }
                Piece::Read(mut receiving) => {
                    self.input.consume(used);
                    match self.exchange(receiving.output(), Waiting::Message).await? {
                        Waited::Octets => receiving,
                        Waited::Gone => return Ok(None),
                        Waited::Enough(reply) => {
                            drop(content);
                            self.close(&receiving.close(&reply)).await?;
                            return Ok(None);
                        }
                    }
                }
                Piece::Chunk(taken) => {
                    self.input.consume(used);
                    return Ok(Some(match content {
                        Ok(content) => {
                            self.chunks = Some(content);
                            taken.accept()
                        }
                        Err(reply) => {
                            self.forget();
                            taken.refuse(reply)
                        }
                    }));
                }
                Piece::End(ended) => {
                    self.input.consume(used);
                    let content = content
                        .and_then(|content| content.finish().map_err(|error| cannot_store(&error)));
                    let transaction = self.transaction.take().ok_or_else(lost_transaction);
                    let telling = match self.shared.core.dialect {
                        Dialect::Smtp => Telling::Whole,
                        Dialect::Lmtp => Telling::Each,
                    };
                    let Finished { replies, aftermath } = match (content, transaction) {
                        (Ok(content), Ok(transaction)) => {
                            let size = content.len();
                            let finished = transaction.finish(content, telling).await;
                            self.shared
                                .meter
                                .message(finished.replies.whole().code, size);
                            finished
                        }
                        (Err(reply), _) | (_, Err(reply)) => {
                            self.shared.meter.message(reply.code, 0);
                            Replies::from(reply).into()
                        }
                    };
                    self.aftermath = aftermath.map(Box::new);
                    return Ok(Some(ended.reply(&replies)));
                }
                Piece::Refused(server) => {
                    self.input.consume(used);
                    // Whatever is wrong with it, it is for good.
                    self.shared.meter.message(554, 0);
                    self.forget();
                    return Ok(Some(server));
                }
            };
        }
    }

    async fn start_tls(mut self) -> io::Result<Self> {
        let TlsUse::StartTls(tls) = &self.shared.tls else {
            return Err(io::Error::other("STARTTLS was not offered"));
        };
        // What came before the handshake must not be taken for something said under TLS.
        self.input.clear();
        let stream = Box::pin(tls.accept(self.stream)).await?;
        let mut session = Session {
            helo: String::new(),
            tls: stream.tls(),
            // RFC 3207 §4.2: what the client said before is not to be relied on, nor what filters made of it.
            authenticated: None,
            tags: self.connected.clone(),
            ..Arc::unwrap_or_clone(self.session)
        };
        session.greet(Hook::Helo, Vec::new());
        Ok(Self {
            stream,
            session: Arc::new(session),
            ..self
        })
    }

    /// Sends what there is, then waits for octets if there are none.
    async fn exchange(&mut self, output: &mut Vec<u8>, waiting: Waiting) -> io::Result<Waited> {
        self.send(output).await?;
        if !self.input.is_empty() {
            return Ok(Waited::Octets);
        }
        let slowest = self.ticket.guard().config().slowest;
        let left = match waiting {
            Waiting::Command => self.shared.idle,
            Waiting::Line => self.command_pace.of_command(slowest),
            Waiting::Message => self.message_pace.of_message(slowest),
        };
        let stop = match waiting {
            Waiting::Command if self.transaction.is_none() => &self.shared.stop,
            _ => &self.shared.last_call,
        };
        let began = Instant::now();
        let read = timeout(
            left.min(self.shared.idle),
            self.input.fill(&mut self.stream),
        );
        let waited = tokio::select! {
            biased;
            read = read => match read {
                Ok(Ok(0)) => Waited::Gone,
                Ok(Ok(count)) => {
                    match waiting {
                        Waiting::Command => {}
                        Waiting::Line => self.command_pace.add(count, began.elapsed()),
                        Waiting::Message => self.message_pace.add(count, began.elapsed()),
                    }
                    Waited::Octets
                }
                Ok(Err(error)) => return Err(error),
                Err(_) if left < self.shared.idle => {
                    self.ticket.offence(Limit::Slow);
                    Waited::Enough(parting((4, 4, 2), &self.shared, "Too slow"))
                }
                Err(_) => Waited::Enough(parting((4, 4, 2), &self.shared, "Nothing heard for too long")),
            },
            () = stop.cancelled() => {
                Waited::Enough(parting((4, 3, 2), &self.shared, "Shutting down; try again soon"))
            }
        };
        Ok(waited)
    }

    /// One write for all replies since the last, however many commands they answer (RFC 2920 §3.2).
    async fn send(&mut self, output: &mut Vec<u8>) -> io::Result<()> {
        if output.is_empty() {
            return Ok(());
        }
        self.shared.meter.replies(output);
        let written = timeout(self.shared.idle, async {
            self.stream.write_all(output).await?;
            self.stream.flush().await
        });
        written
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        output.clear();
        self.aftermath = None;
        // An idle connection keeps no buffer.
        output.shrink_to(0);
        Ok(())
    }

    /// Says the last words.
    async fn close(&mut self, rest: &[u8]) -> io::Result<()> {
        self.send(&mut rest.to_vec()).await?;
        self.stream.shutdown().await?;
        let drain = async {
            loop {
                self.input.clear();
                if !matches!(self.input.fill(&mut self.stream).await, Ok(1..)) {
                    break;
                }
            }
        };
        // Whether the client closed or the time is over, all is said.
        let _ = timeout(LINGER, drain).await;
        Ok(())
    }
}

/// The core asks for recipients and data only within a transaction that was begun, so this is not seen.
fn lost_transaction() -> Reply {
    tracing::error!("a command came without its transaction");
    local_error()
}

fn parting((class, subject, detail): (u8, u16, u16), shared: &Shared, why: &str) -> Reply {
    let text = format!("{} {why}", shared.core.hostname);
    Reply::new(421, EnhancedCode(class, subject, detail), &text)
}
