//! One session from greeting to end: its state (RFC 3501 §3), its input step by step, and news of the selected mailbox.
//! Which command is for whom is in `dispatch`.

use super::connection::{Connection, End};
use super::selected::{Expunges, Selected};
use super::{Config, Mailboxes, append, capability, dispatch};
use crate::mail;
use crate::net::guard::{Limit, Ticket};
use crate::net::{Stream, Tls};
use crate::proto::imap::{Event, Expect, Invalid, Reply, Status};
use crate::store::{AccountId, Store, StoreError};
use imap_types::command::{Command, CommandBody};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Time to tell a client that it is turned away.
const REFUSAL: Duration = Duration::from_secs(1);

/// What commands work with.
pub(super) struct Context<'a> {
    pub mailboxes: &'a Mailboxes,
    pub connection: Connection,
    pub ticket: Ticket,
    tls: Option<&'a Tls>,
    started: Instant,
}

impl Context<'_> {
    pub fn store(&self) -> &dyn Store {
        self.mailboxes.store.as_ref()
    }

    pub fn config(&self) -> &Config {
        &self.mailboxes.config
    }

    fn count(&self, command: &'static str, status: Status) {
        let result = match status {
            Status::Ok => "ok",
            Status::No => "no",
            Status::Bad => "bad",
            Status::Bye => "bye",
        };
        self.mailboxes.meter.command(command, result);
    }

    pub fn offers_starttls(&self) -> bool {
        self.tls.is_some() && !self.connection.is_tls()
    }

    /// Passwords don't go over the wire in the clear, unless the operator says so.
    pub fn allows_login(&self) -> bool {
        self.connection.is_tls() || self.config().allow_plaintext_auth
    }

    /// When a client that is logged in has to have said something.
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.config().idle_timeout
    }

    /// When a client has to be logged in.
    pub fn login_deadline(&self) -> Instant {
        self.started + self.config().login_timeout
    }
}

/// Who is logged in.
#[derive(Debug)]
pub(super) struct User {
    pub account: AccountId,
    /// As the account has it.
    pub login: String,
    pub changes: watch::Receiver<u64>,
}

/// RFC 3501 §3
#[derive(Debug)]
pub(super) enum State {
    NotAuthenticated { failed_logins: u32 },
    Authenticated(User),
    Selected(User, Box<Selected>),
    Logout,
}

impl State {
    pub fn is_authenticated(&self) -> bool {
        matches!(self, Self::Authenticated(_) | Self::Selected(..))
    }
}

pub(super) async fn run(
    mailboxes: &Mailboxes,
    stream: Stream,
    ticket: Ticket,
    tls: Option<&Tls>,
    shutdown: CancellationToken,
) {
    let write_timeout = mailboxes.config.write_timeout;
    let mut context = Context {
        mailboxes,
        connection: Connection::new(stream, write_timeout, shutdown),
        ticket,
        tls,
        started: Instant::now(),
    };
    let capabilities = capability::list(&context, false);
    let greeting = Reply::ok(format!("{} is ready", context.config().hostname))
        .code(format!("CAPABILITY {capabilities}"));
    context.connection.reply(None, &greeting);
    let end = commands(&mut context).await;
    if let End::Io(error) = &end {
        tracing::debug!(peer = %context.connection.peer(), %error, "imap");
    }
    context.connection.close(end).await;
}

async fn commands(context: &mut Context<'_>) -> End {
    let mut state = State::NotAuthenticated { failed_logins: 0 };
    let mut bad_commands = 0;
    loop {
        let step = match step(context, state).await {
            Ok(step) => step,
            Err(end) => return end,
        };
        bad_commands = if step.bad { bad_commands + 1 } else { 0 };
        if bad_commands >= Config::BAD_COMMANDS_MAX {
            context.ticket.offence(Limit::Errors);
            return End::Bye(Reply::bye("Too many commands that make no sense"));
        }
        if let State::Logout = step.state {
            return match context.connection.flush().await {
                Ok(()) => End::Closed,
                Err(end) => end,
            };
        }
        if step.bad {
            Box::pin(context.ticket.tarpit(bad_commands - 1, bad_commands)).await;
        }
        state = step.state;
    }
}

/// Tells a client that it may not come in.
pub(super) async fn turn_away(stream: &mut Stream, reply: &mail::Reply) {
    let text = reply.lines.first().map(|line| line.as_str().to_owned());
    let mut output = Vec::new();
    let bye = Reply::bye(text.unwrap_or_default()).code("UNAVAILABLE");
    bye.write_to(None, &mut output);
    // The client may be gone or not reading; either way it was told what could be told.
    let _ = tokio::time::timeout(REFUSAL, async {
        stream.write_all(&output).await?;
        stream.shutdown().await
    })
    .await;
}

struct Step {
    state: State,
    /// The command made no sense.
    bad: bool,
}

async fn step(context: &mut Context<'_>, state: State) -> Result<Step, End> {
    let deadline = match state.is_authenticated() {
        true => context.deadline(),
        false => context.login_deadline(),
    };
    match context.connection.next(Expect::Command, deadline).await? {
        Event::Command(command) => {
            let Command { tag, body } = *command;
            let tag = tag.as_ref();
            if let (State::NotAuthenticated { .. }, CommandBody::StartTLS) = (&state, &body) {
                let bad = !start_tls(context, tag).await?;
                return Ok(Step { state, bad });
            }
            let name = body.name();
            let (mut state, reply) = dispatch::command(context, state, tag, body).await?;
            context.count(name, reply.status);
            finish(context, &mut state, tag, reply).await
        }
        Event::Append(announced) => {
            let tag = announced.tag.clone();
            let (mut state, reply) = match state {
                State::Authenticated(user) => {
                    let reply = append::append(context, &user, announced).await?;
                    (State::Authenticated(user), reply)
                }
                State::Selected(mut user, mut selected) => {
                    let reply = append::append(context, &user, announced).await?;
                    sync(context, &mut user, &mut selected, Expunges::Tell).await?;
                    (State::Selected(user, selected), reply)
                }
                state => {
                    context.connection.refuse_message();
                    (state, dispatch::not_now())
                }
            };
            context.count("APPEND", reply.status);
            finish(context, &mut state, &tag, reply).await
        }
        Event::Continue => {
            context.connection.request("Go on");
            Ok(Step { state, bad: false })
        }
        Event::Invalid(invalid) => {
            let reply = complaint(&invalid);
            context.count("INVALID", reply.status);
            context.connection.reply(invalid.tag.as_deref(), &reply);
            Ok(Step { state, bad: true })
        }
        Event::Fatal(reason) => Err(End::Bye(Reply::bye(reason))),
        // These come only where they are asked for.
        Event::Answer(_) | Event::Octets(_) | Event::AppendEnd => Ok(Step { state, bad: true }),
    }
}

async fn finish(
    context: &mut Context<'_>,
    state: &mut State,
    tag: &str,
    reply: Reply,
) -> Result<Step, End> {
    context.connection.reply(Some(tag), &reply);
    context.connection.flush_if_large().await?;
    Ok(Step {
        state: std::mem::replace(state, State::Logout),
        bad: reply.status == Status::Bad,
    })
}

pub(super) fn complaint(invalid: &Invalid) -> Reply {
    match invalid.too_large {
        true => Reply::no(invalid.reason).code("LIMIT"),
        false => Reply::bad(invalid.reason),
    }
}

/// RFC 3501 §6.2.1. The answer goes out before the handshake; nothing follows it. False if it is refused.
async fn start_tls(context: &mut Context<'_>, tag: &str) -> Result<bool, End> {
    let Some(tls) = context.tls.filter(|_| context.offers_starttls()) else {
        let reply = Reply::bad("TLS is on already, or not to be had here");
        context.connection.reply(Some(tag), &reply);
        return Ok(false);
    };
    let reply = Reply::ok("Begin the handshake");
    context.connection.reply(Some(tag), &reply);
    context.connection.start_tls(tls).await?;
    Ok(true)
}

/// Asks the store what has changed and tells the client.
pub(super) async fn sync(
    context: &mut Context<'_>,
    user: &mut User,
    selected: &mut Selected,
    expunges: Expunges,
) -> Result<(), End> {
    // Before the question: what changes after it is seen the next time.
    user.changes.borrow_and_update();
    match context.store().changes(selected.id, selected.modseq).await {
        Ok(changes) => {
            let recent = &context.mailboxes.recent;
            let recent_from = match changes.uid_next > selected.last_uid() + 1 {
                true => recent.from(selected.id, changes.uid_next, selected.read_only),
                false => changes.uid_next,
            };
            selected.apply(changes, recent_from);
        }
        Err(StoreError::NotFound(_)) => {
            return Err(End::Bye(Reply::bye("The selected mailbox was deleted")));
        }
        Err(error) => tracing::warn!(%error, "imap: what changed could not be found out"),
    }
    selected.tell(expunges, context.connection.output());
    Ok(())
}
