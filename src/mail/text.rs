//! Text that cannot carry an injection: no CR, LF or NUL gets into a header field, a reply or a log line by these types.
//! They say nothing of what the text means.

use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    #[error("it holds {0}, which would start a new line or end the text")]
    Control(&'static str),
    #[error("it is empty")]
    Empty,
    #[error("a line of it does not begin with a space or tab, which would start another field")]
    Unfolded,
    #[error(
        "{0:?} cannot stand in a header field name (printable ASCII without ':' and space, RFC 5322 §2.2)"
    )]
    FieldName(char),
    #[error("it is {0} octets long, the limit is {1}")]
    TooLong(usize, usize),
}

/// Text on one line: no CR, LF or NUL.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Line(String);

impl Line {
    pub fn new(text: impl Into<String>) -> Result<Self, TextError> {
        let text = text.into();
        match text.bytes().find(|b| matches!(b, b'\r' | b'\n' | 0)) {
            Some(b'\r') => Err(TextError::Control("a carriage return")),
            Some(b'\n') => Err(TextError::Control("a line feed")),
            Some(_) => Err(TextError::Control("a NUL")),
            None => Ok(Self(text)),
        }
    }

    /// Puts a space in place of each character that a line cannot hold; for text that is only shown.
    pub fn lossy(text: &str) -> Self {
        Self(text.replace(['\r', '\n', '\0'], " "))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Line {
    type Error = TextError;
    fn try_from(text: String) -> Result<Self, TextError> {
        Self::new(text)
    }
}

impl From<Line> for String {
    fn from(line: Line) -> Self {
        line.0
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a header field (RFC 5322 §2.2). Compared without case.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FieldName(String);

impl FieldName {
    /// RFC 5322 §2.1.1 limits a line to 998 octets; a name that long helps nobody.
    const MAX: usize = 76;

    pub fn new(name: impl Into<String>) -> Result<Self, TextError> {
        let name = name.into();
        if name.is_empty() {
            return Err(TextError::Empty);
        }
        if name.len() > Self::MAX {
            return Err(TextError::TooLong(name.len(), Self::MAX));
        }
        match name.chars().find(|c| !c.is_ascii_graphic() || *c == ':') {
            Some(c) => Err(TextError::FieldName(c)),
            None => Ok(Self(name)),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for FieldName {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}
impl Eq for FieldName {}

impl TryFrom<String> for FieldName {
    type Error = TextError;
    fn try_from(name: String) -> Result<Self, TextError> {
        Self::new(name)
    }
}

impl From<FieldName> for String {
    fn from(name: FieldName) -> Self {
        name.0
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_hold_no_line_ends() {
        for bad in ["a\rb", "a\nb", "a\0b", "\r\n"] {
            assert!(Line::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Line::lossy("a\r\nb\0").as_str(), "a  b ");
    }

    #[test]
    fn field_names_are_printable_without_colon() {
        for bad in ["", "a b", "a:", "ä", "a\n", &"x".repeat(77)] {
            assert!(FieldName::new(bad).is_err(), "{bad:?}");
        }
        assert_eq!(
            FieldName::new("x-SPAM").unwrap(),
            FieldName::new("X-Spam").unwrap()
        );
    }
}
