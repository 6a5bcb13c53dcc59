//! What is to be changed, as the modifications that a mail server is asked for, those that it offers.
//! Does not find out what is to be changed.

use crate::accept::Screened;
use crate::ingress::changes::{Changes, Given, recipient_parameters, sender_parameters};
use crate::mail::{Content, Field, FieldChange, Recipient};
use crate::proto::milter::{Actions, Modification, Negotiated, Steps};
use std::io;

/// What the mail server is asked for.
#[derive(Debug, Default)]
pub struct Modifications {
    pub list: Vec<Modification>,
    /// The new body: where it begins in a message.
    pub body: Option<(Content, u64)>,
    /// What it cannot be asked for, and why.
    pub missed: Vec<String>,
}

impl Modifications {
    pub fn new(screened: &Screened, given: &Given, negotiated: &Negotiated) -> io::Result<Self> {
        let changes = Changes::of(screened, given)?;
        let space = negotiated.steps.contains(Steps::LEADING_SPACE);
        let mut all = Self::from(changes, space);
        all.keep_allowed(negotiated.actions);
        Ok(all)
    }

    fn from(changes: Changes<'_>, leading_space: bool) -> Self {
        let sender = changes.sender.map(|envelope| Modification::ChangeSender {
            address: format!("<{}>", envelope.sender),
            parameters: joined(&sender_parameters(envelope)),
        });
        let added = changes.added.into_iter().map(added);
        let removed = changes.removed.into_iter().map(str::to_owned);
        let removed = removed.map(|address| Modification::DeleteRecipient { address });
        let fields = changes.fields.into_iter();
        let fields = fields.map(|change| header(change, leading_space));
        let envelope = sender.into_iter().chain(added).chain(removed);
        Self {
            list: envelope.chain(fields).collect(),
            body: changes.body,
            missed: Vec::new(),
        }
    }

    /// Leaves out what the mail server did not offer.
    fn keep_allowed(&mut self, actions: Actions) {
        let missed = &mut self.missed;
        self.list.retain_mut(|modification| {
            if actions.contains(modification.action()) {
                return true;
            }
            if let Modification::AddRecipient { parameters, .. } = modification
                && parameters.is_some()
                && actions.contains(Actions::ADD_RECIPIENT)
            {
                *parameters = None;
                missed.push(
                    "ESMTP parameters of an added recipient: the mail server takes none".to_owned(),
                );
                return true;
            }
            missed.push(format!(
                "the mail server does not let a filter {}",
                what(modification)
            ));
            false
        });
        if self.body.is_some() && !actions.contains(Actions::CHANGE_BODY) {
            self.body = None;
            missed.push("the mail server does not let a filter replace the body".to_owned());
        }
    }
}

fn what(modification: &Modification) -> &'static str {
    match modification {
        Modification::AddHeader { .. } | Modification::InsertHeader { .. } => "add header fields",
        Modification::ChangeHeader { .. } => "change or remove header fields",
        Modification::ChangeSender { .. } => "change the sender",
        Modification::AddRecipient { .. } => "add recipients",
        Modification::DeleteRecipient { .. } => "remove recipients",
        Modification::Quarantine { .. } => "set a message aside",
    }
}

fn added(recipient: &Recipient) -> Modification {
    Modification::AddRecipient {
        address: format!("<{}>", recipient.address),
        parameters: joined(&recipient_parameters(recipient)),
    }
}

fn joined(parameters: &[(&str, &str)]) -> Option<String> {
    let given: Vec<_> = parameters
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    (!given.is_empty()).then(|| given.join(" "))
}

fn header(change: FieldChange<'_>, leading_space: bool) -> Modification {
    let name = |field: &Field| field.name().into_owned().into_bytes();
    let value = |field: &Field| value(field, leading_space);
    match change {
        FieldChange::Replace { nth, field } => Modification::ChangeHeader {
            nth,
            name: name(field),
            // An empty one would remove the field.
            value: Some(value(field))
                .filter(|value| !value.is_empty())
                .unwrap_or_else(|| b" ".to_vec()),
        },
        FieldChange::Remove { nth, field } => Modification::ChangeHeader {
            nth,
            name: name(field),
            value: Vec::new(),
        },
        FieldChange::Top { field } => Modification::InsertHeader {
            at: 0,
            name: name(field),
            value: value(field),
        },
        // A mail server counts the Received field that it adds itself, and does not show.
        FieldChange::Insert { at, field } => Modification::InsertHeader {
            at: at.saturating_add(1),
            name: name(field),
            value: value(field),
        },
        FieldChange::Append { field } => Modification::AddHeader {
            name: name(field),
            value: value(field),
        },
    }
}

/// Lines end with LF here. A mail server that does not want to see the space after the colon puts one there itself.
fn value(field: &Field, leading_space: bool) -> Vec<u8> {
    let mut value = field.value().to_vec();
    value.retain(|octet| *octet != b'\r');
    if !leading_space && value.first() == Some(&b' ') {
        value.remove(0);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingress::changes::Written;
    use crate::mail::{Address, Envelope, ReversePath};

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    /// The sender is a@client.test; to alice and root.
    fn given() -> Given {
        Given {
            envelope: Envelope {
                sender: ReversePath::Address(address("a@client.test")),
                ..Envelope::default()
            },
            recipients: [
                ("alice@example.test", "<Alice@example.test>"),
                ("root@mx.example.test", "root"),
            ]
            .map(|(read, text)| Written {
                address: Ok(address(read)),
                text: text.to_owned(),
            })
            .into(),
        }
    }

    fn now(sender: &str, recipients: &[&str]) -> Envelope {
        Envelope {
            sender: ReversePath::try_from(sender.to_owned()).unwrap(),
            recipients: recipients.iter().map(|text| address(text).into()).collect(),
            ..Envelope::default()
        }
    }

    fn changes(envelope: &Envelope, actions: u32) -> (Vec<Modification>, Vec<String>) {
        let given = given();
        let mut all = Modifications::from(Changes::envelope(envelope, &given), false);
        all.keep_allowed(Actions(actions));
        (all.list, all.missed)
    }

    #[test]
    fn the_envelope_is_changed_where_it_differs() {
        let both = ["alice@example.test", "root@mx.example.test"];
        assert_eq!(changes(&now("a@client.test", &both), 0), (vec![], vec![]));
        let mut other = now("", &["alice@example.test", "bob@example.test"]);
        other.envid = Some("QQ7".into());
        let added = other.recipients.last_mut().unwrap();
        added.notify = Some("NEVER".into());
        let sender = Modification::ChangeSender {
            address: "<>".into(),
            parameters: Some("ENVID=QQ7".into()),
        };
        let with = |parameters| Modification::AddRecipient {
            address: "<bob@example.test>".into(),
            parameters,
        };
        // As it was written by who gave it.
        let removed = Modification::DeleteRecipient {
            address: "root".into(),
        };
        let (list, missed) = changes(&other, 0x1ff);
        let parameters = Some("NOTIFY=NEVER".to_owned());
        assert_eq!(list, [sender, with(parameters), removed.clone()]);
        assert!(missed.is_empty());
        let (list, missed) = changes(&other, 0x0c);
        assert_eq!(list, [with(None), removed]);
        assert_eq!(missed.len(), 2, "{missed:?}");
        assert!(missed.iter().any(|why| why.ends_with("change the sender")));
    }
}
