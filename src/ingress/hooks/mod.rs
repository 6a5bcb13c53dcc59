//! MTA Hooks in: a mail server asks over HTTP what is to become of what its client says, stage by stage. Each question says all that was said
//! before, so each is answered by the hooks up to its stage, and nothing is kept from one to the next.

pub mod asked;
pub mod draft;
mod registry;
pub mod stalwart;

use super::changes::Changes;
use super::facts::Named;
use super::staging::{cannot_store, local_error};
use super::web::{self, Answer, Config, Judged, Refusal, Web, Whole, greet, json};
use crate::accept::{Acceptor, Screen, Screened};
use crate::mail::{EnhancedCode, Envelope, Reply, Session, Verdict};
use crate::net::http::{self, Head};
use crate::net::{Listener, Peer};
use asked::{Asked, Stage, Wrong};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use registry::{DISCOVERY, INVOKE, REGISTER, Registry};
use serde_json::Value;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Where Stalwart asks.
pub const PATH: &str = "/mta-hooks";
/// Octets of a registration.
const REGISTRATION: u64 = 64 << 10;

struct Hooks {
    web: Web,
    registry: Registry,
}

impl AsRef<Web> for Hooks {
    fn as_ref(&self) -> &Web {
        &self.web
    }
}

/// Which of the two asks.
#[derive(Clone, Copy)]
enum Form {
    Stalwart,
    Draft,
}

/// Octets of the largest question: text with its escapes, or base64.
fn largest(size: u64) -> u64 {
    size * 2 + (1 << 20)
}

pub async fn serve(
    listener: Listener,
    config: Config,
    acceptor: Acceptor,
    stop: CancellationToken,
) {
    let largest = largest(config.size);
    let hooks = Arc::new(Hooks {
        web: Web::new(config, acceptor, largest),
        registry: Registry::default(),
    });
    let token = stop.clone();
    web::serve(listener, hooks, stop, move |hooks, stream| {
        let (peer, stop) = (stream.peer(), token.clone());
        let service = service_fn(move |request| {
            let hooks = Arc::clone(&hooks);
            async move {
                let answer = Box::pin(hooks.answer(request, peer)).await;
                Ok::<_, Infallible>(answer.unwrap_or_else(|refusal| refused(&refusal)))
            }
        });
        http::serve(stream, service, Head::default(), stop)
    })
    .await;
}

fn refused(refusal: &Refusal) -> Answer {
    let value = serde_json::json!({
        "error": {"code": refusal.code, "message": refusal.message}
    });
    json(refusal.status, &value)
}

impl Hooks {
    async fn answer(&self, request: Request<Incoming>, peer: Peer) -> Result<Answer, Refusal> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path();
        if (&parts.method, path) == (&Method::GET, DISCOVERY) {
            let offered = registry::discovery(self.web.config.size);
            return Ok(json(StatusCode::OK, &offered));
        }
        self.web.authenticate(&parts.headers, peer)?;
        let now = Timestamp::now();
        let registration = path.strip_prefix(REGISTER);
        match (&parts.method, path, registration) {
            (&Method::POST, PATH, _) => self.ask(Form::Stalwart, body).await,
            (&Method::POST, REGISTER, _) => {
                let held = self.web.body(body, REGISTRATION).await?;
                let answer = self.registry.register(&held.octets, now)?;
                Ok(json(StatusCode::CREATED, &answer))
            }
            (&Method::POST, path, _) if path.starts_with(INVOKE) => {
                let id = path.strip_prefix(INVOKE).unwrap_or_default();
                let named = parts.headers.get("x-mta-hooks-registration");
                if named.is_some_and(|named| named.as_bytes() != id.as_bytes()) {
                    return Err(Refusal::malformed(
                        "X-MTA-Hooks-Registration names another registration than the path",
                    ));
                }
                self.registry.find(id, now)?;
                self.ask(Form::Draft, body).await
            }
            (&Method::GET, _, Some(rest)) => {
                let id = rest.trim_start_matches('/').trim_end_matches("/status");
                let answer = self.registry.find(id, now)?;
                Ok(json(StatusCode::OK, &answer))
            }
            (&Method::DELETE, _, Some(rest)) => {
                let id = rest.trim_start_matches('/');
                let answer = self.registry.remove(id, now)?;
                Ok(json(StatusCode::OK, &answer))
            }
            (_, PATH | REGISTER, _) => Err(Refusal::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "INVALID_REQUEST",
                "questions are asked with POST",
            )),
            _ => Err(Refusal::new(
                StatusCode::NOT_FOUND,
                "INVALID_REQUEST",
                format!("nothing is here; Stalwart's hooks are asked at {PATH}"),
            )),
        }
    }

    async fn ask(&self, form: Form, body: Incoming) -> Result<Answer, Refusal> {
        let config = &self.web.config;
        let held = self.web.body(body, largest(config.size)).await?;
        let parse = match form {
            Form::Stalwart => stalwart::parse,
            Form::Draft => draft::parse,
        };
        let asked = match parse(&held.octets, &config.hostname) {
            Ok(asked) => asked,
            Err(Wrong::Request(refusal)) => return Err(refusal),
            Err(Wrong::Client(reply)) => {
                tracing::info!(%reply, "refused before the message");
                return Ok(form.refuse(&reply));
            }
        };
        let screen = self.web.acceptor.screen();
        if asked.stage == Stage::Data {
            return Ok(self.data(form, &screen, asked).await);
        }
        let Asked {
            stage,
            session,
            envelope,
            recipients,
            ..
        } = asked;
        Ok(
            match early(&screen, stage, session, envelope, recipients).await {
                Ok(()) => form.go_on(),
                Err(reply) => form.refuse(&reply),
            },
        )
    }

    async fn data(&self, form: Form, screen: &Screen, asked: Asked) -> Answer {
        let size = self.web.config.size;
        if asked.message.len() as u64 > size {
            return form.refuse(&Reply::new(
                552,
                EnhancedCode(5, 3, 4),
                &format!("The message is larger than {size} octets"),
            ));
        }
        let mut content = screen.content();
        let staged = content.push(&asked.message);
        let content = match staged.and_then(|()| content.finish()) {
            Ok(content) => content,
            Err(error) => return form.refuse(&cannot_store(&error)),
        };
        let queue_id = asked.queue_id.clone();
        let whole = Whole {
            session: asked.session,
            envelope: asked.envelope,
            recipients: asked.recipients,
            queue_id: asked.queue_id,
        };
        match whole.judge(screen, content).await {
            Judged::Refused(reply) => {
                tracing::info!(queue_id, %reply, "refused before the message");
                form.refuse(&reply)
            }
            Judged::Screened {
                screened,
                given,
                missed,
            } => {
                let answered = form.judged(&screened, &given, missed);
                let (answer, missed) = answered.unwrap_or_else(|error| {
                    tracing::error!(%error, "a message could not be read back");
                    (form.refuse(&local_error()), Vec::new())
                });
                let how = how(&screened, queue_id.as_deref());
                let verdict = screened.verdict.clone();
                self.web
                    .record(screened.record(verdict, &how, missed))
                    .await;
                answer
            }
        }
    }
}

/// A stage at which only a refusal counts. Of several recipients the last one is new.
async fn early(
    screen: &Screen,
    stage: Stage,
    session: Session,
    mut envelope: Envelope,
    mut recipients: Vec<Named>,
) -> Result<(), Reply> {
    if stage == Stage::Connect {
        return screen.connect(&mut Arc::new(session)).await;
    }
    let session = greet(screen, session).await?;
    match stage {
        Stage::Connect | Stage::Ehlo | Stage::Auth => Ok(()),
        Stage::Mail => screen.begin(session, envelope).await.map(drop),
        Stage::Rcpt | Stage::Data => {
            let Some(last) = recipients.pop() else {
                return Ok(());
            };
            let last = last.recipient?;
            let before = recipients.into_iter();
            envelope.recipients = before.filter_map(|one| one.recipient.ok()).collect();
            screen.begin(session, envelope).await?.recipient(last).await
        }
    }
}

fn how(screened: &Screened, queue_id: Option<&str>) -> String {
    let mut how = "passed to the mail server that asked".to_owned();
    if let Some(id) = queue_id {
        how.push_str(&format!(", as {id}"));
    }
    if let Verdict::Quarantine(why) = &screened.verdict {
        how.push_str(&format!(", to be set aside: {why}"));
    }
    how
}

impl Form {
    fn go_on(self) -> Answer {
        match self {
            Self::Stalwart => json(StatusCode::OK, &stalwart::go_on()),
            Self::Draft => nothing(),
        }
    }

    fn refuse(self, reply: &Reply) -> Answer {
        let value = match self {
            Self::Stalwart => stalwart::refuse(reply),
            Self::Draft => draft::refuse(reply),
        };
        json(StatusCode::OK, &value)
    }

    /// The answer, and what it could not say.
    fn judged(
        self,
        screened: &Screened,
        given: &super::changes::Given,
        mut missed: Vec<String>,
    ) -> io::Result<(Answer, Vec<String>)> {
        let answer = match &screened.verdict {
            Verdict::Reject(reply) | Verdict::Tempfail(reply) => self.refuse(reply),
            Verdict::Discard => {
                let value = match self {
                    Self::Stalwart => stalwart::discard(),
                    Self::Draft => draft::discard(),
                };
                json(StatusCode::OK, &value)
            }
            verdict @ (Verdict::Continue | Verdict::Accept | Verdict::Quarantine(_)) => {
                let is_held = matches!(verdict, Verdict::Quarantine(_));
                let changes = Changes::of(screened, given)?;
                let value: Option<Value> = match self {
                    Self::Stalwart => Some(stalwart::change(&changes, is_held, &mut missed)?),
                    Self::Draft => draft::change(&changes, &given.recipients, screened, is_held)?,
                };
                value.map_or_else(nothing, |value| json(StatusCode::OK, &value))
            }
        };
        Ok((answer, missed))
    }
}

fn nothing() -> Answer {
    let mut answer = Response::new(Full::new(Bytes::new()));
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}
