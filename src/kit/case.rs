//! A case: `NAME.eml`, and `NAME.toml` that says by whom and to whom it is sent and what is expected. Errors point at the line.
//! Doesn't run anything.

use super::expect::Expect;
use super::play::Play;
use super::recordings::{self, Faults, KvValue, RecordedDns, RecordedHttp, Recordings, Scene};
use crate::mail::{
    Address, Call, Envelope, Filter, FilterInfo, FilterRun, Hook, OnError, Outcome, Recipient,
    ReversePath, Session, Symbol, Uses, Verdict, View,
};
use crate::plugin::Input;
use async_trait::async_trait;
use jiff::Timestamp;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    #[error("{}:{line}:{column}: {text}", path.display())]
    At {
        path: PathBuf,
        line: usize,
        column: usize,
        text: String,
    },
    #[error("{}: {text}", path.display())]
    Whole { path: PathBuf, text: String },
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Case {
    /// What the case is about.
    #[serde(default)]
    pub about: String,
    pub envelope: CaseEnvelope,
    #[serde(default)]
    pub session: CaseSession,
    /// Those of the server: the message goes to the first unless a filter names another, and `relay` is asked in place of `deliver`.
    #[serde(default)]
    pub next_hops: Vec<String>,
    /// Symbols that earlier filters gave, with their points.
    #[serde(default)]
    pub given: BTreeMap<String, f32>,
    /// The time that it is; the system's if none is given.
    #[serde(default, deserialize_with = "recordings::deserialize_clock")]
    pub clock: Option<Timestamp>,
    #[serde(default)]
    pub dns: RecordedDns,
    #[serde(default)]
    pub http: Vec<RecordedHttp>,
    /// What the plugin keeps before.
    #[serde(default)]
    pub kv: BTreeMap<String, KvValue>,
    #[serde(default)]
    pub faults: Faults,
    pub expect: Expect,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseEnvelope {
    pub sender: ReversePath,
    pub recipients: Vec<Address>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CaseSession {
    pub client_address: Option<IpAddr>,
    pub client_name: Option<String>,
    pub helo: Option<String>,
    pub authenticated: Option<String>,
}

impl Case {
    /// `path` is for messages.
    pub fn parse(path: &Path, text: &str) -> Result<Self, CaseError> {
        let case: Self = toml::from_str(text).map_err(|error| match error.span() {
            Some(span) => at(path, text, span.start, error.message()),
            None => CaseError::Whole {
                path: path.to_owned(),
                text: error.message().to_owned(),
            },
        })?;
        for address in case.expect.addresses() {
            let added = case.expect.recipients_added.iter();
            let mut added = added.filter_map(|added| Address::parse(added).ok());
            if !case.envelope.recipients.contains(address) && !added.any(|added| added == *address)
            {
                let expect = text.find("[expect").unwrap_or_default();
                let found = text.get(expect..).and_then(|rest| {
                    // Addresses compare without regard to the case of their domains.
                    rest.to_ascii_lowercase()
                        .find(&address.to_string().to_ascii_lowercase())
                });
                let message = format!(
                    "{address} is no recipient of this case; `recipients` in [envelope] has them"
                );
                return Err(at(path, text, expect + found.unwrap_or_default(), &message));
            }
        }
        for entry in &case.http {
            if let Err((about, why)) = entry.check() {
                let found = text.find(&about).unwrap_or_default();
                return Err(at(path, text, found, &why));
            }
        }
        Ok(case)
    }

    /// The world that it is played in. `path` is for messages.
    pub fn scene(&self, path: &Path) -> Result<Scene, CaseError> {
        let recordings = Recordings {
            clock: self.clock,
            dns: self.dns.clone(),
            http: self.http.clone(),
            kv: self.kv.clone(),
            faults: self.faults.clone(),
        };
        Scene::new(recordings).map_err(|error| CaseError::Whole {
            path: path.to_owned(),
            text: format!("[kv]: {error}"),
        })
    }

    /// A case that has no expectations yet, its envelope taken from the message's header.
    pub fn draft(message: &Path) -> Result<Self, CaseError> {
        let whole = |text: String| CaseError::Whole {
            path: message.to_owned(),
            text,
        };
        let content = super::read_message(message).map_err(|error| whole(error.to_string()))?;
        let input = Input::from_message(content).map_err(|error| whole(error.to_string()))?;
        let mut recipients: Vec<Address> = input
            .envelope
            .recipients
            .into_iter()
            .map(|recipient| recipient.address)
            .collect();
        if recipients.is_empty() {
            recipients.extend(Address::parse("someone@example.test"));
        }
        Ok(Self {
            about: String::new(),
            envelope: CaseEnvelope {
                sender: input.envelope.sender,
                recipients,
            },
            session: CaseSession::default(),
            next_hops: Vec::new(),
            given: BTreeMap::new(),
            clock: None,
            dns: RecordedDns::default(),
            http: Vec::new(),
            kv: BTreeMap::new(),
            faults: Faults::default(),
            expect: Expect::default(),
        })
    }

    /// What to play, with the filter that gives the symbols that were given before.
    pub fn play(&self, message: crate::mail::Content) -> (Play, Arc<dyn Filter>) {
        let CaseSession {
            client_address,
            client_name,
            helo,
            authenticated,
        } = self.session.clone();
        let play = Play {
            session: Session {
                via: None,
                server_name: "localhost".to_owned(),
                client_address,
                client_name,
                helo: helo.unwrap_or_default(),
                protocol: "ESMTP".to_owned(),
                authenticated,
                ..Session::default()
            },
            envelope: Envelope {
                sender: self.envelope.sender.clone(),
                recipients: self
                    .envelope
                    .recipients
                    .iter()
                    .cloned()
                    .map(Recipient::from)
                    .collect(),
                ..Envelope::default()
            },
            message,
            next_hops: self.next_hops.as_slice().into(),
            ..Play::default()
        };
        (play, Given::filter(&self.given))
    }

    /// Only what [`Case::draft`] fills in.
    pub fn to_toml(&self) -> String {
        let quoted = |text: String| toml::Value::String(text).to_string();
        let recipients = self.envelope.recipients.iter();
        let recipients: Vec<_> = recipients
            .map(|address| quoted(address.to_string()))
            .collect();
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "about = {}\n\n[envelope]\nsender = {}\nrecipients = [{}]\n\n{}",
            quoted(self.about.clone()),
            quoted(self.envelope.sender.to_string()),
            recipients.join(", "),
            self.expect.to_toml()
        );
        out
    }

    /// The text of a case with other expectations; the rest of it stays as it is.
    pub fn with_expectations(
        path: &Path,
        text: &str,
        expect: &Expect,
    ) -> Result<String, CaseError> {
        let mut out = String::new();
        let mut within = false;
        for line in text.split_inclusive('\n') {
            let heading = line.trim_start();
            if heading.starts_with("[expect") {
                if !within && heading.starts_with("[expect]") {
                    out.push_str(&expect.to_toml());
                }
                within = true;
            } else if within && is_heading(heading) {
                within = false;
                out.push('\n');
            }
            if !within {
                out.push_str(line);
            }
        }
        // What was written some other way than this understands stays as it was.
        match Self::parse(path, &out) {
            Ok(case) if case.expect == *expect => Ok(out),
            _ => Err(CaseError::Whole {
                path: path.to_owned(),
                text: "its expectations cannot be rewritten: give them a table of their own, headed [expect]".to_owned(),
            }),
        }
    }
}

fn is_heading(line: &str) -> bool {
    const TABLES: [&str; 7] = [
        "envelope", "session", "given", "dns", "http", "kv", "faults",
    ];
    let name = line.trim_start_matches('[').trim_start();
    TABLES
        .iter()
        .any(|table| line.starts_with('[') && name.starts_with(table))
}

fn at(path: &Path, text: &str, offset: usize, message: &str) -> CaseError {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before
        .get(line_start..)
        .map_or(0, |line| line.chars().count());
    CaseError::At {
        path: path.to_owned(),
        line: before.matches('\n').count() + 1,
        column: column + 1,
        text: message.to_owned(),
    }
}

/// Gives the symbols of a case, as filters before the plugin would.
struct Given(FilterInfo, Vec<Symbol>);

const GIVEN: &str = "given";

impl Given {
    fn filter(symbols: &BTreeMap<String, f32>) -> Arc<dyn Filter> {
        let info = FilterInfo {
            name: GIVEN.to_owned(),
            version: "1".to_owned(),
            hooks: [Hook::Message].into_iter().collect(),
            uses: Uses::default(),
            on_error: OnError::Skip,
        };
        let symbols = symbols.iter().map(|(name, score)| Symbol {
            name: name.clone(),
            score: *score,
            reason: "given by the case".to_owned(),
            by: GIVEN.to_owned(),
        });
        Arc::new(Self(info, symbols.collect()))
    }
}

#[async_trait]
impl FilterRun for Given {
    async fn call(&mut self, _: &Call, _: View) -> Outcome {
        Outcome {
            symbols: self.1.clone(),
            ..Outcome::new(Ok(Verdict::Continue))
        }
    }
}

impl Filter for Given {
    fn info(&self) -> &FilterInfo {
        &self.0
    }

    fn open(&self) -> Box<dyn FilterRun> {
        Box::new(Self(self.0.clone(), self.1.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "[envelope]\nsender = \"\"\nrecipients = [\"alice@example.test\"]\n\n[expect]\n";

    #[test]
    fn a_malformed_case_is_pointed_at() {
        let table = [
            (
                format!("{HEAD}colour = 1\n"),
                "6:1",
                "unknown field `colour`",
            ),
            (
                format!("{HEAD}verdict = \"rejct\"\n"),
                "6:11",
                "unknown variant `rejct`",
            ),
            (HEAD.replace("alice@", "alice"), "3:14", "there is no @"),
            (
                format!("{HEAD}mailbox = {{ \"bob@example.test\" = \"x\" }}\n"),
                "6:14",
                "bob@example.test is no recipient of this case",
            ),
            (
                HEAD.replace("[expect]", "[faults]\ndns = \"late\"\n[expect]"),
                "6:7",
                "expected \"timeout\" or \"servfail\"",
            ),
            (
                HEAD.replace("[expect]", "[dns.CNAME]\n[expect]"),
                "5:6",
                "unknown field `CNAME`",
            ),
            (
                HEAD.replace("[expect]", "[[http]]\nrequest = \"/x\"\n[expect]"),
                "6:12",
                "a method and a whole URL",
            ),
            (format!("clock = \"noon\"\n{HEAD}"), "1:9", "is not a time"),
            ("about = \n".to_owned(), "1:9", ""),
            ("[expect]\n".to_owned(), "1:1", "missing field `envelope`"),
        ];
        for (text, place, message) in table {
            let error = Case::parse(Path::new("cases/a.toml"), &text).unwrap_err();
            let said = error.to_string();
            assert!(
                said.starts_with(&format!("cases/a.toml:{place}: ")) && said.contains(message),
                "{text}\n{said}"
            );
        }
    }

    #[test]
    fn new_expectations_leave_the_rest_alone() {
        let head = "[envelope]\nsender = \"\"\nrecipients = []\n\n[expect]\n";
        for rest in [
            "[dns.A]\n",
            "[[http]]\nrequest = \"GET http://a/\"\n",
            "[kv]\na = 1\n",
            "[faults]\n",
        ] {
            let text = format!("{head}verdict = \"discard\"\n{rest}");
            let out = Case::with_expectations(Path::new("a"), &text, &Expect::default()).unwrap();
            assert_eq!(out, format!("{head}\n{rest}"));
        }
        let text = "# a comment\nabout = \"x\"\n\n[envelope]\nsender = \"\"\nrecipients = []\n\n[expect]\n# goes\nverdict = \"discard\"\n[expect.header-added]\nX = \"1\"\n\n[given]\nA = 1.5 # stays\n";
        let expect = Expect {
            symbols: Some(["B".to_owned()].into()),
            ..Expect::default()
        };
        let out = Case::with_expectations(Path::new("a"), text, &expect).unwrap();
        assert_eq!(
            out,
            "# a comment\nabout = \"x\"\n\n[envelope]\nsender = \"\"\nrecipients = []\n\n[expect]\nsymbols = [\"B\"]\n\n[given]\nA = 1.5 # stays\n"
        );
        let dotted = "envelope = { sender = \"\", recipients = [] }\nexpect = { }\n";
        let error = Case::with_expectations(Path::new("a"), dotted, &expect).unwrap_err();
        assert!(error.to_string().contains("headed [expect]"));
    }
}
