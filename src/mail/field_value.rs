//! The value that an edit gives a header field: text for us to encode and fold, or lines that stand as they were written, since somebody
//! may have signed them. Neither can hold what would begin another field.

use super::{Line, TextError};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FieldValue {
    /// Encoded (RFC 2047) and folded when it is written.
    Text(Line),
    AsWritten(Written),
}

/// All that stands between the colon and the last CRLF, folds included. Not all of it need be text: there is mail in old charsets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Raw", into = "Raw")]
pub struct Written(Vec<u8>);

/// As a journal has it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Raw {
    AsWritten(String),
    /// What is not UTF-8, in base64.
    OctetsAsWritten(String),
}

impl Written {
    /// Octets of one line (RFC 5322 §2.1.1).
    const LINE: usize = 998;

    /// Every line end has to be a CRLF with a space or tab behind it (RFC 5322 §2.2.3), on lines that hold more than that.
    pub fn new(octets: impl Into<Vec<u8>>) -> Result<Self, TextError> {
        let octets = octets.into();
        let mut lines = octets.split(|octet| *octet == b'\n').enumerate().peekable();
        while let Some((number, line)) = lines.next() {
            let line = match lines.peek() {
                Some(_) => line.strip_suffix(b"\r"),
                None => Some(line),
            };
            let line = line.ok_or(TextError::Control("a line feed"))?;
            match line.iter().find(|octet| matches!(octet, b'\r' | 0)) {
                Some(b'\r') => return Err(TextError::Control("a carriage return")),
                Some(_) => return Err(TextError::Control("a NUL")),
                None => {}
            }
            if number > 0 && !line.starts_with(b" ") && !line.starts_with(b"\t") {
                return Err(TextError::Unfolded);
            }
            // It could be taken for the empty line that ends the header.
            if number > 0 && line.iter().all(|octet| matches!(octet, b' ' | b'\t')) {
                return Err(TextError::Empty);
            }
            if line.len() > Self::LINE {
                return Err(TextError::TooLong(line.len(), Self::LINE));
            }
        }
        Ok(Self(octets))
    }

    pub fn octets(&self) -> &[u8] {
        &self.0
    }

    /// For people.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }
}

impl TryFrom<Raw> for Written {
    type Error = TextError;
    fn try_from(raw: Raw) -> Result<Self, TextError> {
        match raw {
            Raw::AsWritten(text) => Self::new(text),
            Raw::OctetsAsWritten(text) => {
                let octets = STANDARD.decode(text);
                Self::new(octets.map_err(|_| TextError::Control("what is not base64"))?)
            }
        }
    }
}

impl From<Written> for Raw {
    fn from(written: Written) -> Self {
        match String::from_utf8(written.0) {
            Ok(text) => Self::AsWritten(text),
            Err(error) => Self::OctetsAsWritten(STANDARD.encode(error.as_bytes())),
        }
    }
}

impl FieldValue {
    /// Folds are in it where it stands as it was written.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(line) => line.as_str().into(),
            Self::AsWritten(written) => written.text(),
        }
    }
}

impl From<Line> for FieldValue {
    fn from(line: Line) -> Self {
        Self::Text(line)
    }
}

/// On one line.
impl fmt::Display for FieldValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(line) => line.fmt(f),
            Self::AsWritten(written) => {
                let text = written.text();
                let mut lines = text.trim_matches([' ', '\t']).split("\r\n");
                f.write_str(lines.next().unwrap_or_default())?;
                for line in lines {
                    write!(f, " {}", line.trim_start_matches([' ', '\t']))?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_begins_no_other_field() {
        for good in ["", "v", " a\r\n\tb=;\r\n c", " ä"] {
            assert_eq!(Written::new(good).unwrap().octets(), good.as_bytes());
        }
        for bad in [
            "a\r\nBcc: x",
            "a\n b",
            "a\r b",
            "a\0",
            "a\r\n",
            "a\r\n \r\n b",
            "a\r\n\r\nb",
            &"x".repeat(999),
        ] {
            assert!(Written::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_journal_has_both_kinds() {
        let text = FieldValue::Text(Line::new("Grüße").unwrap());
        let written = FieldValue::AsWritten(Written::new(" v=1;\r\n\tb=x").unwrap());
        let octets = FieldValue::AsWritten(Written::new(b" Gr\xfc\xdfe").unwrap());
        for (value, json) in [
            (&text, "\"Grüße\""),
            (&written, r#"{"as-written":" v=1;\r\n\tb=x"}"#),
            (&octets, r#"{"octets-as-written":"IEdy/N9l"}"#),
        ] {
            assert_eq!(serde_json::to_string(value).unwrap(), json);
            assert_eq!(serde_json::from_str::<FieldValue>(json).unwrap(), *value);
        }
        assert_eq!(written.to_string(), "v=1; b=x");
        let forged = r#"{"as-written":"a\r\nBcc: x"}"#;
        assert!(serde_json::from_str::<FieldValue>(forged).is_err());
    }
}
