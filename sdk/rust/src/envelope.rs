//! The envelope (RFC 5321 §2.3.1). Empty before MAIL; recipients grow with each RCPT that is accepted.

use crate::bindings::envelope;
pub use crate::bindings::envelope::Recipient;

/// The reverse-path without its angle brackets; empty for the null reverse-path of bounces.
pub fn sender() -> String {
    envelope::sender()
}

/// The recipients accepted so far, in order.
pub fn recipients() -> Vec<Recipient> {
    envelope::recipients()
}
