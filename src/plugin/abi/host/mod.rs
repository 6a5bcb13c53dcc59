//! The abilities, one file each: functions that a guest calls. They look at the [`State`] of the call in hand and nothing else.

mod body;
mod body_edit;
mod config;
mod dns;
mod envelope;
mod filing;
mod header;
mod header_edit;
mod kv;
mod log;
mod metrics;
mod pending;
mod results;
mod route;
mod score;
mod session;

use super::generated::types::{self, Refusal, Scope};
use crate::plugin::state::{Refused, State};

impl types::Host for State {}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::NotGranted(text) => Self::NotGranted(text),
            Refused::TooMuch(text) => Self::TooMuch(text),
            Refused::BadValue(text) => Self::BadValue(text),
            Refused::NoSuchThing(text) => Self::NoSuchThing(text),
            Refused::Failed(text) => Self::Failed(text),
        }
    }
}

impl State {
    /// Hands an answer to the guest, and a refusal to the journal too.
    fn answer<T>(&mut self, call: &str, result: Result<T, Refused>) -> Result<T, Refusal> {
        result.map_err(|refused| {
            self.refused(call, &refused);
            refused.into()
        })
    }
}

/// The recipients that a scope names; none for all.
fn only(scope: Scope) -> Option<Vec<String>> {
    match scope {
        Scope::All => None,
        Scope::Only(recipients) => Some(recipients),
    }
}
