//! The sample messages, and what should become of each. Knows nothing of how they are sent.

use anyhow::Context;
use serde::Deserialize;
use std::collections::BTreeMap;

include!(concat!(env!("OUT_DIR"), "/samples.rs"));

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    message: Vec<Row>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    file: String,
    about: String,
    sender: String,
    recipients: Vec<String>,
    end: End,
}

/// A folder or "reject", for all recipients or for each.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum End {
    Same(String),
    Each(BTreeMap<String, String>),
}

impl End {
    pub fn of(&self, recipient: &str) -> Option<&str> {
        match self {
            Self::Same(end) => Some(end),
            Self::Each(ends) => ends.get(recipient).map(String::as_str),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Sample {
    pub name: String,
    pub about: String,
    pub sender: String,
    pub recipients: Vec<String>,
    pub end: End,
    pub octets: &'static [u8],
}

/// In the order of the table; every file is in it.
pub fn all() -> anyhow::Result<Vec<Sample>> {
    let table: Table = toml::from_str(EXPECTED).context("examples/mail/expected.toml")?;
    anyhow::ensure!(
        table.message.len() == FILES.len(),
        "examples/mail has {} messages, expected.toml names {}",
        FILES.len(),
        table.message.len()
    );
    table
        .message
        .into_iter()
        .map(|row| {
            let (_, octets) = FILES
                .iter()
                .find(|(name, _)| *name == row.file)
                .with_context(|| format!("expected.toml names {}, which is not there", row.file))?;
            Ok(Sample {
                name: row.file.trim_end_matches(".eml").to_owned(),
                about: row.about,
                sender: row.sender,
                recipients: row.recipients,
                end: row.end,
                octets,
            })
        })
        .collect()
}
