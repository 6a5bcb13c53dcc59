//! `filing`: where the message goes when it is delivered here.

use super::only;
use crate::mail::{Edit, Line, MailboxName};
use crate::plugin::abi::generated::filing::Host;
use crate::plugin::abi::generated::types::{Refusal, Scope};
use crate::plugin::capability::Ability;
use crate::plugin::state::{Refused, State};

const MAX_WHY: usize = 1000;
const MAX_KEYWORD: usize = 64;
/// RFC 3501 §2.3.2, without \Recent, which only the server sets.
const SYSTEM_FLAGS: [&str; 5] = ["\\Answered", "\\Deleted", "\\Draft", "\\Flagged", "\\Seen"];

fn file_into(mailbox: &str, why: &str) -> Result<Edit, Refused> {
    let mailbox = MailboxName::new(mailbox)
        .map_err(|error| Refused::BadValue(format!("the mailbox {mailbox:?}: {error}")))?;
    if why.len() > MAX_WHY {
        return Err(Refused::TooMuch(format!(
            "a reason of {} octets: the limit is {MAX_WHY}",
            why.len()
        )));
    }
    Ok(Edit::FileInto {
        mailbox: mailbox.as_str().to_owned(),
        why: Line::lossy(why).into(),
    })
}

/// A system flag in the case of the RFC, or a keyword, which is an atom (RFC 3501 §9).
fn flag(text: &str) -> Result<Edit, Refused> {
    if text.starts_with('\\') {
        let known = SYSTEM_FLAGS
            .iter()
            .find(|flag| flag.eq_ignore_ascii_case(text));
        return known
            .map(|flag| Edit::AddFlag((*flag).to_owned()))
            .ok_or_else(|| {
                Refused::BadValue(format!(
                    "the flag {text:?}: it must be a keyword or one of {}",
                    SYSTEM_FLAGS.join(" ")
                ))
            });
    }
    let fine = |c: char| c.is_ascii_graphic() && !"(){%*\"\\]".contains(c);
    if text.is_empty() || text.len() > MAX_KEYWORD || !text.chars().all(fine) {
        return Err(Refused::BadValue(format!(
            "the keyword {text:?}: it must be 1 to {MAX_KEYWORD} printable ASCII characters other than ( ) {{ ] % * \" \\ (RFC 3501 §9)"
        )));
    }
    Ok(Edit::AddFlag(text.to_owned()))
}

impl State {
    fn file(
        &mut self,
        call: &str,
        edit: Result<Edit, Refused>,
        scope: Scope,
    ) -> Result<(), Refusal> {
        self.count();
        let result = edit.and_then(|edit| {
            let scope = self.scope(only(scope))?;
            if let Edit::FileInto { mailbox, .. } = &edit {
                self.allow(Ability::Filing, mailbox)?;
            }
            self.edit_filing(edit, scope)
        });
        self.answer(call, result)
    }
}

impl Host for State {
    fn file_into(&mut self, mailbox: String, why: String, scope: Scope) -> Result<(), Refusal> {
        self.file("filing.file-into", file_into(&mailbox, &why), scope)
    }

    fn add_flag(&mut self, text: String, scope: Scope) -> Result<(), Refusal> {
        self.file("filing.add-flag", flag(&text), scope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_system_flags_or_keywords() {
        let set = |text: &str| match flag(text) {
            Ok(Edit::AddFlag(flag)) => Some(flag),
            _ => None,
        };
        assert_eq!(set("\\seen").as_deref(), Some("\\Seen"));
        assert_eq!(set("$Forwarded").as_deref(), Some("$Forwarded"));
        for bad in ["", "\\Recent", "\\Odd", "two words", "a(b", "ä", "a\r\nb"] {
            assert!(flag(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn mailbox_names_are_checked() {
        assert!(file_into("Lists/rust", "").is_ok());
        for bad in ["", "a//b", "a*", "a\r\nb"] {
            assert!(file_into(bad, "").is_err(), "{bad:?}");
        }
    }
}
