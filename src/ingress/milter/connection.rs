//! One connection of a mail server: session after session, message after message.

use super::Shared;
use super::facts;
use super::modifications::Modifications;
use super::wants::{is_enough, wants};
use crate::accept::{Record, Screen, Screened, Screening};
use crate::ingress::changes::{Given, Written};
use crate::ingress::facts::{Named, bad_address, is_queue_id};
use crate::ingress::staging::{cannot_store, local_error};
use crate::mail::{Address, Content, ContentBuilder, EnhancedCode, Reply, Session, Verdict};
use crate::net::{Input, Stream};
use crate::proto::milter::{
    Actions, Answer, Connect, Event, Frames, Modification, Offer, Path, ProtocolError, Server,
    Steps,
};
use std::io;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, interval_at, timeout};

/// Octets of a new body that are held before they are sent.
const BATCH: usize = 256 * 1024;

/// Journals of one connection that may be on their way to the disk when its next message ends.
const RECORDING_MAX: usize = 100;

pub struct Connection {
    shared: Arc<Shared>,
    stream: Stream,
    input: Input,
    frames: Frames,
    server: Server,
    /// What the mail server offered, once it has.
    offer: Option<Offer>,
    /// The filters in force.
    screen: Screen,
    connect: Option<Connect>,
    helo: String,
    session: Arc<Session>,
    /// Boxed: most connections have none most of the time.
    open: Option<Box<Open>>,
    /// A refusal at MAIL or RCPT that the mail server did not want to hear when it was due.
    withheld: Option<Reply>,
    /// Journals of the last messages, on their way to the disk.
    recording: JoinSet<()>,
}

/// A message on its way in.
struct Open {
    screening: Screening,
    given: Given,
    content: Result<ContentBuilder, Reply>,
    is_body: bool,
}

/// What is left to do for an event once its octets are used.
enum Task {
    Negotiate(Offer),
    Connect(Connect),
    Helo(String),
    Mail(Path),
    Rcpt(Path),
    End,
    Forget,
    NewSession,
    Quit,
    Nothing,
}

impl Connection {
    pub fn new(shared: Arc<Shared>, stream: Stream) -> Self {
        let screen = shared.acceptor.screen();
        Self {
            shared,
            stream,
            input: Input::new(),
            frames: Frames::default(),
            server: Server::new(),
            offer: None,
            screen,
            connect: None,
            helo: String::new(),
            session: Arc::default(),
            open: None,
            withheld: None,
            recording: JoinSet::new(),
        }
    }

    pub async fn run(mut self) -> io::Result<()> {
        let ended = self.converse().await;
        self.recorded(0).await;
        ended
    }

    async fn converse(&mut self) -> io::Result<()> {
        loop {
            match self.step().map_err(io::Error::other)? {
                None => {
                    self.send().await?;
                    if !self.wait().await? {
                        return Ok(());
                    }
                }
                Some(Task::Nothing) => {}
                Some(Task::Negotiate(offer)) => self.negotiate(offer)?,
                Some(Task::Connect(connect)) => self.connect(connect).await,
                Some(Task::Helo(name)) => self.helo(name).await,
                Some(Task::Mail(path)) => self.mail(&path).await,
                Some(Task::Rcpt(path)) => self.rcpt(&path).await,
                Some(Task::End) => Box::pin(self.end()).await?,
                Some(Task::Forget) => self.forget(),
                Some(Task::NewSession) => {
                    self.forget();
                    self.connect = None;
                    self.helo.clear();
                }
                Some(Task::Quit) => return self.send().await,
            }
        }
    }

    /// Goes on with what has been read; none where that does not end a packet.
    fn step(&mut self) -> Result<Option<Task>, ProtocolError> {
        let octets = self.input.octets();
        if octets.is_empty() {
            return Ok(None);
        }
        let (used, packet) = self.frames.next(octets)?;
        let task = match packet {
            None => None,
            Some(packet) => {
                let event = self.server.handle(packet)?;
                let space = self
                    .server
                    .negotiated()
                    .steps
                    .contains(Steps::LEADING_SPACE);
                let size = self.shared.config.size;
                let open = self.open.as_deref_mut();
                Some(match event {
                    Event::Header { name, value } => {
                        if let Some(open) = open {
                            open.field(name, value, space, size);
                        }
                        Task::Nothing
                    }
                    Event::Body(octets) => {
                        if let Some(open) = open {
                            open.body(octets, size);
                        }
                        self.take_body();
                        Task::Nothing
                    }
                    Event::End(octets) => {
                        if let Some(open) = open {
                            open.body(octets, size);
                        }
                        Task::End
                    }
                    Event::Negotiate(offer) => Task::Negotiate(offer),
                    Event::Connect(connect) => Task::Connect(connect),
                    Event::Helo(name) => Task::Helo(name),
                    Event::Mail(path) => Task::Mail(path),
                    Event::Rcpt(path) => Task::Rcpt(path),
                    Event::Abort => Task::Forget,
                    Event::NewSession => Task::NewSession,
                    Event::Quit => Task::Quit,
                    Event::Nothing => Task::Nothing,
                })
            }
        };
        self.input.consume(used);
        Ok(task.or(Some(Task::Nothing)))
    }

    /// One that could not leave out the body is told with the first piece that nobody reads it.
    fn take_body(&mut self) {
        let may_skip = self.server.negotiated().steps.contains(Steps::SKIP);
        let answer = if may_skip && !self.screen.uses().body {
            Answer::Skip
        } else {
            Answer::Continue
        };
        self.server.answer(answer);
    }

    fn negotiate(&mut self, offer: Offer) -> io::Result<()> {
        self.screen = self.shared.acceptor.screen();
        let wants = wants(&self.screen);
        self.server
            .negotiate(&offer, &wants)
            .map_err(io::Error::other)?;
        self.offer = Some(offer);
        Ok(())
    }

    /// The filters in force, unless they want to see more than the mail server was asked for: then those that it was asked for.
    fn refresh(&mut self) {
        let now = self.shared.acceptor.screen();
        if now.generation() == self.screen.generation() {
            return;
        }
        let is_enough = self
            .offer
            .is_some_and(|offer| is_enough(self.server.negotiated(), &offer, &wants(&now)));
        if is_enough {
            self.screen = now;
        }
    }

    fn facts(&mut self) {
        let session = facts::session(
            self.server.macros(),
            self.connect.as_ref(),
            &self.helo,
            &self.shared.config.hostname,
        );
        // What filters did at `connect` and `helo` stays.
        let Session { tags, greeted, .. } = Session::clone(&self.session);
        self.session = Arc::new(Session {
            tags,
            greeted,
            ..session
        });
    }

    async fn connect(&mut self, connect: Connect) {
        self.connect = Some(connect);
        self.session = Arc::default();
        self.refresh();
        self.facts();
        let asked = self.screen.connect(&mut self.session).await;
        self.answer(asked);
    }

    async fn helo(&mut self, name: String) {
        self.helo = name;
        self.facts();
        let asked = self.screen.helo(&mut self.session).await;
        self.answer(asked);
    }

    fn forget(&mut self) {
        (self.open, self.withheld) = (None, None);
    }

    async fn mail(&mut self, path: &Path) {
        self.forget();
        self.refresh();
        self.facts();
        let begun = match facts::envelope(path, &self.session.server_name) {
            Ok(envelope) => {
                let given = envelope.clone();
                let session = Arc::clone(&self.session);
                let begun = Box::pin(self.screen.begin(session, envelope)).await;
                begun.map(|screening| (screening, given))
            }
            Err(error) => {
                let reply = bad_address(&path.given, EnhancedCode(5, 1, 7), &error);
                tracing::info!(%reply, "refused at MAIL");
                Err(reply)
            }
        };
        let asked = begun.map(|(screening, envelope)| {
            self.open = Some(Box::new(Open {
                content: Ok(screening.content()),
                screening,
                given: Given {
                    envelope,
                    recipients: Vec::new(),
                },
                is_body: false,
            }));
        });
        self.withheld = self.answer(asked);
    }

    async fn rcpt(&mut self, path: &Path) {
        let Some(open) = &mut self.open else {
            // What was refused at MAIL, and goes on all the same.
            let why = self.withheld.clone().unwrap_or_else(local_error);
            self.answer(Err(why));
            return;
        };
        let Named { recipient, written } = facts::recipient(path, &self.session.server_name);
        match recipient {
            Ok(recipient) => {
                let address = recipient.address.clone();
                let asked = Box::pin(open.screening.recipient(recipient)).await;
                if asked.is_ok() {
                    open.named(Ok(address), written);
                }
                let unheard = self.answer(asked);
                self.withheld = self.withheld.take().or(unheard);
            }
            Err(reply) => {
                let unheard = self.answer(Err(reply.clone()));
                tracing::warn!(%reply, is_heard = unheard.is_none(), "filters are not told of a recipient");
                // The mail server has it, and so it stays: the others are not to suffer for it.
                if let (Some(reply), Some(open)) = (unheard, &mut self.open) {
                    open.named(Err(reply), written);
                }
            }
        }
    }

    /// The refusal, if nobody waits for it.
    fn answer(&mut self, asked: Result<(), Reply>) -> Option<Reply> {
        match asked {
            Ok(()) => {
                self.server.answer(Answer::Continue);
                None
            }
            Err(reply) => {
                let is_heard = self.server.answer(Answer::Refuse(&reply));
                Some(reply).filter(|_| !is_heard)
            }
        }
    }

    /// The message is all there.
    async fn end(&mut self) -> io::Result<()> {
        self.recorded(RECORDING_MAX).await;
        let queue_id = self.server.macros().get("i").filter(|id| is_queue_id(id));
        let queue_id = queue_id.map(str::to_owned);
        let refusal = match self.message() {
            Ok((screening, content, given)) => {
                let id = queue_id.clone();
                let screened = self.judge(screening, content, id).await?;
                let record = self.settle(screened, &given, queue_id).await?;
                self.server.end_message();
                self.send().await?;
                self.recording.spawn(record.store());
                return Ok(());
            }
            Err(reply) => reply,
        };
        self.server.answer(Answer::Refuse(&refusal));
        self.server.end_message();
        Ok(())
    }

    /// All of it, if it can be judged.
    fn message(&mut self) -> Result<(Screening, Content, Given), Reply> {
        let open = match (self.open.take(), self.withheld.take()) {
            (Some(open), None) => open,
            (_, Some(reply)) => return Err(reply),
            // What was refused at MAIL, and comes all the same.
            (None, None) => return Err(local_error()),
        };
        let mut named = open.given.recipients.iter();
        if let Some(first) = named.next()
            && let Err(reply) = &first.address
            && named.all(|one| one.address.is_err())
        {
            return Err(reply.clone());
        }
        let content = open.content?.finish();
        let content = content.map_err(|error| cannot_store(&error))?;
        Ok((open.screening, content, open.given))
    }

    /// The chain. While it is at work the mail server hears that it is.
    async fn judge(
        &mut self,
        screening: Screening,
        content: Content,
        queue_id: Option<String>,
    ) -> io::Result<Screened> {
        self.send().await?;
        let every = self.shared.config.progress;
        let mut ticks = interval_at(Instant::now() + every, every);
        let mut judging = Box::pin(screening.finish(content, queue_id));
        loop {
            tokio::select! {
                biased;
                screened = &mut judging => return Ok(screened),
                _ = ticks.tick() => {
                    self.server.progress();
                    self.send().await?;
                }
            }
        }
    }

    /// Says what is to become of the message; the journal of it.
    async fn settle(
        &mut self,
        screened: Screened,
        given: &Given,
        queue_id: Option<String>,
    ) -> io::Result<Record> {
        let mut verdict = screened.verdict.clone();
        let negotiated = *self.server.negotiated();
        if let Verdict::Quarantine(_) = &verdict
            && !negotiated.actions.contains(Actions::QUARANTINE)
        {
            verdict = Verdict::Tempfail(Reply::new(
                451,
                EnhancedCode(4, 7, 1),
                "The message has to be set aside, which this mail server cannot do; please try again later",
            ));
        }
        let mut missed = given.untold();
        let mut how = "passed to the mail server that asked".to_owned();
        if let Some(id) = &queue_id {
            how.push_str(&format!(", as {id}"));
        }
        match &verdict {
            Verdict::Reject(reply) | Verdict::Tempfail(reply) => {
                self.server.answer(Answer::Refuse(reply));
            }
            Verdict::Discard => {
                self.server.answer(Answer::Discard);
            }
            Verdict::Continue | Verdict::Accept | Verdict::Quarantine(_) => {
                let changes = Modifications::new(&screened, given, &negotiated)?;
                missed.extend(changes.missed);
                for modification in &changes.list {
                    self.server.modify(modification);
                }
                if let Some((message, start)) = changes.body {
                    self.replace_body(&message, start).await?;
                }
                if let Verdict::Quarantine(why) = &verdict {
                    self.server.modify(&Modification::Quarantine {
                        reason: why.clone(),
                    });
                    how.push_str(&format!(", to be held: {why}"));
                }
                self.server.answer(Answer::Continue);
            }
        }
        Ok(screened.record(verdict, &how, missed))
    }

    async fn replace_body(&mut self, message: &Content, start: u64) -> io::Result<()> {
        let mut at = start;
        if at >= message.len() {
            self.server.empty_body();
        }
        while at < message.len() {
            let octets = message.read(at, BATCH)?;
            at += octets.len() as u64;
            self.server.replace_body(&octets);
            if self.server.output().len() >= BATCH {
                self.send().await?;
            }
        }
        Ok(())
    }

    /// Waits for octets; false if there will be none.
    async fn wait(&mut self) -> io::Result<bool> {
        let config = &self.shared.config;
        let patience = if self.frames.is_within() {
            config.stall
        } else {
            config.idle
        };
        let is_idle = self.server.is_idle() && !self.frames.is_within();
        let read = timeout(patience, self.input.fill(&mut self.stream));
        tokio::select! {
            biased;
            read = read => match read {
                Ok(Ok(count)) => Ok(count > 0),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "nothing heard for too long")),
            },
            () = self.shared.stop.cancelled(), if is_idle => Ok(false),
        }
    }

    /// One write for all there is to say.
    async fn send(&mut self) -> io::Result<()> {
        let output = self.server.output();
        if output.is_empty() {
            return Ok(());
        }
        let written = timeout(self.shared.config.stall, async {
            self.stream.write_all(output).await?;
            self.stream.flush().await
        });
        written
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?;
        output.clear();
        // An idle connection keeps no buffer.
        output.shrink_to(0);
        Ok(())
    }

    /// Waits until no more than this many journals are on their way.
    async fn recorded(&mut self, most: usize) {
        while let Some(joined) = self.recording.try_join_next() {
            told(joined);
        }
        while self.recording.len() > most
            && let Some(joined) = self.recording.join_next().await
        {
            told(joined);
        }
    }
}

fn told(joined: Result<(), JoinError>) {
    if let Err(error) = joined {
        tracing::error!(%error, "storing a journal failed");
    }
}

impl Open {
    fn named(&mut self, address: Result<Address, Reply>, text: String) {
        self.given.recipients.push(Written { address, text });
    }

    /// As it stood in the message: lines come without CR.
    fn field(&mut self, name: &[u8], value: &[u8], leading_space: bool, size: u64) {
        let mut field = Vec::with_capacity(name.len() + value.len() + 8);
        field.extend_from_slice(name);
        field.push(b':');
        if !leading_space {
            field.push(b' ');
        }
        for octet in value {
            if *octet == b'\n' && field.last() != Some(&b'\r') {
                field.push(b'\r');
            }
            field.push(*octet);
        }
        field.extend_from_slice(b"\r\n");
        self.push(&field, size);
    }

    fn body(&mut self, octets: &[u8], size: u64) {
        if !std::mem::replace(&mut self.is_body, true) {
            self.push(b"\r\n", size);
        }
        self.push(octets, size);
    }

    /// A message that cannot be kept is read to its end all the same; what was kept of it is let go.
    fn push(&mut self, octets: &[u8], size: u64) {
        let Ok(builder) = &mut self.content else {
            return;
        };
        if builder.len() + octets.len() as u64 > size {
            self.content = Err(Reply::new(
                552,
                EnhancedCode(5, 3, 4),
                &format!("The message is larger than {size} octets"),
            ));
        } else if let Err(error) = builder.push(octets) {
            self.content = Err(cannot_store(&error));
        }
    }
}
