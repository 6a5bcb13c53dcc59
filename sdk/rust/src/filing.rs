//! Where the message is filed when it is delivered here, and with which flags.

use crate::Asked;
use crate::bindings::filing;
use crate::bindings::types::Scope;
use crate::verdict::only;

/// File into a mailbox of the recipient in place of INBOX; it is made if it is not there. Levels are separated by "/".
/// The last call wins. At `deliver` it is for that recipient, before it for all of them.
pub fn file_into(mailbox: &str, why: &str) -> Asked {
    filing::file_into(mailbox, why, &Scope::All).into()
}

pub fn file_into_for(recipients: &[&str], mailbox: &str, why: &str) -> Asked {
    filing::file_into(mailbox, why, &only(recipients)).into()
}

/// Set a system flag (`\Seen`, `\Flagged` …) or a keyword (RFC 3501 §2.3.2).
pub fn add_flag(flag: &str) -> Asked {
    filing::add_flag(flag, &Scope::All).into()
}

pub fn add_flag_for(recipients: &[&str], flag: &str) -> Asked {
    filing::add_flag(flag, &only(recipients)).into()
}
