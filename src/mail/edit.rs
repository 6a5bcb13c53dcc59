//! The edits that filters ask for. They never touch the received octets: they are recorded, and rendered where needed.

use super::{Address, FieldName, FieldValue, ReversePath};
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Which recipients an edit is for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    #[default]
    All,
    Only(Vec<Address>),
}

impl Scope {
    pub fn covers(&self, recipient: &Address) -> bool {
        match self {
            Self::All => true,
            Self::Only(addresses) => addresses.contains(recipient),
        }
    }

    pub fn is_all(&self) -> bool {
        *self == Self::All
    }
}

/// A change of one header field. What was there before is kept, so that it can be shown and undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HeaderEdit {
    /// At the end of the header.
    Add { name: FieldName, value: FieldValue },
    /// Before the field with this index, counted from 0.
    Insert {
        at: u32,
        name: FieldName,
        value: FieldValue,
    },
    /// The `nth` field of that name, counted from 1.
    Change {
        name: FieldName,
        nth: u32,
        value: FieldValue,
        was: String,
    },
    Remove {
        name: FieldName,
        nth: u32,
        was: String,
    },
}

/// Octets that an edit puts into a message. A journal has all of it but the octets themselves.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NewOctets {
    /// Of what the filter gave, before encoding.
    pub size: u64,
    /// Of the same, in hexadecimal.
    pub sha256: String,
    /// Content-Transfer-Encoding; empty where the filter has encoded.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub encoding: String,
    /// As they stand in the message. Empty in an edit that was read from a journal.
    #[serde(skip)]
    pub octets: Bytes,
}

/// A change of the body. Paths are section numbers of the message as received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum BodyEdit {
    /// All that follows the empty line.
    Replace { with: NewOctets },
    /// What the part with this section number holds.
    ReplacePart {
        path: String,
        /// The value of its Content-Type.
        media_type: String,
        with: NewOctets,
    },
    DropPart {
        path: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
}

impl BodyEdit {
    /// What it puts in, if the filter gave octets.
    pub fn inserted_mut(&mut self) -> Option<&mut NewOctets> {
        match self {
            Self::Replace { with } | Self::ReplacePart { with, .. } => Some(with),
            Self::DropPart { .. } => None,
        }
    }
}

/// A change of the envelope; `arguments` are ESMTP parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EnvelopeEdit {
    SetSender {
        sender: ReversePath,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        arguments: Option<String>,
        was: ReversePath,
    },
    AddRecipient {
        address: Address,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        arguments: Option<String>,
    },
    RemoveRecipient {
        address: Address,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Edit {
    Header(HeaderEdit),
    Body(BodyEdit),
    Envelope(EnvelopeEdit),
    FileInto {
        mailbox: String,
        why: String,
    },
    AddFlag(String),
    /// Set aside when all filters have had their say.
    Hold {
        why: String,
    },
    /// Handed to this next hop.
    Via(String),
    Tag {
        key: String,
        value: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scoped {
    pub edit: Edit,
    #[serde(default, skip_serializing_if = "Scope::is_all")]
    pub scope: Scope,
}
