//! What the filter says: answers and modifications as packets. Doesn't know when they may be said.

use super::Actions;
use crate::mail::Reply;

/// Octets of one piece of a new body; what libmilter and Postfix take.
pub const PIECE: usize = 65_535;

/// Lines of a reply that mail servers take (libmilter's limit).
pub(super) const LINES: usize = 32;

/// The answer to a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer<'a> {
    Continue,
    /// Nothing more need be sent of this message.
    Accept,
    Discard,
    /// With this code and text, which say whether for good.
    Refuse(&'a Reply),
    /// Nothing more need be sent of the body.
    Skip,
}

/// One change of the message, before the answer to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Modification {
    AddHeader {
        name: Vec<u8>,
        value: Vec<u8>,
    },
    /// Before the field with this index; 0 is before all, those that the mail server added included.
    InsertHeader {
        at: u32,
        name: Vec<u8>,
        value: Vec<u8>,
    },
    /// The `nth` field of that name, counted from 1. An empty value removes it.
    ChangeHeader {
        nth: u32,
        name: Vec<u8>,
        value: Vec<u8>,
    },
    ChangeSender {
        address: String,
        parameters: Option<String>,
    },
    AddRecipient {
        address: String,
        parameters: Option<String>,
    },
    DeleteRecipient {
        address: String,
    },
    Quarantine {
        reason: String,
    },
}

impl Modification {
    /// What has to be allowed for it.
    pub fn action(&self) -> Actions {
        match self {
            Self::AddHeader { .. } | Self::InsertHeader { .. } => Actions::ADD_HEADER,
            Self::ChangeHeader { .. } => Actions::CHANGE_HEADER,
            Self::ChangeSender { .. } => Actions::CHANGE_SENDER,
            Self::AddRecipient {
                parameters: None, ..
            } => Actions::ADD_RECIPIENT,
            Self::AddRecipient { .. } => Actions::ADD_RECIPIENT_PARAMETERS,
            Self::DeleteRecipient { .. } => Actions::DELETE_RECIPIENT,
            Self::Quarantine { .. } => Actions::QUARANTINE,
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::AddHeader { name, value } => texts(out, b'h', None, &[name, value]),
            Self::InsertHeader { at, name, value } => texts(out, b'i', Some(*at), &[name, value]),
            Self::ChangeHeader { nth, name, value } => texts(out, b'm', Some(*nth), &[name, value]),
            Self::ChangeSender {
                address,
                parameters,
            } => path(out, b'e', address, parameters.as_deref()),
            Self::AddRecipient {
                address,
                parameters: None,
            } => path(out, b'+', address, None),
            Self::AddRecipient {
                address,
                parameters,
            } => path(out, b'2', address, parameters.as_deref()),
            Self::DeleteRecipient { address } => path(out, b'-', address, None),
            Self::Quarantine { reason } => texts(out, b'q', None, &[reason.as_bytes()]),
        }
    }
}

impl Answer<'_> {
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Continue => packet(out, b'c', &[]),
            Self::Accept => packet(out, b'a', &[]),
            Self::Discard => packet(out, b'd', &[]),
            Self::Skip => packet(out, b's', &[]),
            Self::Refuse(reply) => {
                let mut reply = Reply::clone(reply);
                reply.lines.truncate(LINES);
                let mut text = Vec::new();
                reply.write_to(&mut text);
                let text = text.strip_suffix(b"\r\n").unwrap_or(&text);
                // A mail server takes `%` for the beginning of a macro.
                let mut escaped = Vec::with_capacity(text.len() + 1);
                for octet in text {
                    escaped.push(*octet);
                    if *octet == b'%' {
                        escaped.push(b'%');
                    }
                }
                texts(out, b'y', None, &[&escaped]);
            }
        }
    }
}

pub(super) fn packet(out: &mut Vec<u8>, command: u8, data: &[u8]) {
    let length = u32::try_from(data.len() + 1).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.push(command);
    out.extend_from_slice(data);
}

fn texts(out: &mut Vec<u8>, command: u8, index: Option<u32>, texts: &[&[u8]]) {
    let mut data = Vec::new();
    if let Some(index) = index {
        data.extend_from_slice(&index.to_be_bytes());
    }
    for text in texts {
        // One that held a NUL would end there.
        data.extend(text.iter().filter(|octet| **octet != 0));
        data.push(0);
    }
    packet(out, command, &data);
}

fn path(out: &mut Vec<u8>, command: u8, address: &str, parameters: Option<&str>) {
    match parameters {
        None => texts(out, command, None, &[address.as_bytes()]),
        Some(more) => texts(out, command, None, &[address.as_bytes(), more.as_bytes()]),
    }
}
