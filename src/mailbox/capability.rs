//! CAPABILITY, ID, NAMESPACE, ENABLE: what this server can do (RFC 3501 §6.1.1, RFC 2971, RFC 2342, RFC 5161).
//! Lists only what is complete.

use super::session::Context;
use crate::proto::imap::{Reply, string};

/// As the arguments of CAPABILITY. Before the login only what matters there.
pub(super) fn list(context: &Context<'_>, is_authenticated: bool) -> String {
    let mut list = "IMAP4rev1 LITERAL+ ID ENABLE".to_owned();
    if is_authenticated {
        list.push_str(" CHILDREN IDLE MOVE NAMESPACE SPECIAL-USE UIDPLUS UNSELECT");
    } else {
        list.push_str(" SASL-IR");
        if context.offers_starttls() {
            list.push_str(" STARTTLS");
        }
        list.push_str(match context.allows_login() {
            true => " AUTH=PLAIN",
            false => " LOGINDISABLED",
        });
    }
    list
}

pub(super) fn capability(context: &mut Context<'_>, is_authenticated: bool) -> Reply {
    let line = format!("* CAPABILITY {}\r\n", list(context, is_authenticated));
    context.connection.write(line.as_bytes());
    Reply::ok("CAPABILITY completed")
}

pub(super) fn id(context: &mut Context<'_>) -> Reply {
    let mut line = b"* ID (\"name\" \"wasmilter\" \"version\" ".to_vec();
    string(&mut line, env!("CARGO_PKG_VERSION").as_bytes());
    line.extend_from_slice(b")\r\n");
    context.connection.write(&line);
    Reply::ok("ID completed")
}

pub(super) fn namespace(context: &mut Context<'_>) -> Reply {
    context
        .connection
        .write(b"* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n");
    Reply::ok("NAMESPACE completed")
}

/// Nothing that is offered has to be enabled; what is unknown is left out of the answer (RFC 5161 §3.1).
pub(super) fn enable(context: &mut Context<'_>) -> Reply {
    context.connection.write(b"* ENABLED\r\n");
    Reply::ok("ENABLE completed")
}
