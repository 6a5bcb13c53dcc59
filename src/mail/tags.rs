//! Facts that filters leave for later hooks and for later filters, each with who left it.
//! What a key or a value may hold is for the plugin host to say.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tags(BTreeMap<String, Tag>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    pub value: String,
    /// The filter that set it last.
    pub by: String,
}

impl Tags {
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|tag| tag.value.as_str())
    }

    /// The filter that set it last.
    pub fn by(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(|tag| tag.by.as_str())
    }

    /// By key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tag)> {
        self.0.iter().map(|(key, tag)| (key.as_str(), tag))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The last one set wins.
    pub fn set(&mut self, key: &str, value: &str, by: &str) {
        let tag = Tag {
            value: value.to_owned(),
            by: by.to_owned(),
        };
        self.0.insert(key.to_owned(), tag);
    }

    /// How many are this filter's.
    pub fn of(&self, by: &str) -> usize {
        self.0.values().filter(|tag| tag.by == by).count()
    }
}
