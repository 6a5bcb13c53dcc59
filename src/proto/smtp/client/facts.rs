//! What is told of the client that a message came from, by XFORWARD or XCLIENT (Postfix's XFORWARD_README and XCLIENT_README).
//! Does not decide whether it is told.

use crate::proto::smtp::command::is_name;
use crate::proto::smtp::handover::Verb;
use std::fmt::Write;
use std::net::IpAddr;

/// Longer values are left out, as they are written: what reads them may have less room.
const VALUE_MAX: usize = 255;

/// RFC 5321 §4.5.3.1.4: 512 octets with CRLF.
const LINE_MAX: usize = 510;

/// None: not known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    pub name: Option<String>,
    pub address: Option<IpAddr>,
    pub helo: Option<String>,
    /// "SMTP" or "ESMTP".
    pub protocol: Option<String>,
    /// What the message is called here.
    pub ident: Option<String>,
    /// XCLIENT only.
    pub login: Option<String>,
}

impl Facts {
    /// The commands, with those attributes that the server takes; none if it takes none. The last is to be said first: once it is known
    /// who the client is, that client may not say XCLIENT, and what was said with an earlier one of its LOGIN is forgotten.
    pub(super) fn commands(&self, verb: Verb, taken: &[String]) -> Vec<String> {
        let address = self.address.map(|address| match address {
            IpAddr::V4(four) => four.to_string(),
            IpAddr::V6(six) => format!("IPV6:{six}"),
        });
        let told = [
            ("NAME", &self.name),
            ("ADDR", &address),
            ("LOGIN", &self.login),
            ("HELO", &self.helo),
            ("PROTO", &self.protocol),
            ("IDENT", &self.ident),
        ];
        let mut lines = Vec::<String>::new();
        for (attribute, value) in told {
            if !taken.iter().any(|one| one == attribute) {
                continue;
            }
            let value = value.as_deref();
            let value = value.filter(|value| !value.is_empty());
            // XCLIENT_README: of what may not be known, it is not one.
            if value.is_none() && verb == Verb::Xclient && attribute == "PROTO" {
                continue;
            }
            let value = value.map(xtext).filter(|value| value.len() <= VALUE_MAX);
            let value = value.as_deref().unwrap_or("[UNAVAILABLE]");
            let word = format!(" {attribute}={value}");
            match lines.last_mut() {
                Some(line) if line.len() + word.len() <= LINE_MAX => line.push_str(&word),
                _ => lines.push(format!("{}{word}", verb.name())),
            }
        }
        lines
    }

    /// What is said in EHLO in the name of this client, if it can be.
    pub(super) fn hello(&self) -> Option<&str> {
        let helo = self.helo.as_deref();
        helo.filter(|helo| helo.is_ascii() && is_name(helo))
    }
}

/// RFC 3461 §4
fn xtext(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for octet in value.bytes() {
        match octet {
            b'+' | b'=' | ..=b' ' | 0x7f.. => {
                let _ = write!(out, "+{octet:02X}");
            }
            octet => out.push(char::from(octet)),
        }
    }
    out
}
