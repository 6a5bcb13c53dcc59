//! The fields that every server adds on top: Return-Path, Delivered-To, Authentication-Results, Received (RFC 5321 §4.4).

use crate::mail::{Address, Content, Envelope, How, Line, Message, Session, Splice, TransactionId};
use bytes::Bytes;
use jiff::Timestamp;
use std::fmt::Write;
use std::io;

/// The message with its edits and the trace fields for one recipient on top.
pub fn render(message: &Message, trace: &str) -> io::Result<Content> {
    let mut splices = message.splices()?;
    let top = Splice {
        at: 0,
        remove: 0,
        insert: Bytes::copy_from_slice(trace.as_bytes()).into(),
    };
    splices.insert(0, top);
    message.content.with_splices(splices)
}

/// `authentication` is a whole field or nothing; it stands above Received (RFC 8601 §4).
pub fn fields(
    id: &TransactionId,
    session: &Session,
    envelope: &Envelope,
    recipient: &Address,
    authentication: &str,
    at: Timestamp,
) -> String {
    format!(
        "Return-Path: <{}>\r\nDelivered-To: {recipient}\r\n{}",
        envelope.sender,
        received(id, session, envelope, authentication, at)
    )
}

/// Of a message that goes on from here.
pub fn received(
    id: &TransactionId,
    session: &Session,
    envelope: &Envelope,
    authentication: &str,
    at: Timestamp,
) -> String {
    // Of a message that a server of ours hands on it is that server that it came from; its own field says where it had it from.
    let (helo, address, name) = match &session.via {
        Some(via) if via.how == How::Xforward => (via.helo.as_str(), via.address, None),
        _ => (
            session.helo.as_str(),
            session.client_address,
            session.client_name.as_deref(),
        ),
    };
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "{authentication}Received: from {}",
        Line::lossy(if helo.is_empty() { "unknown" } else { helo }),
    );
    if let Some(address) = address {
        let name = name.unwrap_or("unknown");
        let tag = if address.is_ipv6() { "IPv6:" } else { "" };
        let _ = write!(out, " ({} [{tag}{address}])", Line::lossy(name));
    }
    if let Some(name) = session.tls.as_ref().and_then(|tls| tls.client.as_deref()) {
        let _ = write!(out, "\r\n\t(client certificate of {})", comment(name));
    }
    let _ = write!(
        out,
        "\r\n\tby {} (wasmilter) with {} id {id}",
        session.server_name, session.protocol
    );
    if let [only] = envelope.recipients.as_slice() {
        let _ = write!(out, "\r\n\tfor <{}>", only.address);
    }
    let _ = write!(out, "; {}\r\n", date(at));
    out
}

/// What may stand in a comment (RFC 5322 §3.2.2) as it is; all else is a question mark.
fn comment(text: &str) -> String {
    let fine = |c: char| c.is_ascii_alphanumeric() || " @._+-*=/".contains(c);
    text.chars()
        .map(|c| if fine(c) { c } else { '?' })
        .collect()
}

/// The transaction that the fields made by [`fields`] name.
pub fn transaction(trace: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(trace).ok()?;
    let (_, received) = text.split_once("\r\n\tby ")?;
    let line = received.lines().next()?;
    let (_, id) = line.rsplit_once(" id ")?;
    Some(id.split(';').next()?.to_owned())
}

/// RFC 5322 §3.3
fn date(at: Timestamp) -> String {
    jiff::fmt::rfc2822::to_string(&at.to_zoned(jiff::tz::TimeZone::UTC))
        .unwrap_or_else(|_| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{FieldName, HeaderEdit, ReversePath};

    #[test]
    fn trace_fields_come_first_and_name_the_transaction() {
        let alice = Address::parse("alice@example.test").unwrap();
        let session = Session {
            server_name: "mx.example.test".into(),
            client_address: Some("2001:db8::1".parse().unwrap()),
            helo: "client.example".into(),
            protocol: "ESMTPS".into(),
            ..Session::default()
        };
        let envelope = Envelope {
            sender: ReversePath::Null,
            recipients: vec![alice.clone().into()],
            ..Envelope::default()
        };
        let id = TransactionId::new(0, 0);
        let at = "2026-11-23T05:06:07Z".parse().unwrap();
        let content = Content::from_bytes("A: 1\r\nB: 2\r\n\r\nbody\r\n");
        let mut message = Message::new(content).unwrap();
        message.header.apply(&HeaderEdit::Remove {
            name: FieldName::new("A").unwrap(),
            nth: 1,
            was: String::new(),
        });
        let trace = fields(&id, &session, &envelope, &alice, "", at);
        assert_eq!(transaction(trace.as_bytes()).as_deref(), Some(id.as_str()));
        let message = render(&message, &trace).unwrap().bytes().unwrap();
        assert_eq!(
            std::str::from_utf8(&message).unwrap(),
            "Return-Path: <>\r\nDelivered-To: alice@example.test\r\n\
             Received: from client.example (unknown [IPv6:2001:db8::1])\r\n\
             \tby mx.example.test (wasmilter) with ESMTPS id 000000000000000000\r\n\
             \tfor <alice@example.test>; Mon, 23 Nov 2026 05:06:07 +0000\r\n\
             B: 2\r\n\r\nbody\r\n"
        );
    }
}
