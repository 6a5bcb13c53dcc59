//! What an SMTP client is told: code, enhanced status code and lines (RFC 5321 §4.2, RFC 3463).

use super::Line;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::Write;

/// class.subject.detail (RFC 3463 §2)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnhancedCode(pub u8, pub u16, pub u16);

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// A reply; its code is between 200 and 599 and its lines hold no line ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    pub code: u16,
    /// Absent where RFC 2034 §4 wants none: the greeting, the replies to HELO and EHLO, 3xx.
    pub enhanced: Option<EnhancedCode>,
    pub lines: Vec<Line>,
    /// The limit of ours that it is about, for whoever counts them.
    #[serde(skip)]
    pub limit: Option<&'static str>,
}

impl Reply {
    pub fn new(code: u16, enhanced: EnhancedCode, text: &str) -> Self {
        Self {
            code,
            enhanced: Some(enhanced),
            lines: text.lines().map(Line::lossy).collect(),
            limit: None,
        }
    }

    /// The same, about a limit of ours.
    pub fn about(self, limit: &'static str) -> Self {
        Self {
            limit: Some(limit),
            ..self
        }
    }

    /// A reply without an enhanced code.
    pub fn plain(code: u16, text: &str) -> Self {
        Self {
            code,
            enhanced: None,
            lines: text.lines().map(Line::lossy).collect(),
            limit: None,
        }
    }

    pub fn is_positive(&self) -> bool {
        self.code < 400
    }

    pub fn is_temporary(&self) -> bool {
        (400..500).contains(&self.code)
    }

    /// As it goes over the wire, CRLF included: `550-5.7.1 first` … `550 5.7.1 last`.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        let none = [Line::default()];
        let lines = if self.lines.is_empty() {
            none.as_slice()
        } else {
            self.lines.as_slice()
        };
        for (index, line) in lines.iter().enumerate() {
            let separator = if index + 1 < lines.len() { '-' } else { ' ' };
            // Writing to a vector does not fail.
            let _ = write!(out, "{}{separator}", self.code);
            if let Some(enhanced) = self.enhanced {
                let _ = write!(out, "{enhanced} ");
            }
            // RFC 5321 §4.2: textstring. UTF-8 would be for those alone who said SMTPUTF8 (RFC 6531 §3.7.4).
            let text = line.as_str().chars();
            out.extend(text.map(|c| match c {
                '\t' | ' '..='~' => u8::try_from(c).unwrap_or(b'?'),
                _ => b'?',
            }));
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// What a message was answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replies {
    /// The same for all recipients.
    All(Reply),
    /// `whole` where a protocol has one reply to a message; where it has one for each recipient (RFC 2033 §4.2), `each`: those of the
    /// recipients that were accepted, in the order they were given in, one given twice included twice.
    Each { whole: Reply, each: Vec<Reply> },
}

impl Replies {
    pub fn whole(&self) -> &Reply {
        match self {
            Self::All(reply) | Self::Each { whole: reply, .. } => reply,
        }
    }

    /// The reply for the recipient that was accepted as this one, counted from 0.
    pub fn of(&self, recipient: usize) -> &Reply {
        match self {
            Self::Each { whole, each } => each.get(recipient).unwrap_or(whole),
            Self::All(reply) => reply,
        }
    }
}

impl From<Reply> for Replies {
    fn from(reply: Reply) -> Self {
        Self::All(reply)
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(enhanced) = self.enhanced {
            write!(f, " {enhanced}")?;
        }
        for line in &self.lines {
            write!(f, " {line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_lines_repeat_both_codes() {
        let mut out = Vec::new();
        Reply::new(550, EnhancedCode(5, 7, 1), "no\nreally not").write_to(&mut out);
        assert_eq!(out, b"550-5.7.1 no\r\n550 5.7.1 really not\r\n");
    }

    #[test]
    fn all_of_it_is_printable_ascii() {
        let mut out = Vec::new();
        Reply::new(
            550,
            EnhancedCode(5, 1, 1),
            "<gr\u{e9}ta@x.test>\u{1b}[1m\tno",
        )
        .write_to(&mut out);
        assert_eq!(out, b"550 5.1.1 <gr?ta@x.test>?[1m\tno\r\n");
    }

    #[test]
    fn no_text_is_still_a_line() {
        let mut out = Vec::new();
        Reply::plain(220, "").write_to(&mut out);
        assert_eq!(out, b"220 \r\n");
    }
}
