//! Counts for the server's `/metrics`, as `wasmilter_plugin_NAME` with the plugin's name as a label; counters end in `_total` there.
//!
//! Names of metrics and labels are a-z, 0-9 and _. A metric has the same labels each time, 4 at the most, their values 64 octets each.
//! A plugin has 50 metrics; past 100 combinations of labels they count as "other". So take labels of which there are few: never an address
//! or a name from a message.
//!
//! ```no_run
//! use wasmilter_sdk::{body, export, metrics};
//!
//! export!(message = count);
//!
//! fn count() {
//!     metrics::count("messages", 1, &[("size", if body::size() > 1 << 20 { "large" } else { "small" })]);
//!     metrics::observe("message_octets", body::size() as f64, &[]);
//! }
//! ```

use crate::Asked;
use crate::bindings::metrics;

/// Add to a counter.
pub fn count(name: &str, by: u64, labels: &[(&str, &str)]) -> Asked {
    metrics::count(name, by, &owned(labels)).into()
}

/// Put a value into a histogram.
pub fn observe(name: &str, value: f64, labels: &[(&str, &str)]) -> Asked {
    metrics::observe(name, value, &owned(labels)).into()
}

fn owned(labels: &[(&str, &str)]) -> Vec<(String, String)> {
    labels
        .iter()
        .map(|&(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}
