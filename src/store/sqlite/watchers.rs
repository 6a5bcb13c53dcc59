//! Who waits for changes of which account's mailboxes.
//! Does not say what changed.

use crate::store::AccountId;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use tokio::sync::watch;

#[derive(Default)]
pub struct Watchers(Mutex<HashMap<AccountId, watch::Sender<u64>>>);

impl Watchers {
    pub fn watch(&self, account: AccountId) -> watch::Receiver<u64> {
        self.map()
            .entry(account)
            .or_insert_with(|| watch::channel(0).0)
            .subscribe()
    }

    /// Those of these accounts are told.
    pub fn wake(&self, accounts: &[AccountId]) {
        let mut map = self.map();
        for account in accounts {
            if let Some(sender) = map.get(account) {
                if sender.receiver_count() == 0 {
                    map.remove(account);
                } else {
                    sender.send_modify(|value| *value = value.wrapping_add(1));
                }
            }
        }
    }

    fn map(&self) -> std::sync::MutexGuard<'_, HashMap<AccountId, watch::Sender<u64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
