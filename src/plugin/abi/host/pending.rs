//! Abilities that are not there yet: each call is refused.

use crate::plugin::abi::generated::types::Refusal;
use crate::plugin::abi::generated::{envelope_edit, tags};
use crate::plugin::state::State;

fn pending<T>() -> Result<T, Refusal> {
    Err(Refusal::Failed(
        "this version does not have it yet".to_owned(),
    ))
}

impl tags::Host for State {
    fn get(&mut self, _: String) -> Option<String> {
        None
    }
    fn all(&mut self) -> Vec<(String, String)> {
        Vec::new()
    }
    fn set(&mut self, _: String, _: String) -> Result<(), Refusal> {
        pending()
    }
}

impl envelope_edit::Host for State {
    fn set_sender(&mut self, _: String, _: Option<String>) -> Result<(), Refusal> {
        pending()
    }
    fn add_recipient(&mut self, _: String, _: Option<String>) -> Result<(), Refusal> {
        pending()
    }
    fn remove_recipient(&mut self, _: String) -> Result<(), Refusal> {
        pending()
    }
}
