//! `envelope`: the reverse-path and the recipients accepted so far.

use crate::plugin::abi::generated::envelope::{Host, Recipient};
use crate::plugin::state::State;

impl Host for State {
    fn sender(&mut self) -> String {
        self.count();
        self.view()
            .map(|view| view.envelope.sender.to_string())
            .unwrap_or_default()
    }

    fn recipients(&mut self) -> Vec<Recipient> {
        self.count();
        let recipients = self.view().map(|view| view.envelope.recipients.as_slice());
        recipients
            .unwrap_or_default()
            .iter()
            .map(|recipient| Recipient {
                address: recipient.address.to_string(),
                notify: recipient.notify.clone(),
                original: recipient.original.clone(),
            })
            .collect()
    }
}
