//! What a proxy or mail server of ours says of a client, made the session's facts (PROXY, XCLIENT, XFORWARD).
//! Does not decide who is believed.

use super::facts::is_queue_id;
use crate::mail::{How, Session, Via};
use crate::net::Peer;
use crate::proto::smtp::Told;

/// The session of a client that came over a proxy.
pub fn proxied(session: &mut Session, proxy: Peer) {
    session.via = Some(Via {
        how: How::Proxy,
        address: proxy.ip(),
        helo: String::new(),
    });
}

/// The whole session is another's from here on: what the one before said of itself is not. All that is told of one client may come in
/// several commands, its address in the last (XCLIENT_README).
pub fn xclient(session: &mut Session, told: Told) {
    let more = match &session.via {
        Some(via) if via.how == How::Xclient => via.address == session.client_address,
        _ => {
            session.via = Some(this(session, How::Xclient));
            false
        }
    };
    if !more {
        (session.helo, session.authenticated) = Default::default();
    }
    set(session, told);
}

/// One transaction is another client's. The queue id that the message has where it comes from, if that was said.
pub fn xforward(session: &mut Session, mut told: Told) -> Option<String> {
    let queue_id = told.ident.take().flatten();
    session.via = Some(this(session, How::Xforward));
    session.client_name = None;
    set(session, told);
    queue_id.filter(|id| is_queue_id(id))
}

fn this(session: &Session, how: How) -> Via {
    Via {
        how,
        address: session.client_address,
        helo: session.helo.clone(),
    }
}

fn set(session: &mut Session, told: Told) {
    let Told {
        name,
        address,
        helo,
        login,
        ident: _,
    } = told;
    if let Some(address) = address {
        session.client_address = address;
        // That of another address.
        session.client_name = None;
    }
    if let Some(name) = name {
        session.client_name = name;
    }
    if let Some(helo) = helo {
        session.helo = helo.unwrap_or_default();
    }
    if let Some(login) = login {
        session.authenticated = login;
    }
}
