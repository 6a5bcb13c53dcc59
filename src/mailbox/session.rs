//! One session: its state, and which command is for whom in which state (RFC 3501 §3).
//! The commands themselves are in the files beside.

use super::connection::{Connection, End};
use super::selected::{Expunges, Selected};
use super::{
    Config, Mailboxes, append, auth, capability, copy, fetch, idle, list, manage, search, select,
    store,
};
use crate::net::{Stream, Tls};
use crate::proto::imap::{Event, Expect, Invalid, Reply, Status};
use crate::store::{AccountId, Store, StoreError};
use imap_types::command::{Command, CommandBody};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// What commands work with.
pub(super) struct Context<'a> {
    pub mailboxes: &'a Mailboxes,
    pub connection: Connection,
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
    fn is_authenticated(&self) -> bool {
        matches!(self, Self::Authenticated(_) | Self::Selected(..))
    }
}

pub(super) async fn run(
    mailboxes: &Mailboxes,
    stream: Stream,
    tls: Option<&Tls>,
    shutdown: CancellationToken,
) {
    let write_timeout = mailboxes.config.write_timeout;
    let mut context = Context {
        mailboxes,
        connection: Connection::new(stream, write_timeout, shutdown),
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
            return End::Bye(Reply::bye("Too many commands that make no sense"));
        }
        if let State::Logout = step.state {
            return match context.connection.flush().await {
                Ok(()) => End::Closed,
                Err(end) => end,
            };
        }
        state = step.state;
    }
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
            let (mut state, reply) = command_in(context, state, tag, body).await?;
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
                    (state, not_now())
                }
            };
            finish(context, &mut state, &tag, reply).await
        }
        Event::Continue => {
            context.connection.request("Go on");
            Ok(Step { state, bad: false })
        }
        Event::Invalid(invalid) => {
            let reply = complaint(&invalid);
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

fn not_now() -> Reply {
    Reply::bad("This command is not for now: log in, or select a mailbox, first")
}

/// Commands of any state, and of the state before the login.
async fn command_in(
    context: &mut Context<'_>,
    state: State,
    tag: &str,
    body: CommandBody<'static>,
) -> Result<(State, Reply), End> {
    use CommandBody as C;
    Ok(match (state, body) {
        (state, C::Capability) => {
            let reply = capability::capability(context, state.is_authenticated());
            (state, reply)
        }
        (state, C::Id { .. }) => (state, capability::id(context)),
        (_, C::Logout) => {
            context.connection.reply(None, &Reply::bye("Good bye"));
            (State::Logout, Reply::ok("LOGOUT completed"))
        }
        (state @ (State::NotAuthenticated { .. } | State::Authenticated(_)), C::Noop) => {
            (state, Reply::ok("NOOP completed"))
        }
        (State::NotAuthenticated { failed_logins }, body) => {
            let attempt = match body {
                C::Login { username, password } => {
                    let login = String::from_utf8_lossy(username.as_ref());
                    let password = String::from_utf8_lossy(password.declassify().as_ref());
                    auth::login(context, &login, &password).await?
                }
                C::Authenticate {
                    mechanism,
                    initial_response,
                } => {
                    let initial = initial_response.map(|response| response.declassify().to_vec());
                    auth::authenticate(context, &mechanism, initial).await?
                }
                _ => auth::Attempt::Refused(not_now()),
            };
            match attempt {
                auth::Attempt::LoggedIn(user, reply) => (State::Authenticated(user), reply),
                auth::Attempt::Refused(reply) => (State::NotAuthenticated { failed_logins }, reply),
                auth::Attempt::Failed(reply) => {
                    let failed_logins = failed_logins + 1;
                    if failed_logins >= Config::FAILED_LOGINS_MAX {
                        context.connection.reply(Some(tag), &reply);
                        return Err(End::Bye(Reply::bye("Too many failed logins")));
                    }
                    (State::NotAuthenticated { failed_logins }, reply)
                }
            }
        }
        (state, C::StartTLS | C::Login { .. } | C::Authenticate { .. }) => {
            (state, Reply::bad("You are logged in already"))
        }
        (State::Authenticated(user), body) => authenticated(context, user, None, body).await?,
        (State::Selected(user, selected), body) => {
            in_mailbox(context, user, selected, body).await?
        }
        (State::Logout, _) => (State::Logout, not_now()),
    })
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

/// Commands that need no selected mailbox; `selected` is the one there is.
async fn authenticated(
    context: &mut Context<'_>,
    user: User,
    selected: Option<Box<Selected>>,
    body: CommandBody<'static>,
) -> Result<(State, Reply), End> {
    use CommandBody as C;
    let reply = match body {
        C::Namespace => capability::namespace(context),
        C::Enable { .. } => capability::enable(context),
        C::List {
            reference,
            mailbox_wildcard,
        } => list::list(context, &user, &reference, &mailbox_wildcard).await?,
        C::Lsub {
            reference,
            mailbox_wildcard,
        } => list::lsub(context, &user, &reference, &mailbox_wildcard).await?,
        C::Status {
            mailbox,
            item_names,
        } => list::status(context, &user, &mailbox, &item_names).await?,
        C::Create { mailbox } => manage::create(context, &user, &mailbox).await,
        C::Rename { from, to } => manage::rename(context, &user, &from, &to).await,
        C::Subscribe { mailbox } => manage::subscribe(context, &user, &mailbox, true).await,
        C::Unsubscribe { mailbox } => manage::subscribe(context, &user, &mailbox, false).await,
        C::Delete { mailbox } => {
            let deleted = manage::delete(context, &user, &mailbox).await;
            let own = selected.as_ref().map(|selected| selected.id);
            if deleted.mailbox.is_some() && deleted.mailbox == own {
                return Ok((State::Authenticated(user), deleted.reply));
            }
            deleted.reply
        }
        C::Select {
            mailbox,
            parameters,
        }
        | C::Examine {
            mailbox,
            parameters,
        } if !parameters.is_empty() => {
            let _ = mailbox;
            Reply::bad("This server has no parameters of SELECT")
        }
        // From here on the mailbox selected before is not any more, even if this fails (RFC 3501 §6.3.1).
        C::Select { mailbox, .. } => {
            return select::select(context, user, &mailbox, false).await;
        }
        C::Examine { mailbox, .. } => {
            return select::select(context, user, &mailbox, true).await;
        }
        C::Idle => {
            let (mut user, mut selected) = (user, selected);
            let reply = idle::idle(context, &mut user, selected.as_deref_mut()).await?;
            return Ok((state(user, selected), reply));
        }
        _ => not_now(),
    };
    Ok((state(user, selected), reply))
}

fn state(user: User, selected: Option<Box<Selected>>) -> State {
    match selected {
        Some(selected) => State::Selected(user, selected),
        None => State::Authenticated(user),
    }
}

/// Commands for the selected mailbox, and news of it after each of all others (RFC 3501 §7).
async fn in_mailbox(
    context: &mut Context<'_>,
    mut user: User,
    mut selected: Box<Selected>,
    body: CommandBody<'static>,
) -> Result<(State, Reply), End> {
    use CommandBody as C;
    // Sequence numbers may not change while these are answered (RFC 3501 §7.4.1).
    let expunges = match &body {
        C::Fetch { uid: false, .. }
        | C::Store { uid: false, .. }
        | C::Search { uid: false, .. } => Expunges::Keep,
        _ => Expunges::Tell,
    };
    let mut fresh = true;
    let reply = match body {
        C::Noop => Reply::ok("NOOP completed"),
        C::Check => Reply::ok("CHECK completed"),
        C::Close => {
            let reply = select::close(context, &selected).await;
            return Ok((State::Authenticated(user), reply));
        }
        C::Unselect => {
            return Ok((State::Authenticated(user), Reply::ok("UNSELECT completed")));
        }
        C::Expunge => copy::expunge(context, &selected, None).await,
        C::ExpungeUid { sequence_set } => {
            copy::expunge(context, &selected, Some(&sequence_set)).await
        }
        C::Fetch {
            sequence_set,
            macro_or_item_names,
            uid,
            modifiers,
        } => {
            fresh = false;
            match modifiers.is_empty() {
                true => {
                    fetch::fetch(
                        context,
                        &mut selected,
                        &sequence_set,
                        macro_or_item_names,
                        uid,
                    )
                    .await?
                }
                false => Reply::bad("This server has no modifiers of FETCH"),
            }
        }
        C::Store {
            sequence_set,
            kind,
            response,
            flags,
            uid,
            modifiers,
        } => match modifiers.is_empty() {
            true => {
                let change = store::Change {
                    kind,
                    response,
                    flags: &flags,
                };
                store::store(context, &mut selected, &sequence_set, change, uid).await
            }
            false => Reply::bad("This server has no modifiers of STORE"),
        },
        C::Search {
            charset,
            criteria,
            uid,
        } => {
            fresh = false;
            search::search(context, &selected, charset, criteria, uid).await?
        }
        C::Copy {
            sequence_set,
            mailbox,
            uid,
        } => {
            copy::copy(
                context,
                &user,
                &selected,
                &sequence_set,
                &mailbox,
                copy::Kind { uid, moves: false },
            )
            .await
        }
        C::Move {
            sequence_set,
            mailbox,
            uid,
        } => {
            copy::copy(
                context,
                &user,
                &selected,
                &sequence_set,
                &mailbox,
                copy::Kind { uid, moves: true },
            )
            .await
        }
        other => {
            let (state, reply) = authenticated(context, user, Some(selected), other).await?;
            let State::Selected(known, still) = state else {
                return Ok((state, reply));
            };
            (user, selected) = (known, still);
            reply
        }
    };
    if fresh || user.changes.has_changed().unwrap_or(true) {
        sync(context, &mut user, &mut selected, expunges).await?;
    } else {
        selected.tell(expunges, context.connection.output());
    }
    Ok((State::Selected(user, selected), reply))
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
