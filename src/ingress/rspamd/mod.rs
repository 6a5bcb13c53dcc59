//! Rspamd's scan protocol in: programs made for it get symbols, score and action from the filters here. `POST /checkv2`, and the protocol before
//! HTTP on the same listener. Takes messages one by one; knows no stages, and learns nothing.

pub mod asked;
mod reply;
pub mod rspamc;

pub use reply::Action;

use super::web::{self, Answer, Config, Judged, Lines, Refusal, Web, json};
use crate::accept::Acceptor;
use crate::mail::{Content, Verdict};
use crate::net::http::{self, Head};
use crate::net::{Listener, Peer, Stream};
use bytes::{Bytes, BytesMut};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use reply::Reply;
use serde_json::Value;
use std::convert::Infallible;
use std::io::{self, Cursor};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Time for a client to begin its request.
const BEGINNING: Duration = Duration::from_secs(30);

/// Of a request, in either protocol: all recipients stand in it, and who asks cannot ask for some of them.
const HEAD: Head = Head {
    fields: 10_000,
    octets: 1 << 20,
};

struct Scanner {
    web: Web,
}

impl AsRef<Web> for Scanner {
    fn as_ref(&self) -> &Web {
        &self.web
    }
}

pub async fn serve(
    listener: Listener,
    config: Config,
    acceptor: Acceptor,
    stop: CancellationToken,
) {
    // Messages are staged, not held.
    let scanner = Arc::new(Scanner {
        web: Web::new(config, acceptor, 0),
    });
    let token = stop.clone();
    web::serve(listener, scanner, stop, move |scanner, stream| {
        let stop = token.clone();
        async move {
            let peer = stream.peer();
            if let Err(error) = scanner.converse(stream, stop).await {
                tracing::info!(%peer, %error, "a request is ended");
            }
        }
    })
    .await;
}

fn refused(refusal: &Refusal) -> Answer {
    let value = serde_json::json!({"error": refusal.message});
    json(refusal.status, &value)
}

impl Scanner {
    /// The first octets say which of the two protocols it is.
    async fn converse(
        self: Arc<Self>,
        mut stream: Stream,
        stop: CancellationToken,
    ) -> io::Result<()> {
        let peer = stream.peer();
        let mut first = BytesMut::new();
        while rspamc::START.starts_with(&first) && first.len() < rspamc::START.len() {
            let read = tokio::select! {
                read = timeout(BEGINNING, stream.read_buf(&mut first)) => read,
                () = stop.cancelled(), if first.is_empty() => return Ok(()),
            };
            match read {
                Ok(Ok(0)) => return Ok(()),
                Ok(read) => drop(read?),
                Err(_) if first.is_empty() => return Ok(()),
                Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
        if first.starts_with(rspamc::START) {
            return Box::pin(self.check(stream, first)).await;
        }
        let (read, write) = tokio::io::split(stream);
        let stream = tokio::io::join(Cursor::new(first).chain(read), write);
        let service = service_fn(move |request| {
            let scanner = Arc::clone(&self);
            async move {
                let answer = Box::pin(scanner.answer(request, peer)).await;
                Ok::<_, Infallible>(answer.unwrap_or_else(|refusal| refused(&refusal)))
            }
        });
        http::serve(stream, service, HEAD, stop).await;
        Ok(())
    }

    async fn answer(&self, request: Request<Incoming>, peer: Peer) -> Result<Answer, Refusal> {
        let started = Instant::now();
        let (parts, body) = request.into_parts();
        match (&parts.method, parts.uri.path()) {
            (&Method::GET | &Method::HEAD, "/ping") => {
                return Ok(Response::new(Full::new(Bytes::from_static(b"pong\r\n"))));
            }
            (&Method::POST, "/checkv2") => {}
            (_, "/checkv2") => {
                return Err(Refusal::new(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "INVALID_REQUEST",
                    "messages come with POST",
                ));
            }
            _ => {
                return Err(Refusal::new(
                    StatusCode::NOT_FOUND,
                    "INVALID_REQUEST",
                    "of rspamd's protocol there is POST /checkv2 and GET /ping here",
                ));
            }
        }
        self.web.authenticate(&parts.headers, peer)?;
        let screen = self.web.acceptor.screen();
        let content = self.web.message(&screen, body).await?;
        let reply = self.scan(&parts.headers, content).await?;
        let value: Value = reply.json(started.elapsed());
        Ok(json(StatusCode::OK, &value))
    }

    async fn scan(&self, headers: &HeaderMap, content: Content) -> Result<Reply, Refusal> {
        if content.is_empty() {
            return Err(Refusal::malformed("there is no message in the request"));
        }
        let understood = asked::understand(headers, &self.web.config.hostname)?;
        let screen = self.web.acceptor.screen();
        let policy = screen.policy();
        let (judged, queue_id) = match understood {
            Ok(whole) => {
                let queue_id = whole.queue_id.clone();
                (whole.judge(&screen, content).await, queue_id)
            }
            Err(reply) => (Judged::Refused(reply), None),
        };
        match judged {
            Judged::Refused(reply) => {
                tracing::info!(queue_id, %reply, "refused before the message");
                let verdict = if reply.is_temporary() {
                    Verdict::Tempfail(reply)
                } else {
                    Verdict::Reject(reply)
                };
                Ok(Reply::refused(&verdict, policy))
            }
            Judged::Screened {
                screened,
                given,
                mut missed,
            } => {
                let reply = Reply::judged(&screened, &given, policy, &mut missed);
                let reply = reply.map_err(|error| {
                    tracing::error!(%error, "a message could not be read back");
                    Refusal::new(
                        StatusCode::SERVICE_UNAVAILABLE,
                        "SCANNER_UNAVAILABLE",
                        "the message could not be read back; try again later",
                    )
                })?;
                let mut how = format!("told to a client of rspamd: {}", reply.action.name());
                if let Some(id) = queue_id {
                    how.push_str(&format!(", for {id}"));
                }
                let verdict = screened.verdict.clone();
                self.web
                    .record(screened.record(verdict, &how, missed))
                    .await;
                Ok(reply)
            }
        }
    }

    /// The protocol before HTTP: one request, one reply, the end.
    async fn check(&self, mut stream: Stream, first: BytesMut) -> io::Result<()> {
        let text = match self.checked(&mut stream, first).await {
            Ok(reply) => reply.lines(),
            // Clients take nothing but EX_OK for an answer; the text is for people.
            Err(refusal) => format!("RSPAMD/1.3 76 {}\r\n", refusal.message),
        };
        let patience = self.web.config.patience;
        let written = timeout(patience, async {
            stream.write_all(text.as_bytes()).await?;
            stream.shutdown().await
        });
        written
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn checked(&self, stream: &mut Stream, mut first: BytesMut) -> Result<Reply, Refusal> {
        let cut_off =
            |error: io::Error| Refusal::malformed(format!("the request is cut off: {error}"));
        let config = &self.web.config;
        let peer = stream.peer();
        let reading = async {
            let end = loop {
                if let Some(end) = rspamc::end(&first) {
                    break end;
                }
                if first.len() > HEAD.octets {
                    return Err(Refusal::malformed("the header of the request has no end"));
                }
                if stream.read_buf(&mut first).await.map_err(cut_off)? == 0 {
                    return Err(cut_off(io::ErrorKind::UnexpectedEof.into()));
                }
            };
            let head = first.split_to(end);
            let head = rspamc::parse(&head).map_err(Refusal::malformed)?;
            self.web.authenticate(&head.headers, peer)?;
            if head.length > config.size {
                return Err(Refusal::too_large(config.size));
            }
            let mut lines = Lines::new(&self.web.acceptor.screen(), config.size);
            let mut left = head.length;
            let mut piece = first;
            loop {
                let count = (piece.len() as u64).min(left);
                lines.push(piece.get(..count as usize).unwrap_or_default())?;
                left -= count;
                if left == 0 {
                    break;
                }
                piece.clear();
                piece.reserve(64 << 10);
                if stream.read_buf(&mut piece).await.map_err(cut_off)? == 0 {
                    return Err(cut_off(io::ErrorKind::UnexpectedEof.into()));
                }
            }
            Ok((head.headers, lines.finish()?))
        };
        let (headers, content) = timeout(config.patience, reading)
            .await
            .map_err(|_| Refusal::malformed("the request did not come in time"))??;
        self.scan(&headers, content).await
    }
}
