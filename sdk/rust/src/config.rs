//! The plugin's own part of its manifest: the table `[config]` of `plugin.toml`.

use crate::bindings::config;
use serde::de::DeserializeOwned;

/// The table as JSON; `{}` if there is none.
pub fn json() -> String {
    config::json()
}

/// The table as a type of yours. The error says which key is wrong; return it from `load` and the administrator sees it.
pub fn read<T: DeserializeOwned>() -> Result<T, String> {
    serde_json::from_str(&json()).map_err(|error| {
        let text = error.to_string();
        // Line and column are of the JSON, which nobody has seen.
        let text = text
            .rsplit_once(" at line ")
            .map_or(text.as_str(), |(text, _)| text);
        format!("[config]: {text}")
    })
}

// Single values, for filters that need few: the JSON and what reads it then stay out of the file. A key is a path of names, such
// as "lists.blocked"; none where there is no such key or its value is of another type.

/// A text.
///
/// ```no_run
/// # use wasmilter_sdk::config;
/// let zone = config::text("lists.zone").unwrap_or("bl.example.org".to_owned());
/// ```
pub fn text(key: &str) -> Option<String> {
    config::text(key)
}

/// A whole number.
pub fn integer(key: &str) -> Option<i64> {
    config::integer(key)
}

/// A number, whole or not.
pub fn number(key: &str) -> Option<f64> {
    config::number(key)
}

/// `true` or `false`.
pub fn truth(key: &str) -> Option<bool> {
    config::truth(key)
}

/// An array of texts.
pub fn texts(key: &str) -> Option<Vec<String>> {
    config::texts(key)
}
