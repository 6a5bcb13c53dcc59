//! Status responses: OK, NO, BAD, BYE with their response codes (RFC 3501 §7.1, RFC 5530).
//! Data responses are written where their data is.

use std::borrow::Cow;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    Ok,
    No,
    Bad,
    Bye,
}

/// What a command ends with; the tag is put before it when it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub status: Status,
    /// Without its brackets.
    pub code: Option<Cow<'static, str>>,
    pub text: Cow<'static, str>,
}

impl Reply {
    pub fn ok(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Status::Ok, text)
    }

    pub fn no(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Status::No, text)
    }

    pub fn bad(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Status::Bad, text)
    }

    pub fn bye(text: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Status::Bye, text)
    }

    pub fn new(status: Status, text: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            code: None,
            text: text.into(),
        }
    }

    pub fn code(self, code: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code: Some(code.into()),
            ..self
        }
    }

    /// With `*` where there is no tag.
    pub fn write_to(&self, tag: Option<&str>, out: &mut Vec<u8>) {
        let status = match self.status {
            Status::Ok => "OK",
            Status::No => "NO",
            Status::Bad => "BAD",
            Status::Bye => "BYE",
        };
        out.extend_from_slice(tag.unwrap_or("*").as_bytes());
        out.push(b' ');
        out.extend_from_slice(status.as_bytes());
        out.push(b' ');
        if let Some(code) = &self.code {
            out.extend_from_slice(format!("[{code}] ").as_bytes());
        }
        // Text is of one line and in ASCII (RFC 3501 §9 text); a mailbox name in it may not be.
        let text = self.text.bytes().map(|b| match b {
            b' '..=b'~' => b,
            _ => b'?',
        });
        out.extend(text);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_whatever_the_text() {
        let mut out = Vec::new();
        Reply::no("no\r\n* OK \u{e4}")
            .code("TRYCREATE")
            .write_to(Some("a1"), &mut out);
        assert_eq!(out, b"a1 NO [TRYCREATE] no??* OK ??\r\n");
    }
}
