//! Facts for later hooks and for later filters, such as "greylist.first-seen". Those set at `connect` and `helo` last for the connection, the
//! others for the transaction. All filters see all tags: begin a key with your plugin's name.

use crate::Asked;
use crate::bindings::tags;

pub fn get(key: &str) -> Option<String> {
    tags::get(key)
}

/// All of them, by key.
pub fn all() -> Vec<(String, String)> {
    tags::all()
}

/// 64 octets of key (letters, digits, '.', '-' and '_') and 1 KiB of value at the most, 100 tags from one filter. The last one set wins.
pub fn set(key: &str, value: &str) -> Asked {
    tags::set(key, value).into()
}
