//! The envelope: reverse-path, recipients and their parameters (RFC 5321 §2.3.1).

use super::{Address, ReversePath};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    pub address: Address,
    /// NOTIFY (RFC 3461 §4.1)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<String>,
    /// ORCPT (RFC 3461 §4.2)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<String>,
}

impl From<Address> for Recipient {
    fn from(address: Address) -> Self {
        Self {
            address,
            notify: None,
            original: None,
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    pub sender: ReversePath,
    pub recipients: Vec<Recipient>,
    /// BODY=8BITMIME was given (RFC 6152).
    #[serde(default)]
    pub eight_bit: bool,
    /// SMTPUTF8 was given (RFC 6531).
    #[serde(default)]
    pub utf8: bool,
}
