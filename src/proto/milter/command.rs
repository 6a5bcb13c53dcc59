//! What the mail server says: a packet's data as a command, and back. Knows nothing of the order.

use super::response::packet;
use super::{Offer, Packet, ProtocolError};
use std::net::IpAddr;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command<'a> {
    Negotiate(Offer),
    /// Values of macros for the command of this letter, which follows.
    Macros {
        command: u8,
        pairs: Vec<(&'a str, &'a [u8])>,
    },
    Connect(Connect),
    Helo(String),
    Mail(Path),
    Rcpt(Path),
    Data,
    /// Name, and value with lines ended by LF.
    Header {
        name: &'a [u8],
        value: &'a [u8],
    },
    EndOfHeader,
    Body(&'a [u8]),
    /// With the last piece of the body, if there is one.
    End(&'a [u8]),
    /// The message is over, the session isn't.
    Abort,
    Quit,
    /// The session is over; another may follow on the same connection.
    QuitNew,
    /// A command of the client that is none of SMTP's.
    Unknown,
}

/// Who the client is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connect {
    pub name: String,
    pub family: Family,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Family {
    Unknown,
    Unix(String),
    Ip { address: IpAddr, port: u16 },
}

/// The argument of MAIL or RCPT and its ESMTP parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// As the mail server gave it, angle brackets included.
    pub given: String,
    pub parameters: Vec<String>,
}

impl Path {
    /// Without angle brackets.
    pub fn address(&self) -> &str {
        let given = self.given.strip_prefix('<').unwrap_or(&self.given);
        given.strip_suffix('>').unwrap_or(given)
    }

    /// The value of a parameter, its name in capitals.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find_map(|parameter| {
            let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

impl<'a> Command<'a> {
    pub fn parse(packet: Packet<'a>) -> Result<Self, ProtocolError> {
        let Packet { command, data } = packet;
        let malformed = |what| ProtocolError::Malformed {
            command: char::from(command),
            what,
        };
        let texts = || strings(data).ok_or(malformed("its text is not ended by NUL"));
        Ok(match command {
            b'O' => Self::Negotiate(Offer::parse(data).ok_or(malformed("it is too short"))?),
            b'D' => {
                let (command, rest) = data.split_first().ok_or(malformed("it is empty"))?;
                let texts = strings(rest).ok_or(malformed("its text is not ended by NUL"))?;
                let pairs = texts.chunks(2).map(|pair| match pair {
                    [name, value] => std::str::from_utf8(name).ok().map(|name| (name, *value)),
                    _ => None,
                });
                Self::Macros {
                    command: *command,
                    pairs: pairs
                        .collect::<Option<_>>()
                        .ok_or(malformed("names and values do not come in pairs"))?,
                }
            }
            b'C' => Self::Connect(
                Connect::parse(data).ok_or(malformed("it does not say where the client is"))?,
            ),
            b'H' => match texts()?.as_slice() {
                [name] => Self::Helo(text(name)),
                _ => return Err(malformed("it has not one name")),
            },
            b'M' | b'R' => {
                let texts = texts()?;
                let (given, parameters) = texts.split_first().ok_or(malformed("it is empty"))?;
                let path = Path {
                    given: text(given),
                    parameters: parameters.iter().map(|octets| text(octets)).collect(),
                };
                if command == b'M' {
                    Self::Mail(path)
                } else {
                    Self::Rcpt(path)
                }
            }
            b'T' => Self::Data,
            b'L' => match texts()?.as_slice() {
                [name, value] => Self::Header { name, value },
                _ => return Err(malformed("it has not one name and one value")),
            },
            b'N' => Self::EndOfHeader,
            b'B' => Self::Body(data),
            b'E' => Self::End(data),
            b'A' => Self::Abort,
            b'Q' => Self::Quit,
            b'K' => Self::QuitNew,
            b'U' => Self::Unknown,
            _ => return Err(ProtocolError::Unknown(char::from(command))),
        })
    }
}

impl Connect {
    fn parse(data: &[u8]) -> Option<Self> {
        let end = memchr::memchr(0, data)?;
        let (name, rest) = (data.get(..end)?, data.get(end + 1..)?);
        let (family, rest) = rest.split_first()?;
        let family = if *family == b'U' {
            Family::Unknown
        } else {
            let (port, rest) = rest.split_first_chunk::<2>()?;
            let address = text(rest.strip_suffix(&[0])?);
            match family {
                b'L' => Family::Unix(address),
                b'4' | b'6' => {
                    let bare = address.strip_prefix("IPv6:").unwrap_or(&address);
                    let address: IpAddr = bare.parse().ok()?;
                    Family::Ip {
                        // An IPv4 client of a socket for both is an IPv4 client.
                        address: address.to_canonical(),
                        port: u16::from_be_bytes(*port),
                    }
                }
                _ => return None,
            }
        };
        Some(Self {
            name: text(name),
            family,
        })
    }
}

impl Command<'_> {
    pub(super) fn letter(&self) -> u8 {
        match self {
            Self::Negotiate(_) => b'O',
            Self::Macros { .. } => b'D',
            Self::Connect(_) => b'C',
            Self::Helo(_) => b'H',
            Self::Mail(_) => b'M',
            Self::Rcpt(_) => b'R',
            Self::Data => b'T',
            Self::Header { .. } => b'L',
            Self::EndOfHeader => b'N',
            Self::Body(_) => b'B',
            Self::End(_) => b'E',
            Self::Abort => b'A',
            Self::Quit => b'Q',
            Self::QuitNew => b'K',
            Self::Unknown => b'U',
        }
    }

    /// As a packet.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut data = Vec::new();
        match self {
            Self::Negotiate(offer) => {
                for number in [offer.version, offer.actions.0, offer.steps.0] {
                    data.extend_from_slice(&number.to_be_bytes());
                }
            }
            Self::Macros { command, pairs } => {
                data.push(*command);
                for (name, value) in pairs {
                    put(&mut data, name.as_bytes());
                    put(&mut data, value);
                }
            }
            Self::Connect(connect) => connect.write(&mut data),
            Self::Helo(name) => put(&mut data, name.as_bytes()),
            Self::Mail(path) | Self::Rcpt(path) => {
                put(&mut data, path.given.as_bytes());
                for parameter in &path.parameters {
                    put(&mut data, parameter.as_bytes());
                }
            }
            Self::Header { name, value } => {
                put(&mut data, name);
                put(&mut data, value);
            }
            Self::Body(octets) | Self::End(octets) => {
                return packet(out, self.letter(), octets);
            }
            Self::Data
            | Self::EndOfHeader
            | Self::Abort
            | Self::Quit
            | Self::QuitNew
            | Self::Unknown => {}
        }
        packet(out, self.letter(), &data);
    }
}

impl Connect {
    fn write(&self, data: &mut Vec<u8>) {
        put(data, self.name.as_bytes());
        let (letter, port, address) = match &self.family {
            Family::Unknown => return data.push(b'U'),
            Family::Unix(path) => (b'L', 0, path.clone()),
            Family::Ip { address, port } => match address {
                IpAddr::V4(_) => (b'4', *port, address.to_string()),
                IpAddr::V6(_) => (b'6', *port, address.to_string()),
            },
        };
        data.push(letter);
        data.extend_from_slice(&port.to_be_bytes());
        put(data, address.as_bytes());
    }
}

/// A text and its NUL. One that held a NUL would end there.
fn put(data: &mut Vec<u8>, text: &[u8]) {
    data.extend(text.iter().filter(|octet| **octet != 0));
    data.push(0);
}

/// The texts that NULs end.
pub(super) fn strings(data: &[u8]) -> Option<Vec<&[u8]>> {
    if data.is_empty() {
        return Some(Vec::new());
    }
    Some(
        data.strip_suffix(&[0])?
            .split(|octet| *octet == 0)
            .collect(),
    )
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}
