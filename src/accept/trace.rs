//! The fields that every server adds on top: Return-Path, Delivered-To, Authentication-Results, Received (RFC 5321 §4.4).

use crate::mail::{Address, Content, Envelope, Header, Line, Session, Splice, TransactionId};
use bytes::Bytes;
use jiff::Timestamp;
use std::fmt::Write;
use std::io;

/// The message with the edits in `header` and the trace fields for one recipient on top.
pub fn render(content: &Content, header: &Header, trace: &str) -> io::Result<Content> {
    let mut splices = header.splices();
    match splices.first_mut() {
        Some(first) if first.at == 0 => {
            first.insert = [trace.as_bytes(), &first.insert].concat().into();
        }
        _ => splices.insert(
            0,
            Splice {
                at: 0,
                remove: 0,
                insert: Bytes::copy_from_slice(trace.as_bytes()),
            },
        ),
    }
    content.with_splices(splices)
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
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "Return-Path: <{}>\r\nDelivered-To: {recipient}\r\n{authentication}Received: from {}",
        envelope.sender,
        Line::lossy(if session.helo.is_empty() {
            "unknown"
        } else {
            &session.helo
        }),
    );
    if let Some(address) = session.client_address {
        let name = session.client_name.as_deref().unwrap_or("unknown");
        let tag = if address.is_ipv6() { "IPv6:" } else { "" };
        let _ = write!(out, " ({} [{tag}{address}])", Line::lossy(name));
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
        let mut header = Header::read(&content).unwrap();
        header.apply(&HeaderEdit::Remove {
            name: FieldName::new("A").unwrap(),
            nth: 1,
            was: String::new(),
        });
        let trace = fields(&id, &session, &envelope, &alice, "", at);
        assert_eq!(transaction(trace.as_bytes()).as_deref(), Some(id.as_str()));
        let message = render(&content, &header, &trace).unwrap().bytes().unwrap();
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
