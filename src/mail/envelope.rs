//! The envelope: reverse-path, recipients and their parameters (RFC 5321 §2.3.1).

use super::{Address, ReversePath};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    pub address: Address,
    /// NOTIFY (RFC 3461 §4.1), in capitals: "NEVER", "SUCCESS,DELAY".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<String>,
    /// ORCPT as given, its address in xtext: "rfc822;bob+2Bnews@example.test" (RFC 3461 §4.2).
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
    #[serde(default)]
    pub body: Body,
    /// SMTPUTF8 was given (RFC 6531).
    #[serde(default)]
    pub utf8: bool,
    /// REQUIRETLS was given: it goes on under TLS that is verified, or not at all (RFC 8689).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub require_tls: bool,
    /// RET (RFC 3461 §4.3)
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ret: Option<Ret>,
    /// ENVID as given, in xtext (RFC 3461 §4.4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envid: Option<String>,
}

impl Envelope {
    pub fn has(&self, address: &Address) -> bool {
        self.recipients
            .iter()
            .any(|recipient| recipient.address == *address)
    }

    /// Whether the client allows such an address: one outside ASCII is for transactions with SMTPUTF8 (RFC 6531 §3.4). An error says so.
    pub fn allows(&self, address: &Address) -> Result<(), String> {
        if address.needs_utf8() && !self.utf8 {
            return Err(format!(
                "the address {address} is not ASCII, and the client did not ask for SMTPUTF8"
            ));
        }
        Ok(())
    }
}

/// What the client says that the body is: BODY of MAIL (RFC 6152, RFC 3030 §3).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Body {
    #[default]
    SevenBit,
    EightBit,
    /// Any octets, without lines.
    Binary,
}

/// How much of the message a notice about it is to carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ret {
    Full,
    Headers,
}
