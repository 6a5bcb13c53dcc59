//! Mail that is set aside: who did that and why, and all that is needed to go on with it.
//! Says nothing of where it is kept.

use super::{Address, AuthenticationResult, Envelope, Hook, Session, Symbol, TransactionId, Turn};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How it came to be set aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aside {
    /// By a verdict: the chain ended there.
    Quarantine,
    /// By an edit: all filters have had their say.
    Hold,
}

/// Where the chain stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    pub filter: String,
    pub version: String,
    pub hook: Hook,
    /// The filters of that chain up to this one and with it, in order.
    pub passed: Vec<String>,
}

/// One entry of the quarantine, as a listing shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// A small number, never given twice. 0 until the store has given one.
    pub id: u64,
    pub transaction: TransactionId,
    pub at: Timestamp,
    pub aside: Aside,
    pub filter: String,
    pub hook: Hook,
    pub why: String,
    /// The reverse-path; empty for that of bounces.
    pub sender: String,
    /// For whom it is set aside; others may have got it.
    pub recipients: Vec<Address>,
    /// Fields of the header as received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// Octets as received.
    pub size: u64,
    pub score: f32,
}

/// What is needed to go on with it, besides its octets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Held {
    pub session: Session,
    /// As it stood, with all recipients.
    pub envelope: Envelope,
    pub authentication: Vec<AuthenticationResult>,
    /// All calls of filters so far: their symbols, tags and edits.
    #[serde(with = "whole_turns")]
    pub turns: Vec<Turn>,
    pub stop: Stop,
    /// The policy has not been asked yet what the score means.
    pub unruled: bool,
    /// Where it is filed unless a filter files it, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filed: Option<(String, String)>,
    /// The next hop that it was on its way to; none: a mailbox here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_hop: Option<String>,
}

/// Turns with the octets that edits put into the body, which a journal leaves out: they are needed to go on.
mod whole_turns {
    use crate::mail::{BodyEdit, Edit, Turn};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

    #[derive(Serialize)]
    struct Out<'a> {
        turns: &'a [Turn],
        #[serde(skip_serializing_if = "Vec::is_empty")]
        inserted: Vec<String>,
    }

    #[derive(Deserialize)]
    struct In {
        turns: Vec<Turn>,
        /// In the order of the edits.
        #[serde(default)]
        inserted: Vec<String>,
    }

    pub fn serialize<S: Serializer>(turns: &[Turn], to: S) -> Result<S::Ok, S::Error> {
        let edits = turns.iter().flat_map(|turn| &turn.edits);
        let inserted = edits.filter_map(|scoped| match &scoped.edit {
            Edit::Body(BodyEdit::Replace { with } | BodyEdit::ReplacePart { with, .. }) => {
                Some(STANDARD.encode(&with.octets))
            }
            _ => None,
        });
        let inserted = inserted.collect();
        Out { turns, inserted }.serialize(to)
    }

    pub fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Vec<Turn>, D::Error> {
        let In {
            mut turns,
            inserted,
        } = In::deserialize(from)?;
        let mut inserted = inserted.into_iter();
        for scoped in turns.iter_mut().flat_map(|turn| &mut turn.edits) {
            if let Edit::Body(edit) = &mut scoped.edit
                && let Some(with) = edit.inserted_mut()
            {
                let octets = inserted
                    .next()
                    .ok_or_else(|| D::Error::custom("octets of an edit are missing"))?;
                with.octets = STANDARD.decode(octets).map_err(D::Error::custom)?.into();
            }
        }
        Ok(turns)
    }
}

impl Held {
    pub fn symbols(&self) -> impl Iterator<Item = &Symbol> {
        self.turns.iter().flat_map(|turn| &turn.symbols)
    }
}

/// How a message leaves the quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Release {
    /// The chain goes on where it stopped, with the filters in force now.
    #[default]
    Continue,
    /// What came in is delivered, with trace fields only.
    Original,
    /// The chain in force now, from its start.
    Again,
}

/// Said by the journal of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Released {
    /// The transaction that set it aside.
    pub transaction: TransactionId,
    /// Its number in the quarantine.
    pub id: u64,
    pub how: Release,
}

/// What became of a message in quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Departure {
    /// As this transaction.
    Released(TransactionId),
    Deleted(Timestamp),
    /// Removed for its age, or to make room.
    Expired(Timestamp),
}
