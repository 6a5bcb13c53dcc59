//! Which messages of the quarantine are on their way out of it: a next hop may take its time, and a second release meanwhile would hand it another one.
//! Outlives no restart: so does no release.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Default)]
pub(super) struct Claims(Mutex<BTreeSet<u64>>);

/// Until it is dropped.
pub(super) struct Claim {
    claims: Arc<Claims>,
    id: u64,
}

impl Claims {
    /// None: somebody else has it.
    pub fn claim(self: &Arc<Self>, id: u64) -> Option<Claim> {
        let mut ids = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ids.insert(id).then(|| Claim {
            claims: Arc::clone(self),
            id,
        })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut ids = self.claims.0.lock().unwrap_or_else(PoisonError::into_inner);
        ids.remove(&self.id);
    }
}
