//! What is told of the client that a message came from, by XFORWARD or XCLIENT (Postfix's XFORWARD_README and XCLIENT_README).
//! Does not decide whether it is told.

use crate::proto::smtp::command::is_name;
use crate::proto::smtp::handover::Verb;
use std::fmt::Write;
use std::net::IpAddr;

/// Longer values are left out: what reads them may have less room.
const VALUE_MAX: usize = 255;

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
    /// The command, with those attributes that the server takes; none if it takes none.
    pub(super) fn command(&self, verb: Verb, taken: &[String]) -> Option<String> {
        let address = self.address.map(|address| match address {
            IpAddr::V4(four) => four.to_string(),
            IpAddr::V6(six) => format!("IPV6:{six}"),
        });
        let told = [
            ("NAME", &self.name),
            ("ADDR", &address),
            ("HELO", &self.helo),
            ("PROTO", &self.protocol),
            ("IDENT", &self.ident),
            ("LOGIN", &self.login),
        ];
        let mut out = verb.name().to_owned();
        for (attribute, value) in told {
            if !taken.iter().any(|one| one == attribute) {
                continue;
            }
            let value = value.as_deref();
            let value = value.filter(|value| !value.is_empty() && value.len() <= VALUE_MAX);
            // XCLIENT_README: of what may not be known, it is not one.
            if value.is_none() && verb == Verb::Xclient && attribute == "PROTO" {
                continue;
            }
            let value = value.map_or_else(|| "[UNAVAILABLE]".to_owned(), xtext);
            // Writing to a String cannot fail.
            let _ = write!(out, " {attribute}={value}");
        }
        (out.len() > verb.name().len()).then_some(out)
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
