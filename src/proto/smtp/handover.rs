//! XCLIENT and XFORWARD (Postfix's XCLIENT_README and XFORWARD_README): a proxy or content filter of ours says whose session, or whose
//! message, it passes on. Who may say so is for the caller to know.

use super::command::is_of_name;
use super::server::{Asked, Next, Phase, Server, Step};
use super::{refusal, syntax};
use crate::mail::Reply;
use std::net::{IpAddr, Ipv6Addr};

/// Longer values are nothing that a client could have said.
const VALUE_MAX: usize = 255;

/// Which of the two this client may say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Trust {
    pub xclient: bool,
    pub xforward: bool,
}

/// What was said of a client; `None`: nothing, `Some(None)`: that it is not known (`[UNAVAILABLE]`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    pub name: Option<Option<String>>,
    pub address: Option<Option<IpAddr>>,
    pub helo: Option<Option<String>>,
    /// XCLIENT only.
    pub login: Option<Option<String>>,
    /// XFORWARD only: what the mail server calls the message.
    pub ident: Option<Option<String>>,
}

impl Told {
    /// What is told later counts.
    pub fn merge(&mut self, later: Self) {
        let Self {
            name,
            address,
            helo,
            login,
            ident,
        } = later;
        self.name = name.or(self.name.take());
        self.address = address.or(self.address);
        self.helo = helo.or(self.helo.take());
        self.login = login.or(self.login.take());
        self.ident = ident.or(self.ident.take());
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Xclient,
    Xforward,
}

impl Verb {
    /// With what is checked and not used: nothing here depends on ports, on the protocol that the client spoke to somebody else, or on
    /// where its connection went.
    pub fn keyword(self) -> &'static str {
        match self {
            Self::Xclient => "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT",
            Self::Xforward => "XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Xclient => "XCLIENT",
            Self::Xforward => "XFORWARD",
        }
    }

    fn takes(self, attribute: &str) -> bool {
        self.keyword()
            .split(' ')
            .skip(1)
            .any(|known| known == attribute)
    }
}

/// XCLIENT, and XFORWARD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Xclient(pub Box<Told>);
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Xforward(pub Box<Told>);

/// `attribute=value` up to eight times, values in xtext.
pub(super) fn attributes(verb: Verb, arguments: &str) -> Result<Box<Told>, Reply> {
    let mut told = Box::<Told>::default();
    let mut seen = Vec::new();
    for word in arguments.split(' ').filter(|word| !word.is_empty()) {
        let (attribute, value) = word
            .split_once('=')
            .ok_or_else(|| syntax("Syntax error: attribute=value is expected"))?;
        let attribute = attribute.to_ascii_uppercase();
        if !verb.takes(&attribute) || seen.contains(&attribute) {
            return Err(syntax(
                "Syntax error: an attribute is not known, or is given twice",
            ));
        }
        let bad = || syntax(&format!("Syntax error: bad value of {attribute}"));
        let octets = decode(value).ok_or_else(bad)?;
        let value = match attribute.as_str() {
            "NAME" | "HELO" => name(&octets),
            _ => text(octets).ok_or_else(bad)?,
        };
        let unavailable = value.eq_ignore_ascii_case("[UNAVAILABLE]")
            || (attribute == "NAME" && value.eq_ignore_ascii_case("[TEMPUNAVAIL]"));
        let value = Some(value).filter(|_| !unavailable);
        let is = |fine: fn(&str) -> bool| match &value {
            Some(value) if !fine(value) => Err(bad()),
            _ => Ok(value.clone()),
        };
        match attribute.as_str() {
            "NAME" => told.name = Some(value),
            "HELO" => told.helo = Some(value),
            "LOGIN" => told.login = Some(is(|value| !value.is_empty())?),
            "ADDR" => {
                let parsed = value.as_deref().map(|value| address(value).ok_or_else(bad));
                told.address = Some(parsed.transpose()?);
            }
            "DESTADDR" => is(|value| address(value).is_some()).map(drop)?,
            "PORT" | "DESTPORT" => is(|value| value.parse::<u16>().is_ok()).map(drop)?,
            "PROTO" => {
                is(|value| {
                    ["SMTP", "ESMTP", "LMTP"]
                        .iter()
                        .any(|p| value.eq_ignore_ascii_case(p))
                })
                .map(drop)?;
            }
            "SOURCE" => {
                is(|value| {
                    ["LOCAL", "REMOTE"]
                        .iter()
                        .any(|s| value.eq_ignore_ascii_case(s))
                })
                .map(drop)?;
            }
            // Any text.
            "IDENT" => told.ident = Some(value),
            _ => {}
        }
        seen.push(attribute);
    }
    if seen.is_empty() {
        return Err(syntax("Syntax error: attribute=value is expected"));
    }
    Ok(told)
}

/// As a client said it to a server that takes what we would not: to refuse it would refuse all that this server hands on.
fn name(octets: &[u8]) -> String {
    let mut name = String::new();
    for c in String::from_utf8_lossy(octets).chars() {
        let is_fine = is_of_name(c) && c != char::REPLACEMENT_CHARACTER;
        let c = if is_fine { c } else { '?' };
        if name.len() + c.len_utf8() > VALUE_MAX {
            break;
        }
        name.push(c);
    }
    name
}

fn text(octets: Vec<u8>) -> Option<String> {
    String::from_utf8(octets)
        .ok()
        .filter(|text| text.len() <= VALUE_MAX && !text.contains(char::is_control))
}

/// "192.0.2.1", "IPV6:2001:db8::1"; Dovecot says "2001:db8::1".
fn address(value: &str) -> Option<IpAddr> {
    let tagged = value
        .get(..5)
        .filter(|tag| tag.eq_ignore_ascii_case("IPV6:"))
        .and_then(|tag| value.get(tag.len()..));
    let address = match tagged {
        Some(six) => six.parse::<Ipv6Addr>().ok().map(IpAddr::from),
        None => value.parse().ok(),
    };
    address.map(|address: IpAddr| address.to_canonical())
}

/// Out of xtext (RFC 3461 §4).
fn decode(value: &str) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'+' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            other => other,
        });
    }
    Some(octets).filter(|octets| !octets.is_empty())
}

impl Asked<Xclient> {
    /// The session begins anew, with its greeting. What the proxy might say is not for the client that it speaks for, whose words it may
    /// pass on from here: `trust` is that client's.
    pub fn accept(self, trust: Trust) -> Server {
        self.into_server().trusting(trust).anew()
    }

    /// The client that was told of is turned away.
    pub fn turn_away(self, reply: &Reply) -> Server {
        self.into_server().turned_away(reply)
    }
}

impl Asked<Xforward> {
    pub fn accept(self) -> Server {
        let mut server = self.into_server();
        server.say(b"250 2.0.0 Ok\r\n");
        server
    }
}

impl Server {
    pub(super) fn handover(mut self, verb: Verb, told: Result<Box<Told>, Reply>) -> Next {
        let Trust { xclient, xforward } = self.trust();
        let reply = match (verb, told) {
            (Verb::Xclient, _) if !xclient => not_you(),
            (Verb::Xforward, _) if !xforward => not_you(),
            _ if matches!(self.phase, Phase::Transaction(_)) => refusal(
                503,
                (5, 5, 1),
                "A transaction is open; end it or say RSET first",
            ),
            (_, Err(reply)) => reply,
            (Verb::Xclient, Ok(told)) => return self.ask(Xclient(told), Step::Xclient),
            (Verb::Xforward, Ok(told)) => return self.ask(Xforward(told), Step::Xforward),
        };
        self.refuse(&reply);
        Next::Line(self)
    }
}

fn not_you() -> Reply {
    refusal(550, (5, 7, 0), "You may not speak for others")
}
