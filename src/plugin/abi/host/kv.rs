//! `kv`: the plugin's own durable store.

use crate::kv::KvError;
use crate::plugin::abi::generated::kv::Host;
use crate::plugin::abi::generated::types::Refusal;
use crate::plugin::calls::Service;
use crate::plugin::state::{Refused, State, nothing_yet};
use std::time::Duration;

impl From<KvError> for Refused {
    fn from(error: KvError) -> Self {
        match error {
            KvError::TooMuch(text) => Self::TooMuch(text),
            KvError::BadValue(text) => Self::BadValue(text),
            KvError::Failed(text) => Self::Failed(text),
        }
    }
}

/// A value, as the journal shows it.
fn shown(value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) if text.len() <= 60 => format!("{text:?}"),
        _ => format!("{} octets", value.len()),
    }
}

fn seconds(ttl: Option<u32>) -> Option<Duration> {
    ttl.map(|seconds| Duration::from_secs(seconds.into()))
}

impl State {
    /// Makes a call in this plugin's space and journals it.
    fn keep<T>(
        &mut self,
        what: &'static str,
        argument: &str,
        call: impl FnOnce(&dyn crate::kv::Kv, &str) -> Result<T, KvError>,
        show: impl FnOnce(&T) -> String,
    ) -> Result<T, Refusal> {
        self.count();
        let result = if self.view().is_none() {
            Err(nothing_yet())
        } else if let Err(refused) = self.calls().spend(Service::Kv) {
            Err(refused)
        } else {
            let started = self.calls().begin(what, argument);
            let profile = self.profile();
            let result = call(&*profile.services.kv, &profile.name);
            self.calls().end(started, || match &result {
                Ok(value) => show(value),
                Err(error) => error.to_string(),
            });
            result.map_err(Refused::from)
        };
        self.answer(what, result)
    }
}

impl Host for State {
    fn get(&mut self, key: String) -> Result<Option<Vec<u8>>, Refusal> {
        self.keep(
            "kv.get",
            &key,
            |kv, space| kv.get(space, &key),
            |value| value.as_deref().map_or_else(|| "none".to_owned(), shown),
        )
    }

    fn set(&mut self, key: String, value: Vec<u8>, ttl: Option<u32>) -> Result<(), Refusal> {
        self.keep(
            "kv.set",
            &key,
            |kv, space| kv.set(space, &key, &value, seconds(ttl)),
            |()| shown(&value),
        )
    }

    fn delete(&mut self, key: String) -> Result<bool, Refusal> {
        self.keep(
            "kv.delete",
            &key,
            |kv, space| kv.delete(space, &key),
            bool::to_string,
        )
    }

    fn increment(&mut self, key: String, by: i64, ttl: Option<u32>) -> Result<i64, Refusal> {
        self.keep(
            "kv.increment",
            &key,
            |kv, space| kv.increment(space, &key, by, seconds(ttl)),
            i64::to_string,
        )
    }

    fn compare_and_set(
        &mut self,
        key: String,
        expected: Option<Vec<u8>>,
        value: Vec<u8>,
        ttl: Option<u32>,
    ) -> Result<bool, Refusal> {
        self.keep(
            "kv.compare-and-set",
            &key,
            |kv, space| kv.compare_and_set(space, &key, expected.as_deref(), &value, seconds(ttl)),
            bool::to_string,
        )
    }

    fn scan(
        &mut self,
        prefix: String,
        after: Option<String>,
        most: u32,
    ) -> Result<Vec<(String, Vec<u8>)>, Refusal> {
        self.keep(
            "kv.scan",
            &prefix,
            |kv, space| kv.scan(space, &prefix, after.as_deref(), most as usize),
            |found| format!("{} keys", found.len()),
        )
    }
}
