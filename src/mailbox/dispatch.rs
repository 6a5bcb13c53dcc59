//! Which command is for whom, in which state (RFC 3501 §3, §6).
//! The commands themselves are in the files beside.

use super::connection::End;
use super::selected::{Expunges, Selected};
use super::session::{Context, State, User, sync};
use super::{Config, auth, capability, copy, fetch, idle, list, manage, search, select, store};
use crate::proto::imap::Reply;
use imap_types::command::CommandBody;

pub(super) fn not_now() -> Reply {
    Reply::bad("This command is not for now: log in, or select a mailbox, first")
}

/// What imap-codec reads of extensions that are not advertised (RFC 3501 §6.5.1).
fn is_of_no_use(body: &CommandBody<'_>) -> bool {
    use CommandBody as C;
    matches!(
        body,
        C::Compress { .. }
            | C::Sort { .. }
            | C::Thread { .. }
            | C::GetQuota { .. }
            | C::GetQuotaRoot { .. }
            | C::SetQuota { .. }
    )
}

/// Commands of any state, and of the state before the login.
pub(super) async fn command(
    context: &mut Context<'_>,
    state: State,
    tag: &str,
    body: CommandBody<'static>,
) -> Result<(State, Reply), End> {
    use CommandBody as C;
    Ok(match (state, body) {
        (state, body) if is_of_no_use(&body) => {
            (state, Reply::bad("This server has no such command"))
        }
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
                        &user,
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
                store::store(context, &user, &mut selected, &sequence_set, change, uid).await
            }
            false => Reply::bad("This server has no modifiers of STORE"),
        },
        C::Search {
            charset,
            criteria,
            uid,
        } => {
            fresh = false;
            search::search(context, &user, &selected, charset, criteria, uid).await?
        }
        C::Copy {
            sequence_set,
            mailbox,
            uid,
        } => {
            let kind = copy::Kind { uid, moves: false };
            copy::copy(context, &user, &selected, &sequence_set, &mailbox, kind).await
        }
        C::Move {
            sequence_set,
            mailbox,
            uid,
        } => {
            let kind = copy::Kind { uid, moves: true };
            copy::copy(context, &user, &selected, &sequence_set, &mailbox, kind).await
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
