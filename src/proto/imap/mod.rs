//! IMAP4rev1 (RFC 3501) without I/O: octets to commands, answers to octets, and the views of a message that FETCH shows.
//! Holds no session and no mail: `mailbox` drives it.

mod encode;
mod envelope;
mod input;
mod nesting;
mod pattern;
mod response;
pub mod section;
mod sequence;
mod structure;
mod utf7;

pub use encode::{date_time, flags, literal_start, mailbox_name, nstring, string};
pub use envelope::envelope;
pub use input::{Append, Event, Expect, Input, Invalid, Limits};
pub use pattern::Pattern;
pub use response::{Reply, Status};
pub use sequence::{Ranges, uid_set};
pub use structure::structure;
pub use utf7::{decode_mailbox, encode_mailbox};
