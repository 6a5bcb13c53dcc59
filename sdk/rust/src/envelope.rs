//! The envelope (RFC 5321 §2.3.1). Empty before MAIL; recipients grow with each RCPT that is accepted. It can be changed at `mail`, `rcpt` and
//! `message`; later hooks and later filters see it changed, the hook that asks for it does not.

use crate::Asked;
pub use crate::bindings::envelope::Recipient;
use crate::bindings::{envelope, envelope_edit};

/// The reverse-path without its angle brackets; empty for the null reverse-path of bounces.
pub fn sender() -> String {
    envelope::sender()
}

/// The recipients accepted so far, in order.
pub fn recipients() -> Vec<Recipient> {
    envelope::recipients()
}

/// Replace the reverse-path; "" is the null reverse-path of bounces.
pub fn set_sender(address: &str) -> Asked {
    envelope_edit::set_sender(address, None).into()
}

/// With ESMTP parameters in place of those given, such as "RET=HDRS ENVID=x" (RFC 3461 §4.3).
pub fn set_sender_with(address: &str, parameters: &str) -> Asked {
    envelope_edit::set_sender(address, Some(parameters)).into()
}

/// Add a recipient. Whether this server delivers to it is looked up when the hook returns; if not, the journal says so.
pub fn add_recipient(address: &str) -> Asked {
    envelope_edit::add_recipient(address, None).into()
}

/// With ESMTP parameters, such as "NOTIFY=NEVER" (RFC 3461 §4.1).
pub fn add_recipient_with(address: &str, parameters: &str) -> Asked {
    envelope_edit::add_recipient(address, Some(parameters)).into()
}

/// As if the client had not named it. A message that is left without recipients is discarded.
pub fn remove_recipient(address: &str) -> Asked {
    envelope_edit::remove_recipient(address).into()
}
