//! What a filter says, understood: answers, replies and modifications. The other direction of `response`; knows no order.

use super::response::LINES;
use super::{Modification, Packet, ProtocolError, command};
use crate::mail::{EnhancedCode, Line, Reply};

/// A filter's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Continue,
    /// It needs to see no more of this message, or of this connection if that is what it was asked about.
    Accept,
    Discard,
    /// In the mail server's words.
    Reject,
    Tempfail,
    Refuse(Reply),
    /// It needs to see no more of the body.
    Skip,
    /// The client is to be sent away, or the filter itself cannot go on.
    Shutdown,
}

impl Said {
    pub(super) fn parse(packet: Packet<'_>) -> Result<Self, ProtocolError> {
        Ok(match packet.command {
            b'c' => Self::Continue,
            b'a' => Self::Accept,
            b'd' => Self::Discard,
            b'r' => Self::Reject,
            b't' => Self::Tempfail,
            b's' => Self::Skip,
            b'4' | b'f' => Self::Shutdown,
            b'y' => Self::Refuse(
                reply(packet.data)
                    .map_err(|what| ProtocolError::Malformed { command: 'y', what })?,
            ),
            other => return Err(ProtocolError::NotAnAnswer(char::from(other))),
        })
    }
}

/// `550-5.7.1 first` CRLF `550 5.7.1 last`, with `%%` for each `%`.
fn reply(data: &[u8]) -> Result<Reply, &'static str> {
    let text = data
        .strip_suffix(&[0])
        .ok_or("its text is not ended by NUL")?;
    if text.contains(&0) {
        return Err("it holds a NUL");
    }
    let text = String::from_utf8_lossy(text).replace("%%", "%");
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let mut reply: Option<Reply> = None;
    for line in text.split('\n') {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let digits = line
            .get(..3)
            .filter(|code| code.bytes().all(|c| c.is_ascii_digit()));
        let code: u16 = digits
            .and_then(|digits| digits.parse().ok())
            .filter(|code| (400..600).contains(code))
            .ok_or("a line of it does not begin with a code from 400 to 599")?;
        let rest = line.get(3..).unwrap_or_default();
        let rest = match rest.strip_prefix([' ', '-']) {
            Some(rest) => rest,
            None if rest.is_empty() => rest,
            None => return Err("its code is not followed by a space or hyphen"),
        };
        let (enhanced, rest) = enhanced(rest, code);
        let line = Line::new(rest).map_err(|_| "it holds a bare carriage return")?;
        match &mut reply {
            None => {
                reply = Some(Reply {
                    code,
                    enhanced: Some(enhanced.unwrap_or(EnhancedCode(class(code), 7, 1))),
                    lines: vec![line],
                    limit: None,
                });
            }
            Some(reply) if reply.code != code => return Err("its lines have different codes"),
            Some(reply) if reply.lines.len() >= LINES => return Err("it has too many lines"),
            Some(reply) => reply.lines.push(line),
        }
    }
    reply.ok_or("it is empty")
}

fn class(code: u16) -> u8 {
    if code < 500 { 4 } else { 5 }
}

/// The enhanced code, if there is one that fits the other (RFC 2034 §4), and the text behind it.
fn enhanced(text: &str, code: u16) -> (Option<EnhancedCode>, &str) {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let mut numbers = word.split('.').map(|number| {
        let is_number =
            (1..=3).contains(&number.len()) && number.bytes().all(|c| c.is_ascii_digit());
        is_number.then(|| number.parse::<u16>().ok()).flatten()
    });
    match (
        numbers.next(),
        numbers.next(),
        numbers.next(),
        numbers.next(),
    ) {
        (Some(Some(class_given)), Some(Some(subject)), Some(Some(detail)), None)
            if class_given == u16::from(class(code)) =>
        {
            (Some(EnhancedCode(class(code), subject, detail)), rest)
        }
        _ => (None, text),
    }
}

impl Modification {
    /// None for what is no modification.
    pub(super) fn parse(packet: Packet<'_>) -> Result<Option<Self>, ProtocolError> {
        let Packet { command, data } = packet;
        let malformed = |what| ProtocolError::Malformed {
            command: char::from(command),
            what,
        };
        let texts = |data| command::strings(data).ok_or(malformed("its text is not ended by NUL"));
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        let field = |data| match texts(data)?.as_slice() {
            [name, value] => Ok((name.to_vec(), value.to_vec())),
            _ => Err(malformed("it has not one name and one value")),
        };
        let numbered = || {
            let (number, rest) = data
                .split_first_chunk::<4>()
                .ok_or(malformed("it has no index"))?;
            let (name, value) = field(rest)?;
            Ok((u32::from_be_bytes(*number), name, value))
        };
        let path = || match texts(data)?.as_slice() {
            [address] => Ok((text(address), None)),
            [address, parameters] => Ok((text(address), Some(text(parameters)))),
            _ => Err(malformed("it has not one address and its parameters")),
        };
        Ok(Some(match command {
            b'h' => {
                let (name, value) = field(data)?;
                Self::AddHeader { name, value }
            }
            b'i' => {
                let (at, name, value) = numbered()?;
                Self::InsertHeader { at, name, value }
            }
            b'm' => {
                let (nth, name, value) = numbered()?;
                Self::ChangeHeader { nth, name, value }
            }
            b'e' => {
                let (address, parameters) = path()?;
                Self::ChangeSender {
                    address,
                    parameters,
                }
            }
            b'+' => match path()? {
                (address, None) => Self::AddRecipient {
                    address,
                    parameters: None,
                },
                _ => return Err(malformed("it has more than an address")),
            },
            b'2' => {
                let (address, parameters) = path()?;
                // libmilter says so for none; it is another action all the same.
                Self::AddRecipient {
                    address,
                    parameters: Some(parameters.unwrap_or_default()),
                }
            }
            b'-' => match path()? {
                (address, None) => Self::DeleteRecipient { address },
                _ => return Err(malformed("it has more than an address")),
            },
            b'q' => match path()? {
                (reason, None) => Self::Quarantine { reason },
                _ => return Err(malformed("it has more than a reason")),
            },
            _ => return Ok(None),
        }))
    }
}
