//! Abilities that are not there yet: each call is refused.

use crate::plugin::abi::generated::types::{Refusal, Scope};
use crate::plugin::abi::generated::{body_edit, dns, kv, metrics, route};
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

impl route::Host for State {
    fn hold(&mut self, _: String, _: Scope) -> Result<(), Refusal> {
        pending()
    }
    fn via(&mut self, _: String, _: Scope) -> Result<(), Refusal> {
        pending()
    }
}

impl kv::Host for State {
    fn get(&mut self, _: String) -> Result<Option<Vec<u8>>, Refusal> {
        pending()
    }
    fn set(&mut self, _: String, _: Vec<u8>, _: Option<u32>) -> Result<(), Refusal> {
        pending()
    }
    fn delete(&mut self, _: String) -> Result<bool, Refusal> {
        pending()
    }
    fn increment(&mut self, _: String, _: i64, _: Option<u32>) -> Result<i64, Refusal> {
        pending()
    }
    fn compare_and_set(
        &mut self,
        _: String,
        _: Option<Vec<u8>>,
        _: Vec<u8>,
        _: Option<u32>,
    ) -> Result<bool, Refusal> {
        pending()
    }
    fn scan(
        &mut self,
        _: String,
        _: Option<String>,
        _: u32,
    ) -> Result<Vec<(String, Vec<u8>)>, Refusal> {
        pending()
    }
}

impl dns::Host for State {
    fn lookup(&mut self, _: String, _: dns::Kind) -> Result<Vec<String>, Refusal> {
        pending()
    }
    fn listed(&mut self, _: String, _: String) -> Result<Vec<String>, Refusal> {
        pending()
    }
}

impl metrics::Host for State {
    fn count(&mut self, _: String, _: u64, _: Vec<(String, String)>) -> Result<(), Refusal> {
        pending()
    }
    fn observe(&mut self, _: String, _: f64, _: Vec<(String, String)>) -> Result<(), Refusal> {
        pending()
    }
}
