//! A connection with its input and output: events in, octets out, deadlines and shutdown watched over.
//! Knows no commands.

use crate::net;
use crate::proto::imap::{Event, Expect, Input, Limits, Reply};
use std::io;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Output is collected up to this before it is sent.
const BATCH: usize = 64 * 1024;

/// Before the login: a LOGIN with room to spare.
const BEFORE_LOGIN: Limits = Limits {
    command: 8 * 1024,
    skip: 64 * 1024,
};
/// After it: clients send long sets of UIDs. The least that RFC 7162 §4 asks for is 8192.
const AFTER_LOGIN: Limits = Limits {
    command: 256 * 1024,
    skip: 256 * 1024 * 1024,
};

/// For the client to take the end of a TLS session.
const FAREWELL: Duration = Duration::from_secs(5);

/// Why a session ends.
#[derive(Debug)]
pub(super) enum End {
    /// The client is gone.
    Closed,
    Io(io::Error),
    /// The client is told why.
    Bye(Reply),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

pub(super) struct Connection {
    /// `None` while the handshake runs, and after it failed.
    stream: Option<net::Stream>,
    is_tls: bool,
    peer: net::Peer,
    received: net::Input,
    input: Input,
    output: Vec<u8>,
    /// Octets of output before it.
    sent: u64,
    write_timeout: Duration,
    shutdown: CancellationToken,
}

impl Connection {
    pub fn new(stream: net::Stream, write_timeout: Duration, shutdown: CancellationToken) -> Self {
        Self {
            is_tls: stream.is_tls(),
            peer: stream.peer(),
            stream: Some(stream),
            received: net::Input::new(),
            input: Input::new(BEFORE_LOGIN),
            output: Vec::new(),
            sent: 0,
            write_timeout,
            shutdown,
        }
    }

    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    pub fn peer(&self) -> net::Peer {
        self.peer
    }

    pub fn logged_in(&mut self) {
        self.input.set_limits(AFTER_LOGIN);
    }

    /// Does the handshake. What the client sent before it is dropped: it could have been put there by somebody else
    /// (RFC 3501 §6.2.1).
    pub async fn start_tls(&mut self, tls: &net::Tls) -> Result<(), End> {
        self.flush().await?;
        let stream = self.stream.take().ok_or(End::Closed)?;
        let stream = tls.accept(stream).await?;
        self.is_tls = true;
        self.stream = Some(stream);
        self.received.clear();
        self.input = Input::new(BEFORE_LOGIN);
        Ok(())
    }

    /// What the client sends next. Sends what was written first, if it has to wait.
    pub async fn next(&mut self, expect: Expect, deadline: Instant) -> Result<Event, End> {
        loop {
            if let Some(event) = self.input.next(expect) {
                return Ok(event);
            }
            self.flush().await?;
            self.receive(deadline).await?;
        }
    }

    /// What the client has sent already.
    pub fn ready(&mut self, expect: Expect) -> Option<Event> {
        self.input.next(expect)
    }

    /// Waits for octets. Dropped while it waits, it has lost nothing.
    pub async fn receive(&mut self, deadline: Instant) -> Result<(), End> {
        let Some(stream) = &mut self.stream else {
            return Err(End::Closed);
        };
        let count = tokio::select! {
            biased;
            () = self.shutdown.cancelled() => {
                return Err(End::Bye(Reply::bye("Shutting down").code("UNAVAILABLE")));
            }
            filled = self.received.fill(stream) => filled?,
            () = tokio::time::sleep_until(deadline) => {
                return Err(End::Bye(Reply::bye("Nothing came for too long")));
            }
        };
        if count == 0 {
            return Err(End::Closed);
        }
        self.input.push(self.received.octets());
        self.received.consume(count);
        Ok(())
    }

    /// The message of APPEND may come.
    pub fn accept_message(&mut self) {
        self.input.accept();
    }

    pub fn refuse_message(&mut self) {
        self.input.refuse();
    }

    pub fn write(&mut self, octets: &[u8]) {
        self.output.extend_from_slice(octets);
    }

    /// For those that write piece by piece.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// How many octets were written so far.
    pub fn position(&self) -> u64 {
        self.sent + self.output.len() as u64
    }

    /// Takes back what was written since. False if some of it was sent already.
    pub fn take_back(&mut self, to: u64) -> bool {
        let kept = to.checked_sub(self.sent).map(usize::try_from);
        let Some(Ok(kept)) = kept else {
            return false;
        };
        self.output.truncate(kept);
        true
    }

    pub fn reply(&mut self, tag: Option<&str>, reply: &Reply) {
        reply.write_to(tag, &mut self.output);
    }

    /// A continuation request (RFC 3501 §7.5).
    pub fn request(&mut self, text: &str) {
        self.output.extend_from_slice(b"+ ");
        self.output.extend_from_slice(text.as_bytes());
        self.output.extend_from_slice(b"\r\n");
    }

    /// Sends what was written if it is a good deal.
    pub async fn flush_if_large(&mut self) -> Result<(), End> {
        match self.output.len() >= BATCH {
            true => self.flush().await,
            false => Ok(()),
        }
    }

    pub async fn flush(&mut self) -> Result<(), End> {
        if self.output.is_empty() {
            return Ok(());
        }
        let Some(stream) = &mut self.stream else {
            return Err(End::Closed);
        };
        for batch in self.output.chunks(BATCH) {
            let written = tokio::time::timeout(self.write_timeout, stream.write_all(batch));
            written.await.map_err(|_| End::Closed)??;
        }
        let flushed = tokio::time::timeout(self.write_timeout, stream.flush());
        flushed.await.map_err(|_| End::Closed)??;
        self.sent += self.output.len() as u64;
        self.output.clear();
        // An idle session keeps no large buffer.
        self.output.shrink_to(BATCH / 16);
        Ok(())
    }

    /// Says why, as far as the client still listens.
    pub async fn close(mut self, end: End) {
        if let End::Bye(reply) = &end {
            self.reply(None, reply);
            if self.flush().await.is_err() {
                return;
            }
        }
        if let Some(stream) = &mut self.stream {
            let _ = tokio::time::timeout(FAREWELL, stream.shutdown()).await;
        }
    }
}
