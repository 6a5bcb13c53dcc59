//! Messages that a command could not read, though they are there: only an administrator can help, who finds them in the log.
//! Reads nothing itself.

use super::selected::Selected;
use super::session::User;

/// So many of one command are named: with a disk that is gone it may be all that there are.
const NAMED: usize = 20;

#[derive(Debug, Default)]
pub(super) struct Unreadable {
    count: usize,
}

impl Unreadable {
    pub fn count(&self) -> usize {
        self.count
    }

    pub fn note(&mut self, user: &User, selected: &Selected, uid: u32, why: &str) {
        self.count += 1;
        if self.count <= NAMED {
            tracing::error!(account = user.login, mailbox = %selected.name, uid, "imap: a message could not be read: {why}");
        }
        if self.count == NAMED {
            tracing::error!("imap: further messages that this command cannot read are not named");
        }
    }
}
