//! The names of mailboxes: what can be one, and which levels it has. Says nothing of what exists.

use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailboxNameError {
    #[error("a mailbox name cannot be empty, nor a level of it")]
    Empty,
    #[error("a mailbox name cannot hold control characters, '*' or '%'")]
    Character,
    #[error("a mailbox name is at the most 255 octets long")]
    TooLong,
}

/// The name of a mailbox: UTF-8, levels separated by '/'. INBOX is the same in any case (RFC 3501 §5.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MailboxName(String);

impl MailboxName {
    pub const SEPARATOR: char = '/';
    pub const INBOX: &str = "INBOX";

    pub fn new(name: &str) -> Result<Self, MailboxNameError> {
        let name = name.strip_suffix(Self::SEPARATOR).unwrap_or(name);
        if name.split(Self::SEPARATOR).any(str::is_empty) {
            return Err(MailboxNameError::Empty);
        }
        if name
            .chars()
            .any(|c| c.is_control() || matches!(c, '*' | '%'))
        {
            return Err(MailboxNameError::Character);
        }
        if name.len() > 255 {
            return Err(MailboxNameError::TooLong);
        }
        let (first, rest) = name.split_once(Self::SEPARATOR).unwrap_or((name, ""));
        Ok(if !first.eq_ignore_ascii_case(Self::INBOX) {
            Self(name.to_owned())
        } else if rest.is_empty() {
            Self::inbox()
        } else {
            Self(format!("{}/{rest}", Self::INBOX))
        })
    }

    pub fn inbox() -> Self {
        Self(Self::INBOX.to_owned())
    }

    pub fn is_inbox(&self) -> bool {
        self.0 == Self::INBOX
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The names above it, outermost first.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> {
        self.0
            .match_indices(Self::SEPARATOR)
            .filter_map(|(at, _)| self.0.get(..at))
            .map(|name| Self(name.to_owned()))
    }
}

impl fmt::Display for MailboxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_and_inbox_is_folded() {
        for (name, kept) in [
            ("Lists/rust", Some("Lists/rust")),
            ("inbox", Some("INBOX")),
            ("InBox/x", Some("INBOX/x")),
            ("a/", Some("a")),
            ("Gr\u{fc}\u{df}e", Some("Gr\u{fc}\u{df}e")),
            ("", None),
            ("/", None),
            ("/a", None),
            ("a//b", None),
            ("a*", None),
            ("a\r\nb", None),
        ] {
            let parsed = MailboxName::new(name).ok();
            assert_eq!(parsed.as_ref().map(MailboxName::as_str), kept, "{name:?}");
        }
    }

    #[test]
    fn ancestors_come_outermost_first() {
        let name = MailboxName::new("a/b/c").unwrap();
        let above: Vec<_> = name.ancestors().map(|name| name.to_string()).collect();
        assert_eq!(above, ["a", "a/b"]);
    }
}
