//! What a server offers in its reply to EHLO (RFC 5321 §4.1.1.1).
//! Sends nothing.

use crate::mail::{EnhancedCode, Reply};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extensions {
    /// RFC 1870: offered, and the largest message; 0 where none is named.
    pub size: Option<u64>,
    pub eight_bit: bool,
    pub utf8: bool,
    pub chunking: bool,
    pub binary: bool,
    pub dsn: bool,
    pub starttls: bool,
    pub require_tls: bool,
    /// The attributes that may be told, in capitals; empty where it is not offered.
    pub xforward: Vec<String>,
    pub xclient: Vec<String>,
}

impl Extensions {
    pub(super) fn of(reply: &Reply) -> Self {
        let mut extensions = Self::default();
        // The first line is the server's name.
        for line in reply.lines.iter().skip(1) {
            let mut words = line.as_str().split_ascii_whitespace();
            let Some(keyword) = words.next() else {
                continue;
            };
            let attributes = |words: std::str::SplitAsciiWhitespace<'_>| -> Vec<String> {
                words.map(str::to_ascii_uppercase).collect()
            };
            match keyword.to_ascii_uppercase().as_str() {
                "SIZE" => {
                    let limit = words.next().and_then(|size| size.parse().ok());
                    extensions.size = Some(limit.unwrap_or_default());
                }
                "8BITMIME" => extensions.eight_bit = true,
                "SMTPUTF8" => extensions.utf8 = true,
                "CHUNKING" => extensions.chunking = true,
                "BINARYMIME" => extensions.binary = true,
                "DSN" => extensions.dsn = true,
                "STARTTLS" => extensions.starttls = true,
                "REQUIRETLS" => extensions.require_tls = true,
                "XFORWARD" => extensions.xforward = attributes(words),
                "XCLIENT" => extensions.xclient = attributes(words),
                _ => {}
            }
        }
        extensions
    }

    /// Whether a message may be so large (RFC 1870 §6.1).
    pub(super) fn takes(&self, size: u64) -> Result<(), Reply> {
        match self.size {
            Some(limit) if limit > 0 && size > limit => {
                let text = "The message is larger than the next hop takes";
                Err(Reply::new(552, EnhancedCode(5, 3, 4), text))
            }
            _ => Ok(()),
        }
    }
}
