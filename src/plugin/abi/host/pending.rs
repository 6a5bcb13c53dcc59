//! Abilities that are not there yet: each call is refused.

use crate::plugin::abi::generated::body_edit;
use crate::plugin::abi::generated::types::{Refusal, Scope};
use crate::plugin::state::State;

fn pending<T>() -> Result<T, Refusal> {
    Err(Refusal::Failed(
        "this version does not have it yet".to_owned(),
    ))
}

impl body_edit::Host for State {
    fn replace(&mut self, _: Vec<u8>, _: Scope) -> Result<(), Refusal> {
        pending()
    }
    fn replace_part(&mut self, _: String, _: String, _: Vec<u8>, _: Scope) -> Result<(), Refusal> {
        pending()
    }
    fn drop_part(&mut self, _: String, _: Option<String>, _: Scope) -> Result<(), Refusal> {
        pending()
    }
}
