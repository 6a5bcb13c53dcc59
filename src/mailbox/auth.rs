//! LOGIN and AUTHENTICATE PLAIN (RFC 3501 §6.2, RFC 4616, RFC 4959).
//! Checks no passwords: the directory does.

use super::connection::End;
use super::refusal;
use super::session::{Context, User};
use super::{capability, session};
use crate::proto::imap::{Event, Expect, Reply};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use imap_types::auth::AuthMechanism;

/// What came of a login.
pub(super) enum Attempt {
    LoggedIn(User, Reply),
    /// The password is wrong: it counts.
    Failed(Reply),
    /// It was not even tried.
    Refused(Reply),
}

pub(super) async fn login(
    context: &mut Context<'_>,
    login: &str,
    password: &str,
) -> Result<Attempt, End> {
    if !context.allows_login() {
        return Ok(Attempt::Refused(needs_tls()));
    }
    if context.ticket.is_banned() {
        return Err(banned(context));
    }
    match context.mailboxes.directory.login(login, password).await {
        // Who guesses over many connections at once is told nothing once it was too often.
        Ok(Some(_)) if context.ticket.is_banned() => Err(banned(context)),
        Ok(Some(account)) => {
            context.connection.logged_in();
            context.mailboxes.meter.login(true);
            tracing::info!(peer = %context.connection.peer(), login = %account.login, "imap: logged in");
            let capabilities = capability::list(context, true);
            let user = User {
                account: account.id,
                login: account.login.to_string(),
                changes: context.store().watch(account.id),
            };
            let reply = Reply::ok("Logged in").code(format!("CAPABILITY {capabilities}"));
            Ok(Attempt::LoggedIn(user, reply))
        }
        Ok(None) => {
            tracing::info!(peer = %context.connection.peer(), "imap: login failed");
            context.mailboxes.meter.login(false);
            let banned = context.ticket.failed_login();
            tokio::time::sleep(context.config().failed_login_delay).await;
            if banned {
                return Err(too_many());
            }
            let reply = Reply::no("Login or password are wrong").code("AUTHENTICATIONFAILED");
            Ok(Attempt::Failed(reply))
        }
        Err(error) => Ok(Attempt::Refused(refusal(&error))),
    }
}

fn banned(context: &Context<'_>) -> End {
    tracing::info!(peer = %context.connection.peer(), "imap: login turned away: too many failed before");
    context.mailboxes.meter.login(false);
    too_many()
}

fn too_many() -> End {
    End::Bye(Reply::bye("Too many failed logins"))
}

fn needs_tls() -> Reply {
    Reply::no("Passwords are taken over TLS only: use STARTTLS first").code("PRIVACYREQUIRED")
}

pub(super) async fn authenticate(
    context: &mut Context<'_>,
    mechanism: &AuthMechanism<'_>,
    initial: Option<Vec<u8>>,
) -> Result<Attempt, End> {
    if *mechanism != AuthMechanism::Plain {
        let reply = Reply::no("Of the mechanisms, PLAIN is supported").code("CANNOT");
        return Ok(Attempt::Refused(reply));
    }
    if !context.allows_login() {
        return Ok(Attempt::Refused(needs_tls()));
    }
    let response = match initial {
        Some(response) => response,
        None => match ask(context).await? {
            Ok(response) => response,
            Err(reply) => return Ok(Attempt::Refused(reply)),
        },
    };
    let Some((authorize, name, password)) = plain(&response) else {
        return Ok(Attempt::Refused(Reply::bad("This is not PLAIN (RFC 4616)")));
    };
    if !authorize.is_empty() && !authorize.eq_ignore_ascii_case(name) {
        let reply = Reply::no("Nobody acts for somebody else here").code("AUTHORIZATIONFAILED");
        return Ok(Attempt::Failed(reply));
    }
    login(context, name, password).await
}

/// Without an initial response the client is asked for it.
async fn ask(context: &mut Context<'_>) -> Result<Result<Vec<u8>, Reply>, End> {
    context.connection.request("");
    let deadline = context.login_deadline();
    Ok(
        match context.connection.next(Expect::Answer, deadline).await? {
            // RFC 3501 §6.2.2
            Event::Answer(answer) if answer == b"*" => Err(Reply::bad("AUTHENTICATE cancelled")),
            Event::Answer(answer) => STANDARD
                .decode(answer)
                .map_err(|_| Reply::bad("This is not base64")),
            Event::Invalid(invalid) => Err(session::complaint(&invalid)),
            Event::Fatal(reason) => return Err(End::Bye(Reply::bye(reason))),
            _ => Err(Reply::bad("An answer was expected")),
        },
    )
}

/// RFC 4616 §2: authorization identity, NUL, authentication identity, NUL, password.
fn plain(response: &[u8]) -> Option<(&str, &str, &str)> {
    let mut fields = std::str::from_utf8(response).ok()?.split('\0');
    let found = (fields.next()?, fields.next()?, fields.next()?);
    (fields.next().is_none() && !found.1.is_empty()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_has_three_fields() {
        assert_eq!(plain(b"\0a\0p"), Some(("", "a", "p")));
        assert_eq!(plain(b"x\0a\0p"), Some(("x", "a", "p")));
        for bad in [&b""[..], b"a", b"\0a", b"\0a\0p\0", b"\0\0p", b"\0\xff\0p"] {
            assert_eq!(plain(bad), None, "{bad:?}");
        }
    }
}
