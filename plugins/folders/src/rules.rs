//! Rules: which folder and which flags a message gets for a recipient.
//! Asks the host for nothing: header fields come from the function in `Facts`.

use serde::Deserialize;
use std::fmt;

#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// What parts the detail of a plus address from the account.
    pub separator: char,
    /// Names of folders that neither a detail nor a list may stand for.
    pub reserved: Vec<String>,
    pub rules: Vec<Rule>,
}

impl Default for Config {
    fn default() -> Self {
        let reserved = ["INBOX", "Sent", "Drafts", "Junk", "Trash", "Archive"];
        Self {
            separator: '+',
            reserved: reserved.map(str::to_owned).to_vec(),
            rules: Vec::new(),
        }
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Rule {
    pub when: When,
    /// Levels are separated by "/"; `{detail}` and `{list}` stand for what the rule matched.
    pub into: Option<String>,
    pub flags: Vec<String>,
    /// Look at the rules that follow too.
    pub go_on: bool,
}

/// All that is named must hold; nothing named holds always. Patterns: see `matches`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct When {
    /// Accounts that the rule is for, without detail.
    pub recipients: Vec<String>,
    /// Details of plus addresses.
    pub details: Vec<String>,
    /// Names of mailing lists, as `{list}` gives them.
    pub lists: Vec<String>,
    /// Address in From, or reverse-path of the envelope.
    pub senders: Vec<String>,
    pub header: Option<String>,
    /// In the value of `header`, whatever the case. Without it the field need only be there.
    pub contains: Option<String>,
    /// One of these was given.
    pub symbols: Vec<String>,
    pub score_at_least: Option<f32>,
    pub score_below: Option<f32>,
}

pub struct Facts<'a> {
    pub recipient: &'a str,
    pub sender: String,
    /// Names and points.
    pub symbols: Vec<(String, f32)>,
    /// Values of the fields of a name, decoded.
    pub get: &'a dyn Fn(&str) -> Vec<String>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Filed {
    /// Folder and why; none leaves the message where it would go anyway.
    pub folder: Option<(String, String)>,
    pub flags: Vec<String>,
}

impl fmt::Debug for Facts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Facts")
            .field("recipient", &self.recipient)
            .finish_non_exhaustive()
    }
}

impl Config {
    /// What serde cannot see.
    pub fn check(&self) -> Result<(), String> {
        for (index, rule) in self.rules.iter().enumerate() {
            let wrong =
                |what: &str| Err(format!("[[config.rules]], the {}. one: {what}", index + 1));
            let into = rule.into.as_deref();
            if into.is_none() && rule.flags.is_empty() {
                return wrong("it does nothing: it wants `into` or `flags`");
            }
            if into.is_some_and(|into| into.is_empty() || into.split('/').any(str::is_empty)) {
                return wrong("`into` has an empty level");
            }
            if into.is_some_and(|into| into.contains("{detail}")) && rule.when.details.is_empty() {
                return wrong(
                    "{detail} wants `details` in `when`: which are allowed; [\"*\"] allows all",
                );
            }
            if into.is_some_and(|into| into.contains("{list}")) && rule.when.lists.is_empty() {
                return wrong("{list} wants `lists` in `when`: which are meant; [\"*\"] means all");
            }
            if rule.when.contains.is_some() && rule.when.header.is_none() {
                return wrong("`contains` wants `header`, the field to look into");
            }
            if let Some(flag) = rule.flags.iter().find(|flag| {
                flag.is_empty() || flag.contains(|c: char| c.is_whitespace() || c.is_control())
            }) {
                return wrong(&format!("\"{flag}\" is no flag"));
            }
        }
        Ok(())
    }

    /// The first rule that holds decides; those with `go-on` add to it.
    pub fn file(&self, facts: &Facts<'_>) -> Filed {
        let mut filed = Filed::default();
        let known = Known::new(self, facts);
        for rule in &self.rules {
            let Some(why) = rule.when.holds(&known, facts) else {
                continue;
            };
            if let Some(into) = &rule.into {
                let folder = into
                    .replace("{detail}", &known.detail)
                    .replace("{list}", &known.list);
                filed.folder.get_or_insert((folder, why));
            }
            for flag in &rule.flags {
                if !filed.flags.contains(flag) {
                    filed.flags.push(flag.clone());
                }
            }
            if !rule.go_on {
                break;
            }
        }
        filed
    }
}

/// What all rules want to know, worked out once. What is not there, or no fit name, is empty.
struct Known {
    account: String,
    detail: String,
    list: String,
    score: f32,
}

impl Known {
    fn new(config: &Config, facts: &Facts<'_>) -> Self {
        let (local, domain) = facts
            .recipient
            .rsplit_once('@')
            .unwrap_or((facts.recipient, ""));
        let (user, detail) = local.split_once(config.separator).unwrap_or((local, ""));
        let fit = |name: String| {
            let reserved = config
                .reserved
                .iter()
                .any(|other| other.eq_ignore_ascii_case(&name));
            if reserved { String::new() } else { name }
        };
        Self {
            account: format!("{user}@{domain}"),
            detail: fit(folder_name(detail)),
            list: (facts.get)("List-Id")
                .first()
                .map(|id| fit(list_name(id)))
                .unwrap_or_default(),
            score: facts.symbols.iter().map(|(_, points)| points).sum(),
        }
    }
}

impl When {
    /// Why it holds, if it does.
    fn holds(&self, known: &Known, facts: &Facts<'_>) -> Option<String> {
        let mut why = Vec::new();
        let mut named = |patterns: &[String], text: &str, what: &str| {
            let holds = patterns.is_empty()
                || (!text.is_empty() && patterns.iter().any(|pattern| matches(pattern, text)));
            if holds && !patterns.is_empty() {
                why.push(format!("{what} {text}"));
            }
            holds
        };
        if !named(&self.recipients, &known.account, "recipient")
            || !named(&self.details, &known.detail, "detail")
            || !named(&self.lists, &known.list, "list")
        {
            return None;
        }
        if !self.senders.is_empty() {
            let from = (facts.get)("From")
                .first()
                .map(|from| address(from).to_owned());
            let sender = [from, Some(facts.sender.clone())]
                .into_iter()
                .flatten()
                .find(|sender| {
                    !sender.is_empty()
                        && self.senders.iter().any(|pattern| matches(pattern, sender))
                })?;
            why.push(format!("sender {sender}"));
        }
        if let Some(name) = &self.header {
            let wanted = self.contains.as_deref().unwrap_or_default().to_lowercase();
            (facts.get)(name)
                .iter()
                .find(|value| value.to_lowercase().contains(&wanted))?;
            why.push(format!("header {name}"));
        }
        if !self.symbols.is_empty() {
            let (name, _) = facts
                .symbols
                .iter()
                .find(|(name, _)| self.symbols.contains(name))?;
            why.push(format!("symbol {name}"));
        }
        if self.score_below.is_some_and(|bound| known.score >= bound) {
            return None;
        }
        if let Some(least) = self.score_at_least {
            if known.score < least {
                return None;
            }
            why.push(format!("score {:.1}, {least:.1} or more", known.score));
        }
        Some(why.join(", "))
    }
}

/// "*" is any, "@example.org" any address of that domain, "*.example.org" and "news*" any start or end; else equal. Case is ignored.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_lowercase(), text.to_lowercase());
    if pattern.starts_with('@') {
        return text.ends_with(&pattern);
    }
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) => text.ends_with(end),
        (None, Some(start)) => text.starts_with(start),
        (None, None) => text == pattern,
    }
}

fn address(from: &str) -> &str {
    match from.rsplit_once('<') {
        Some((_, rest)) => rest.split('>').next().unwrap_or(rest).trim(),
        None => from.split('(').next().unwrap_or(from).trim(),
    }
}

/// Octets of a folder's name that somebody else chose.
const LONGEST: usize = 40;

/// A name that comes from outside, as one level of a folder's name: letters, digits, "-", "_" and inner ".", or nothing.
fn folder_name(name: &str) -> String {
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    let edge = name.starts_with('.') || name.ends_with('.');
    if name.len() > LONGEST || edge || !name.chars().all(fits) {
        return String::new();
    }
    name.to_owned()
}

/// The name of a list by its identifier (RFC 2919): the first label that people would know it by.
/// "Hand weaving <weavers.lists.example>" is "weavers"; labels that are serial numbers are passed over.
fn list_name(id: &str) -> String {
    let id = match id.rsplit_once('<') {
        Some((_, rest)) => rest.split('>').next().unwrap_or(rest),
        None => id,
    };
    let readable = |label: &&str| {
        let letters = label.chars().filter(|c| c.is_alphabetic()).count();
        let digits = label.chars().filter(char::is_ascii_digit).count();
        letters >= 2 && letters > digits
    };
    id.trim()
        .split('.')
        .find(readable)
        .map(folder_name)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
