//! `config`: the plugin's own part of its manifest.

use crate::plugin::abi::generated::config::Host;
use crate::plugin::state::State;
use serde_json::Value;

impl State {
    /// What stands at this path of names, as what `read` makes of it.
    fn setting<T>(&mut self, key: &str, read: impl FnOnce(&Value) -> Option<T>) -> Option<T> {
        self.count();
        key.split('.')
            .try_fold(&self.profile().settings, |value, name| value.get(name))
            .and_then(read)
    }
}

impl Host for State {
    fn json(&mut self) -> String {
        self.count();
        self.profile().config.clone()
    }

    fn text(&mut self, key: String) -> Option<String> {
        self.setting(&key, |value| value.as_str().map(str::to_owned))
    }

    fn integer(&mut self, key: String) -> Option<i64> {
        self.setting(&key, Value::as_i64)
    }

    fn number(&mut self, key: String) -> Option<f64> {
        self.setting(&key, Value::as_f64)
    }

    fn truth(&mut self, key: String) -> Option<bool> {
        self.setting(&key, Value::as_bool)
    }

    fn texts(&mut self, key: String) -> Option<Vec<String>> {
        self.setting(&key, |value| {
            let texts = value.as_array()?.iter();
            texts.map(|text| text.as_str().map(str::to_owned)).collect()
        })
    }
}
