//! `envelope-edit`: changes of the reverse-path and of the recipients, checked and recorded.
//! Whether an added recipient is ours to deliver is for `accept` to say.

use crate::mail::{Address, EnvelopeEdit, Reply, ReversePath};
use crate::plugin::abi::generated::envelope_edit::Host;
use crate::plugin::abi::generated::types::Refusal;
use crate::plugin::capability::Ability;
use crate::plugin::state::{Refused, State, nothing_yet};
use crate::proto::smtp::arguments;

/// Longer than ENVID, NOTIFY and ORCPT can be together.
const MAX_ARGUMENTS: usize = 1000;

fn address(text: &str) -> Result<Address, Refused> {
    Address::parse(text)
        .map_err(|error| Refused::BadValue(format!("the address {text:?}: {error}")))
}

/// Nothing but spaces is nothing.
fn checked<T>(
    arguments: Option<String>,
    read: impl FnOnce(&str) -> Result<T, Reply>,
) -> Result<Option<String>, Refused> {
    let Some(text) = arguments else {
        return Ok(None);
    };
    if text.len() > MAX_ARGUMENTS {
        return Err(Refused::TooMuch(format!(
            "parameters of {} octets: the limit is {MAX_ARGUMENTS}",
            text.len()
        )));
    }
    read(&text).map_err(|reply| {
        let why: Vec<_> = reply.lines.iter().map(ToString::to_string).collect();
        Refused::BadValue(format!("the parameters {text:?}: {}", why.join(" ")))
    })?;
    Ok(Some(text))
}

impl State {
    fn fits(&self, address: &Address) -> Result<(), Refused> {
        let view = self.view().ok_or_else(nothing_yet)?;
        view.envelope.allows(address).map_err(Refused::BadValue)
    }

    fn sender(&mut self, text: &str, arguments: Option<String>) -> Result<(), Refused> {
        let sender = match text {
            "" => ReversePath::Null,
            text => {
                let address = address(text)?;
                self.fits(&address)?;
                ReversePath::Address(address)
            }
        };
        let arguments = checked(arguments, arguments::of_sender)?;
        let view = self.view().ok_or_else(nothing_yet)?;
        let was = view.envelope.sender.clone();
        let octets = text.len() + arguments.as_ref().map_or(0, String::len);
        let edit = EnvelopeEdit::SetSender {
            sender,
            arguments,
            was,
        };
        self.edit_envelope(edit, octets)
    }

    fn added(&mut self, text: &str, arguments: Option<String>) -> Result<(), Refused> {
        let address = address(text)?;
        self.allow(Ability::EnvelopeEdit, &address.to_string())?;
        self.fits(&address)?;
        let arguments = checked(arguments, arguments::of_recipient)?;
        let octets = text.len() + arguments.as_ref().map_or(0, String::len);
        self.edit_envelope(EnvelopeEdit::AddRecipient { address, arguments }, octets)
    }

    fn removed(&mut self, text: &str) -> Result<(), Refused> {
        let view = self.view().ok_or_else(nothing_yet)?;
        let address = Address::parse(text).ok();
        let address = address.filter(|address| view.envelope.has(address));
        let address = address.ok_or_else(|| {
            Refused::NoSuchThing(format!(
                "{text:?} is not a recipient of this transaction; envelope.recipients has them"
            ))
        })?;
        self.edit_envelope(EnvelopeEdit::RemoveRecipient { address }, text.len())
    }
}

impl Host for State {
    fn set_sender(&mut self, address: String, arguments: Option<String>) -> Result<(), Refusal> {
        self.count();
        let result = self.sender(&address, arguments);
        self.answer("envelope-edit.set-sender", result)
    }

    fn add_recipient(&mut self, address: String, arguments: Option<String>) -> Result<(), Refusal> {
        self.count();
        let result = self.added(&address, arguments);
        self.answer("envelope-edit.add-recipient", result)
    }

    fn remove_recipient(&mut self, address: String) -> Result<(), Refusal> {
        self.count();
        let result = self.removed(&address);
        self.answer("envelope-edit.remove-recipient", result)
    }
}
