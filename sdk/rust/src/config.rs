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
