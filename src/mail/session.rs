//! What is known about the connection that a transaction came over.

use super::Tags;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    /// "TLSv1.3"
    pub version: String,
    /// "TLS13_AES_256_GCM_SHA384"
    pub cipher: String,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// What filters left at `connect` and `helo`.
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub tags: Tags,
}
