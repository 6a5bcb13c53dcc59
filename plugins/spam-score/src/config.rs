//! The table `[config]` of plugin.toml. What each key means is said there, beside the value that it comes with.
//! Nothing is checked here: `engine` does when it makes the configuration ready.

use serde::Deserialize;
use std::collections::BTreeMap;

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    #[serde(default)]
    pub limits: Limits,
    /// Points of the rules in code, by symbol. A rule that is not named here, or has 0, is off.
    #[serde(default)]
    pub scores: BTreeMap<String, f32>,
    #[serde(default)]
    pub lists: Lists,
    /// Phrases, by symbol.
    #[serde(default)]
    pub phrases: BTreeMap<String, Group>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// Octets of decoded text that are looked at.
    pub text: usize,
    /// In text of more octets phrases count for less, in proportion.
    pub phrase_text: usize,
    /// Octets of each attachment that are looked at.
    pub attachment: usize,
    /// Parts that are looked at.
    pub parts: usize,
    /// Hours that Date may differ from the time of the servers that the message came through.
    pub date_hours: u32,
    /// Recipients in To and Cc from which MANY_RECIPIENTS counts.
    pub recipients: usize,
    /// Different hosts in links from which URL_MANY_HOSTS counts.
    pub hosts: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            text: 256 * 1024,
            phrase_text: 3000,
            attachment: 4 * 1024,
            parts: 24,
            date_hours: 72,
            recipients: 25,
            hosts: 15,
        }
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Lists {
    pub freemail: Vec<String>,
    pub shorteners: Vec<String>,
    pub tlds: Vec<String>,
    pub programs: Vec<String>,
    pub macros: Vec<String>,
    pub archives: Vec<String>,
    pub documents: Vec<String>,
    /// Words that nobody writes with gaps or digits in honest mail.
    pub disguised: Vec<String>,
    /// Phrases that give an archive's password.
    pub archive_password: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Group {
    pub reason: String,
    /// Points for the first phrase that is found.
    pub score: f32,
    /// Points for each further one.
    #[serde(default)]
    pub further: f32,
    /// Points at the most. Absent: no bound.
    #[serde(default)]
    pub most: Option<f32>,
    #[serde(default)]
    pub only: Option<Place>,
    pub any: Vec<String>,
}

/// Where the phrases of a group are looked for; both where it says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    Subject,
    Body,
}
