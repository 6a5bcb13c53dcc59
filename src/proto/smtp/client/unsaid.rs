//! Parameters of MAIL that the server does not offer and that were left out, in the hope that the message does without.
//! Reads no message.

use crate::mail::{EnhancedCode, Reply};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Unsaid {
    /// BODY=8BITMIME
    pub(super) eight_bit: bool,
    /// SMTPUTF8
    pub(super) utf8: bool,
}

impl Unsaid {
    /// Nothing was left out, so any message may go.
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }

    /// Why a message cannot go whose header or body has octets outside ASCII.
    pub fn refusal(self, header: bool, body: bool) -> Option<Reply> {
        match self {
            // RFC 6531 §3.5: behind the message it is 554.
            Self { utf8: true, .. } if header => Some(no_utf8(554)),
            // RFC 6152 §3: not converted here.
            Self {
                eight_bit: true, ..
            } if header || body => {
                let text = "The next hop takes no 8-bit messages (8BITMIME)";
                Some(Reply::new(554, EnhancedCode(5, 6, 3), text))
            }
            _ => None,
        }
    }
}

/// RFC 6531 §3.2
pub(super) fn no_utf8(code: u16) -> Reply {
    let text = "The next hop takes no internationalised mail (SMTPUTF8)";
    Reply::new(code, EnhancedCode(5, 6, 7), text)
}
