//! Being asked over HTTP: who may ask, how much is held at once, how long it may take, and that a journal is kept.
//! Knows neither what is asked nor how it is answered.

mod secret;
mod whole;

pub use secret::Secret;
pub use whole::{Judged, Whole, greet};

use crate::accept::{Acceptor, Record, Screen};
use crate::ingress::staging::cannot_store;
use crate::mail::{Content, ContentBuilder};
use crate::net::{Limits, Listener, Peer, Quiet, Stream, Tls};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::{HeaderMap, Response, StatusCode};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

pub type Answer = Response<Full<Bytes>>;

/// Journals on their way to the disk. When there are more, who asks waits.
const JOURNALS: u32 = 64;
/// What memory is shared out in.
const KIB: u64 = 1024;

#[derive(Clone)]
pub struct Config {
    /// For a mail server that does not give its name.
    pub hostname: String,
    /// Octets of the largest message.
    pub size: u64,
    /// None: whoever can connect may ask.
    pub secret: Option<Secret>,
    /// None: in the clear.
    pub tls: Option<Tls>,
    /// Time for the body of a request to come.
    pub patience: Duration,
    /// Octets of requests that are held in memory at once, by all connections together; one may always be as large as it may be.
    pub memory: u64,
    /// Time to wait for a share of that.
    pub queueing: Duration,
    /// At once.
    pub connections: usize,
    /// How long requests have to end after the stop.
    pub drain: Duration,
}

impl Default for Config {
    fn default() -> Self {
        let Limits {
            connections, drain, ..
        } = Limits::default();
        Self {
            hostname: "localhost".to_owned(),
            size: 50 << 20,
            secret: None,
            tls: None,
            patience: Duration::from_secs(120),
            memory: 256 << 20,
            queueing: Duration::from_secs(20),
            connections,
            drain,
        }
    }
}

/// What all connections of a listener have in common.
pub struct Web {
    pub config: Config,
    pub acceptor: Acceptor,
    memory: Arc<Semaphore>,
    journals: Arc<Semaphore>,
    /// Of clients without credentials.
    quiet: Quiet<Option<IpAddr>>,
}

/// A request that is not understood, not allowed, or too much.
#[derive(Debug)]
pub struct Refusal {
    pub status: StatusCode,
    /// For programs.
    pub code: &'static str,
    /// For people.
    pub message: String,
}

impl Refusal {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "INVALID_REQUEST", message)
    }

    pub fn too_large(limit: u64) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "REQUEST_TOO_LARGE",
            format!(
                "more than {limit} octets; message-size under [limits] says how large a message may be"
            ),
        )
    }

    fn late() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "REQUEST_TIMEOUT",
            "the request did not come in time",
        )
    }
}

/// A request in memory, as long as it is worked on.
pub struct Held {
    pub octets: Bytes,
    _share: OwnedSemaphorePermit,
}

impl Web {
    pub fn new(config: Config, acceptor: Acceptor, largest: u64) -> Self {
        let shares = config.memory.max(largest).div_ceil(KIB);
        Self {
            memory: Arc::new(Semaphore::new(shares as usize)),
            journals: Arc::new(Semaphore::new(JOURNALS as usize)),
            quiet: Quiet::default(),
            config,
            acceptor,
        }
    }

    pub fn limits(&self) -> Limits {
        Limits {
            connections: self.config.connections,
            refusal:
                "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                    .to_owned(),
            drain: self.config.drain,
        }
    }

    /// With TLS, if there is to be any.
    pub async fn open(&self, stream: Stream) -> Option<Stream> {
        let Some(tls) = &self.config.tls else {
            return Some(stream);
        };
        match tls.accept(stream).await {
            Ok(stream) => Some(stream),
            Err(error) => {
                tracing::debug!(%error, "no TLS");
                None
            }
        }
    }

    /// Before anything else of a request is looked at.
    pub fn authenticate(&self, headers: &HeaderMap, peer: Peer) -> Result<(), Refusal> {
        match &self.config.secret {
            Some(secret) if !secret.is_in(headers) => {
                if self.quiet.is_over_for(peer) {
                    tracing::info!(%peer, "turned away: no or wrong credentials");
                }
                Err(Refusal::new(
                    StatusCode::UNAUTHORIZED,
                    "INVALID_CREDENTIALS",
                    "Basic or Bearer credentials with the listener's secret are needed",
                ))
            }
            _ => Ok(()),
        }
    }

    /// The body in memory. Who says how large it is gets no more than that of what there is for all.
    pub async fn body(&self, body: Incoming, limit: u64) -> Result<Held, Refusal> {
        let hint = body.size_hint();
        if hint.lower() > limit {
            return Err(Refusal::too_large(limit));
        }
        let most = hint.upper().unwrap_or(limit).min(limit);
        let shares = u32::try_from(most.div_ceil(KIB)).unwrap_or(u32::MAX);
        let share = Arc::clone(&self.memory).acquire_many_owned(shares);
        let share = match timeout(self.config.queueing, share).await {
            Ok(Ok(share)) => share,
            Ok(Err(_)) | Err(_) => {
                return Err(Refusal::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "SCANNER_UNAVAILABLE",
                    "too much at once; try again later",
                ));
            }
        };
        let limited = Limited::new(body, usize::try_from(limit).unwrap_or(usize::MAX));
        match timeout(self.config.patience, limited.collect()).await {
            Err(_) => Err(Refusal::late()),
            Ok(Ok(octets)) => Ok(Held {
                octets: octets.to_bytes(),
                _share: share,
            }),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::too_large(limit)),
            Ok(Err(error)) => Err(Refusal::malformed(format!(
                "the request is cut off: {error}"
            ))),
        }
    }

    /// A body that is a message, staged as it comes.
    pub async fn message(&self, screen: &Screen, mut body: Incoming) -> Result<Content, Refusal> {
        if body.size_hint().lower() > self.config.size {
            return Err(Refusal::too_large(self.config.size));
        }
        let staging = async {
            let mut lines = Lines::new(screen, self.config.size);
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| {
                    Refusal::malformed(format!("the message is cut off: {error}"))
                })?;
                if let Some(octets) = frame.data_ref() {
                    lines.push(octets)?;
                }
            }
            lines.finish()
        };
        timeout(self.config.patience, staging)
            .await
            .unwrap_or_else(|_| Err(Refusal::late()))
    }

    /// Stores a journal while the answer goes out.
    pub async fn record(&self, record: Record) {
        // The semaphore is never closed.
        let place = Arc::clone(&self.journals).acquire_owned().await;
        tokio::spawn(async move {
            record.store().await;
            drop(place);
        });
    }

    /// All journals are stored.
    pub async fn recorded(&self) {
        drop(self.journals.acquire_many(JOURNALS).await);
    }
}

/// A message on its way in. Lines that end with LF end with CRLF here: programs take messages from files.
pub struct Lines {
    content: ContentBuilder,
    size: u64,
    last: u8,
}

impl Lines {
    pub fn new(screen: &Screen, size: u64) -> Self {
        Self {
            content: screen.content(),
            size,
            last: 0,
        }
    }

    pub fn push(&mut self, octets: &[u8]) -> Result<(), Refusal> {
        let mut lines = Vec::with_capacity(octets.len() + octets.len() / 16);
        for octet in octets {
            if *octet == b'\n' && self.last != b'\r' {
                lines.push(b'\r');
            }
            lines.push(*octet);
            self.last = *octet;
        }
        if self.content.len() + lines.len() as u64 > self.size {
            return Err(Refusal::too_large(self.size));
        }
        self.content.push(&lines).map_err(|error| no_room(&error))
    }

    pub fn finish(self) -> Result<Content, Refusal> {
        self.content.finish().map_err(|error| no_room(&error))
    }
}

fn no_room(error: &std::io::Error) -> Refusal {
    let reply = cannot_store(error);
    Refusal::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "SCANNER_UNAVAILABLE",
        reply.to_string(),
    )
}

/// Serves until `stop`, then lets requests and journals end.
pub async fn serve<W, F>(
    listener: Listener,
    web: Arc<W>,
    stop: tokio_util::sync::CancellationToken,
    converse: impl Fn(Arc<W>, Stream) -> F + Send + Sync + 'static,
) where
    W: AsRef<Web> + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let limits = (*web).as_ref().limits();
    let converse = Arc::new(converse);
    let shared = Arc::clone(&web);
    listener
        .serve(limits, stop, move |stream| {
            let (web, converse) = (Arc::clone(&shared), Arc::clone(&converse));
            async move {
                if let Some(stream) = (*web).as_ref().open(stream).await {
                    converse(web, stream).await;
                }
            }
        })
        .await;
    (*web).as_ref().recorded().await;
}

pub fn json(status: StatusCode, value: &serde_json::Value) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(value.to_string())));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if status == StatusCode::UNAUTHORIZED {
        let ways = "Basic realm=\"wasmilter\", Bearer";
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(ways));
    }
    answer
}
