//! The ordered filters at work on one transaction: each is asked in turn, its edits are laid over the message, its verdict counts, and all of it
//! is journalled. Doesn't know where mail goes, nor that a filter is WASM.

mod draft;
mod envelope;
mod greeting;
mod policy;
mod run;

pub use draft::{Draft, Filing};
pub use envelope::Admit;
pub use greeting::greet;
pub use policy::{Policy, Ruling};
pub use run::{Ended, Run, total};

use crate::mail::{Filter, Hook};
use std::sync::Arc;

/// The filters in force at one moment, in order.
#[derive(Clone)]
pub struct Chain {
    pub generation: u64,
    pub filters: Arc<[Arc<dyn Filter>]>,
}

impl Chain {
    /// Whether any filter wants to be asked there.
    pub fn has(&self, hook: Hook) -> bool {
        self.filters
            .iter()
            .any(|filter| filter.info().hooks.contains(hook))
    }
}

/// Where the chain in force is asked for. A transaction asks once and ends with what it began with.
pub trait Chains: Send + Sync {
    fn current(&self) -> Chain;
}

/// A chain that never changes.
impl Chains for Chain {
    fn current(&self) -> Chain {
        self.clone()
    }
}
