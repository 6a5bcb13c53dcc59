//! What is known about the connection that a transaction came over.

use super::{Hook, Tags, Turn};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    /// "TLSv1.3"
    pub version: String,
    /// "TLS13_AES_256_GCM_SHA384"
    pub cipher: String,
    /// Whose verified certificate the client showed: a mail address, a domain or a common name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// This server's name.
    pub server_name: String,
    /// None for local sockets and files.
    pub client_address: Option<IpAddr>,
    pub client_name: Option<String>,
    /// Empty before EHLO.
    pub helo: String,
    /// RFC 3848: "ESMTP", "ESMTPS" …
    pub protocol: String,
    pub tls: Option<Tls>,
    pub authenticated: Option<String>,
    /// By which SASL mechanism, where that is known: "PLAIN".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_mechanism: Option<String>,
    /// Set where the client is told of by a proxy or mail server of ours, which is this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<Via>,
    /// What filters left at `connect` and `helo`.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
    /// What filters did at `connect` and `helo`, one turn of each at the most: the journal of each transaction begins with it.
    #[serde(skip)]
    pub greeted: Vec<Turn>,
}

impl Session {
    /// "LMTP", "UTF8LMTPS" …: the client is a mail server of ours (RFC 2033 §2).
    pub fn is_lmtp(&self) -> bool {
        self.protocol.contains("LMTP")
    }

    /// A later EHLO takes the place of the one before.
    pub fn greet(&mut self, hook: Hook, turns: Vec<Turn>) {
        self.greeted.retain(|turn| turn.hook != hook);
        self.greeted.extend(turns);
    }
}

/// Who handed a client's connection or message on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Via {
    pub how: How,
    pub address: Option<IpAddr>,
    /// What it calls itself; empty where it says nothing of itself.
    pub helo: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum How {
    Proxy,
    Xclient,
    Xforward,
}
