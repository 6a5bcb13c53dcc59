//! What a message's header must not be, whoever it is from: too large, too long a list, or one that goes round in circles.
//! Looks at no sender and at no content.

use crate::mail::{EnhancedCode, Header, Reply};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hygiene {
    /// Octets of the header. What filters can't see of it would be hidden from them, so it is no more than they are shown.
    pub header_size: u64,
    pub header_fields: usize,
    /// Received fields (RFC 5321 §6.3).
    pub hops: usize,
    /// Those of them that this server wrote.
    pub own_hops: usize,
}

impl Default for Hygiene {
    fn default() -> Self {
        Self {
            header_size: 512 * 1024,
            header_fields: 1000,
            hops: 100,
            own_hops: 10,
        }
    }
}

impl Hygiene {
    /// Why the message is refused.
    pub fn refusal(&self, header: &Header, server_name: &str) -> Option<Reply> {
        let no =
            |code, enhanced, text: &str, limit| Some(Reply::new(code, enhanced, text).about(limit));
        if header.is_cut() || header.size() > self.header_size {
            let text = format!("The header is larger than {} octets", self.header_size);
            return no(552, EnhancedCode(5, 3, 4), &text, "header-size");
        }
        if header.fields().len() > self.header_fields {
            let text = format!("The header has more than {} fields", self.header_fields);
            return no(554, EnhancedCode(5, 6, 0), &text, "header-fields");
        }
        let ours = format!(" by {server_name} (wasmilter) ");
        let (mut hops, mut own) = (0, 0);
        for field in header.fields().iter().filter(|field| field.is("Received")) {
            hops += 1;
            own += usize::from(field.text().contains(&ours));
        }
        if hops > self.hops || own > self.own_hops {
            let text = "Too many hops: the message goes round in circles";
            return no(554, EnhancedCode(5, 4, 6), text, "hops");
        }
        None
    }
}
