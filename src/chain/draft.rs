//! The message with the edits so far, for each recipient. A recipient gets a message of its own only when an edit is not for all.

use crate::mail::{Address, Edit, Message, Recipient, Scope, Scoped};
use std::collections::{BTreeSet, HashSet};

/// Where and how a recipient's copy is to be filed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filing {
    /// Mailbox and why; INBOX if none.
    pub mailbox: Option<(String, String)>,
    pub flags: BTreeSet<String>,
}

impl Filing {
    fn apply(&mut self, edit: &Edit) {
        match edit {
            Edit::FileInto { mailbox, why } => {
                self.mailbox = Some((mailbox.clone(), why.clone()));
            }
            Edit::AddFlag(flag) => {
                self.flags.insert(flag.clone());
            }
            Edit::Header(_)
            | Edit::Body(_)
            | Edit::Envelope(_)
            | Edit::Hold { .. }
            | Edit::Via(_)
            | Edit::Tag { .. } => {}
        }
    }
}

#[derive(Debug, Clone)]
pub struct Draft {
    message: Message,
    recipients: Vec<Copy>,
    /// What was asked for all: one who is added later has it too.
    filing: Filing,
}

#[derive(Debug, Clone)]
struct Copy {
    address: Address,
    /// Present once it differs from that of the others.
    own: Option<Message>,
    filing: Filing,
}

impl Draft {
    pub fn new(message: Message, recipients: &[Recipient]) -> Self {
        let recipients = recipients
            .iter()
            .map(|recipient| Copy {
                address: recipient.address.clone(),
                own: None,
                filing: Filing::default(),
            })
            .collect();
        Self {
            message,
            recipients,
            filing: Filing::default(),
        }
    }

    /// One that a filter adds.
    pub fn add(&mut self, address: &Address) {
        self.recipients.push(Copy {
            address: address.clone(),
            own: None,
            filing: self.filing.clone(),
        });
    }

    /// One that a filter removes.
    pub fn remove(&mut self, address: &Address) {
        self.recipients.retain(|copy| copy.address != *address);
    }

    /// As it stands for all who have no edit of their own.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// As it stands for this recipient.
    pub fn message_for(&self, recipient: &Address) -> Message {
        self.recipients
            .iter()
            .find(|copy| copy.address == *recipient)
            .and_then(|copy| copy.own.clone())
            .unwrap_or_else(|| self.message.clone())
    }

    pub fn filing(&self, recipient: &Address) -> Filing {
        self.recipients
            .iter()
            .find(|copy| copy.address == *recipient)
            .map(|copy| copy.filing.clone())
            .unwrap_or_default()
    }

    /// Files for every recipient whom no filter has filed for.
    pub fn file_by_default(&mut self, mailbox: &str, why: &str) {
        for copy in &mut self.recipients {
            if copy.filing.mailbox.is_none() {
                copy.filing.mailbox = Some((mailbox.to_owned(), why.to_owned()));
            }
        }
    }

    pub fn apply(&mut self, edits: &[Scoped]) {
        for Scoped { edit, scope } in edits {
            if scope.is_all() {
                edit_message(&mut self.message, edit);
            }
            if scope.is_all() {
                self.filing.apply(edit);
            }
            let only: Option<HashSet<_>> = match scope {
                Scope::All => None,
                Scope::Only(addresses) => Some(addresses.iter().collect()),
            };
            for copy in &mut self.recipients {
                if only
                    .as_ref()
                    .is_some_and(|only| !only.contains(&copy.address))
                {
                    continue;
                }
                match edit {
                    Edit::Header(_) | Edit::Body(_) if scope.is_all() => {
                        if let Some(own) = &mut copy.own {
                            edit_message(own, edit);
                        }
                    }
                    Edit::Header(_) | Edit::Body(_) => {
                        let own = copy.own.get_or_insert_with(|| self.message.clone());
                        edit_message(own, edit);
                    }
                    other => copy.filing.apply(other),
                }
            }
        }
    }
}

fn edit_message(message: &mut Message, edit: &Edit) {
    match edit {
        Edit::Header(edit) => {
            message.header.apply(edit);
        }
        Edit::Body(edit) => message.edit_body(edit),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Content, FieldName, HeaderEdit, Line};

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn draft() -> Draft {
        let message = Message::new(Content::from_bytes("Subject: s\r\n\r\nbody\r\n")).unwrap();
        Draft::new(
            message,
            &[
                address("alice@example.test").into(),
                address("bob@example.test").into(),
            ],
        )
    }

    fn add(name: &str, scope: Scope) -> Scoped {
        Scoped {
            edit: Edit::Header(HeaderEdit::Add {
                name: FieldName::new(name).unwrap(),
                value: Line::new("1").unwrap().into(),
            }),
            scope,
        }
    }

    fn names(draft: &Draft, recipient: &str) -> Vec<String> {
        let message = draft.message_for(&address(recipient));
        let fields = message.header.fields().iter();
        fields.map(|field| field.name().into_owned()).collect()
    }

    #[test]
    fn an_edit_for_one_recipient_is_not_seen_by_the_other() {
        let mut draft = draft();
        draft.apply(&[
            add("X-All", Scope::All),
            add("X-Bob", Scope::Only(vec![address("bob@example.test")])),
            add("X-After", Scope::All),
        ]);
        assert_eq!(
            names(&draft, "alice@example.test"),
            ["Subject", "X-All", "X-After"]
        );
        assert_eq!(
            names(&draft, "bob@example.test"),
            ["Subject", "X-All", "X-Bob", "X-After"]
        );
    }

    #[test]
    fn who_is_added_has_what_was_asked_for_all() {
        let mut draft = draft();
        let (bob, dora) = (address("bob@example.test"), address("dora@example.test"));
        draft.apply(&[
            add("X-All", Scope::All),
            add("X-Bob", Scope::Only(vec![bob.clone()])),
            Scoped {
                edit: Edit::AddFlag("$Seen".to_owned()),
                scope: Scope::All,
            },
        ]);
        draft.add(&dora);
        draft.remove(&bob);
        assert_eq!(names(&draft, "dora@example.test"), ["Subject", "X-All"]);
        assert_eq!(names(&draft, "bob@example.test"), ["Subject", "X-All"]);
        assert!(draft.filing(&dora).flags.contains("$Seen"));
        assert!(draft.filing(&bob).flags.is_empty());
    }

    #[test]
    fn the_last_filing_wins_and_the_default_only_fills_in() {
        let mut draft = draft();
        let file = |mailbox: &str, scope| Scoped {
            edit: Edit::FileInto {
                mailbox: mailbox.to_owned(),
                why: "w".to_owned(),
            },
            scope,
        };
        let alice = address("alice@example.test");
        draft.apply(&[
            file("A", Scope::Only(vec![alice.clone()])),
            file("B", Scope::Only(vec![alice.clone()])),
        ]);
        draft.file_by_default("Junk", "score");
        let mailbox = |who: &Address| draft.filing(who).mailbox.unwrap().0;
        assert_eq!(mailbox(&alice), "B");
        assert_eq!(mailbox(&address("bob@example.test")), "Junk");
    }
}
