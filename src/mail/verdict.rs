//! What filters say of a message: verdicts, symbols, authentication results.

use super::Reply;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Go on with the next filter.
    Continue,
    /// End the chain at this hook.
    Accept,
    Reject(Reply),
    Tempfail(Reply),
    Discard,
    /// Set aside, for this reason.
    Quarantine(String),
}

impl Verdict {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Accept => "accept",
            Self::Reject(_) => "reject",
            Self::Tempfail(_) => "tempfail",
            Self::Discard => "discard",
            Self::Quarantine(_) => "quarantine",
        }
    }
}

/// A named score with a reason, as a filter gave it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Symbol {
    pub name: String,
    pub score: f32,
    pub reason: String,
    pub by: String,
}

/// RFC 8601 §2.2
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthenticationResult {
    pub method: String,
    pub outcome: String,
    pub property: String,
    /// Why, where that is not plain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
