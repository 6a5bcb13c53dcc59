//! One connection to a milter: drives the protocol core over a socket, with deadlines. Doesn't know what is said on it.

use super::Config;
use super::changes::Changes;
use crate::mail::{Failure, FailureKind};
use crate::net::{Endpoint, Input, Stream};
use crate::proto::milter::{
    Client, Command, Frames, Heard, Negotiated, Next, Opening, ProtocolError, Said, Values, Waiting,
};
use std::io;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout, timeout_at};

/// What is written goes out when so many octets are there, or when an answer is due.
const BATCH: usize = 64 * 1024;
/// A milter that says again and again that it is at work is believed for so long: then the client has gone (RFC 5321 §4.5.3.2.6).
const LONGEST: Duration = Duration::from_secs(600);

pub struct Dialogue {
    stream: Stream,
    input: Input,
    frames: Frames,
    output: Vec<u8>,
    /// None once something went wrong, and while an answer is due.
    client: Option<Client>,
    /// A message is open.
    pub within: bool,
}

impl Dialogue {
    pub async fn open(config: &Config) -> Result<Self, Failure> {
        let opening = async {
            let stream = match &config.address {
                Endpoint::Tcp(address) => TcpStream::connect(address).await.and_then(Stream::tcp),
                Endpoint::Unix(path) => UnixStream::connect(path).await.map(Stream::unix),
            };
            let stream = stream.map_err(|error| Failure {
                kind: FailureKind::Host,
                text: format!("cannot connect to {}: {error}", config.address),
            })?;
            let mut dialogue = Self {
                stream,
                input: Input::new(),
                frames: Frames::default(),
                output: Vec::new(),
                client: None,
                within: false,
            };
            dialogue.negotiate().await?;
            Ok(dialogue)
        };
        match timeout(config.connect, opening).await {
            Ok(opened) => opened,
            Err(_) => Err(late("to take a connection", config.connect)),
        }
    }

    async fn negotiate(&mut self) -> Result<(), Failure> {
        let opening = Opening::new(&mut self.output);
        self.stream
            .write_all(&std::mem::take(&mut self.output))
            .await
            .map_err(lost)?;
        loop {
            let octets = self.input.octets();
            if octets.is_empty() {
                self.read().await?;
                continue;
            }
            let (used, packet) = self.frames.next(octets).map_err(lied)?;
            if let Some(packet) = packet {
                self.client = Some(opening.answered(packet).map_err(lied)?);
                self.input.consume(used);
                return self.nothing_more();
            }
            self.input.consume(used);
        }
    }

    /// None once something went wrong.
    pub fn agreed(&self) -> Option<&Negotiated> {
        self.client.as_ref().map(Client::agreed)
    }

    /// Says it and waits for the answer, if one is to come: for so long since it was heard last.
    pub async fn say(
        &mut self,
        command: &Command<'_>,
        values: Values<'_>,
        changes: &mut Changes,
        patience: Duration,
    ) -> Result<Said, Failure> {
        let client = self.client.take().ok_or_else(|| Failure {
            kind: FailureKind::Host,
            text: "the connection has failed".to_owned(),
        })?;
        // The values are not held over the wait.
        let next = client.say(command, values, &mut self.output);
        self.listen(next, changes, patience).await
    }

    async fn listen(
        &mut self,
        next: Next,
        changes: &mut Changes,
        patience: Duration,
    ) -> Result<Said, Failure> {
        let end = Instant::now() + LONGEST.max(patience);
        let mut waiting = match next {
            Next::Client(client) => {
                if self.output.len() >= BATCH {
                    self.send(patience).await?;
                }
                self.client = Some(client);
                return Ok(Said::Continue);
            }
            Next::Filter(waiting) => waiting,
        };
        self.send(patience).await?;
        let mut deadline = Instant::now() + patience;
        loop {
            waiting = match self.hear(waiting, changes)? {
                Ok((client, said)) => {
                    self.client = Some(client);
                    self.nothing_more()?;
                    return Ok(said);
                }
                Err(waiting) => waiting,
            };
            match timeout_at(deadline, self.read()).await {
                Ok(read) => read?,
                Err(_) => return Err(late("to answer", patience)),
            }
            deadline = (Instant::now() + patience).min(end);
        }
    }

    /// Goes through what has been read; back to waiting if the answer is not in it.
    fn hear(
        &mut self,
        mut waiting: Waiting,
        changes: &mut Changes,
    ) -> Result<Result<(Client, Said), Waiting>, Failure> {
        loop {
            let octets = self.input.octets();
            if octets.is_empty() {
                return Ok(Err(waiting));
            }
            let (used, packet) = self.frames.next(octets).map_err(lied)?;
            let Some(packet) = packet else {
                self.input.consume(used);
                continue;
            };
            let heard = match waiting.hear(packet).map_err(lied)? {
                Heard::Answer(client, said) => Ok((client, said)),
                Heard::Progress(waiting) => Err(waiting),
                Heard::Modification(waiting, modification) => {
                    changes.add(modification)?;
                    Err(waiting)
                }
                Heard::Body(waiting, octets) => {
                    changes.body(octets)?;
                    Err(waiting)
                }
            };
            self.input.consume(used);
            match heard {
                Ok(answer) => return Ok(Ok(answer)),
                Err(again) => waiting = again,
            }
        }
    }

    /// What came with an answer and behind it answers nothing.
    fn nothing_more(&self) -> Result<(), Failure> {
        match self.input.is_empty() {
            true => Ok(()),
            false => Err(Failure {
                kind: FailureKind::BadAnswer,
                text: "it said more than it was asked".to_owned(),
            }),
        }
    }

    async fn read(&mut self) -> Result<(), Failure> {
        match self.input.fill(&mut self.stream).await {
            Ok(0) => Err(Failure {
                kind: FailureKind::Host,
                text: "it closed the connection".to_owned(),
            }),
            Ok(_) => Ok(()),
            Err(error) => Err(lost(error)),
        }
    }

    async fn send(&mut self, patience: Duration) -> Result<(), Failure> {
        let output = std::mem::take(&mut self.output);
        match timeout(patience, self.stream.write_all(&output)).await {
            Ok(sent) => sent.map_err(lost),
            Err(_) => Err(late("to take what it was sent", patience)),
        }
    }
}

/// Says farewell, as far as the socket takes it at once.
impl Drop for Dialogue {
    fn drop(&mut self) {
        self.output.clear();
        if self.within {
            Command::Abort.write(&mut self.output);
        }
        Command::Quit.write(&mut self.output);
        if self.client.is_some() {
            let mut context = Context::from_waker(Waker::noop());
            // A milter that doesn't hear it sees the end of the connection.
            let _ = Pin::new(&mut self.stream).poll_write(&mut context, &self.output);
        }
    }
}

fn lied(error: ProtocolError) -> Failure {
    Failure {
        kind: FailureKind::BadAnswer,
        text: error.to_string(),
    }
}

fn lost(error: io::Error) -> Failure {
    Failure {
        kind: FailureKind::Host,
        text: format!("the connection is lost: {error}"),
    }
}

fn late(what: &str, patience: Duration) -> Failure {
    Failure {
        kind: FailureKind::Timeout,
        text: format!("it took longer than {} s {what}", patience.as_secs_f32()),
    }
}
