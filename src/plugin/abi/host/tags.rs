//! `tags`: facts for later hooks and later filters.

use crate::plugin::abi::generated::tags::Host;
use crate::plugin::abi::generated::types::Refusal;
use crate::plugin::state::{Refused, State};

const MAX_KEY: usize = 64;
const MAX_VALUE: usize = 1024;

fn check(key: &str, value: &str) -> Result<(), Refused> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if key.is_empty() || key.len() > MAX_KEY || !key.chars().all(fine) {
        return Err(Refused::BadValue(format!(
            "the key {key:?}: it must be 1 to {MAX_KEY} letters, digits, '.', '-' and '_'"
        )));
    }
    if value.len() > MAX_VALUE {
        return Err(Refused::TooMuch(format!(
            "{key}: a value of {} octets: the limit is {MAX_VALUE}",
            value.len()
        )));
    }
    if let Some(c) = value.chars().find(|c| matches!(c, '\r' | '\n' | '\0')) {
        return Err(Refused::BadValue(format!("{key}: the value holds {c:?}")));
    }
    Ok(())
}

impl Host for State {
    fn get(&mut self, key: String) -> Option<String> {
        self.count();
        Some(self.view()?.tags.get(&key)?.to_owned())
    }

    fn all(&mut self) -> Vec<(String, String)> {
        self.count();
        let tags = self.view().into_iter().flat_map(|view| view.tags.iter());
        tags.map(|(key, tag)| (key.to_owned(), tag.value.clone()))
            .collect()
    }

    fn set(&mut self, key: String, value: String) -> Result<(), Refusal> {
        self.count();
        let result = check(&key, &value).and_then(|()| self.set_tag(key, value));
        self.answer("tags.set", result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values_are_bounded() {
        let (long_key, long_value) = ("k".repeat(65), "v".repeat(1025));
        for (key, value, fine) in [
            ("greylist.first-seen_2", "yesterday, Grüße", true),
            ("k", "", true),
            ("", "v", false),
            ("a b", "v", false),
            ("ä", "v", false),
            ("k", "a\r\nb", false),
            ("k", "a\0", false),
            (&long_key, "v", false),
            ("k", &long_value, false),
        ] {
            assert_eq!(check(key, value).is_ok(), fine, "{key:?} {value:?}");
        }
    }
}
