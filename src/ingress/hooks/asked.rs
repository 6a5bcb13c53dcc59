//! What a mail server asks about, in our words, and the pieces that both forms of the question are made of.
//! Does not read a whole question: each form does.

use crate::ingress::facts::{self, Named, bad_address};
use crate::ingress::web::Refusal;
use crate::mail::{Address, EnhancedCode, Envelope, Reply, Session};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::net::IpAddr;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Connect,
    Ehlo,
    Auth,
    Mail,
    Rcpt,
    Data,
}

impl Stage {
    pub const NAMES: [&str; 6] = ["connect", "ehlo", "auth", "mail", "rcpt", "data"];

    /// Stalwart sends them in small letters; its documentation writes capitals.
    fn parse(text: &str) -> Option<Self> {
        Some(match &*text.to_ascii_lowercase() {
            "connect" => Self::Connect,
            "ehlo" => Self::Ehlo,
            "auth" => Self::Auth,
            "mail" => Self::Mail,
            "rcpt" => Self::Rcpt,
            "data" => Self::Data,
            _ => return None,
        })
    }
}

#[derive(Debug)]
pub struct Asked {
    pub stage: Stage,
    pub session: Session,
    /// From MAIL on, without recipients.
    pub envelope: Envelope,
    /// Those so far.
    pub recipients: Vec<Named>,
    /// With the stage `data`.
    pub message: Vec<u8>,
    pub queue_id: Option<String>,
}

/// A question without an answer.
#[derive(Debug)]
pub enum Wrong {
    /// The request is not what it should be.
    Request(Refusal),
    /// It is, but what the client said is not.
    Client(Reply),
}

impl Wrong {
    pub fn request(message: impl Into<String>) -> Self {
        Self::Request(Refusal::malformed(message))
    }
}

#[derive(Debug, Default, Deserialize)]
pub struct Client {
    pub ip: Option<String>,
    /// Named so by Stalwart, `ehlo` by its documentation and the draft.
    #[serde(alias = "ehlo")]
    pub helo: Option<String>,
    pub ptr: Option<String>,
    /// Whether the name leads back to the address. Only the draft has it; Stalwart's name is not checked.
    pub fcrdns: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Tls {
    #[serde(default)]
    pub version: Option<String>,
    #[serde(default)]
    pub cipher: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Login {
    pub login: String,
}

#[derive(Debug, Deserialize)]
pub struct Server {
    pub name: Option<String>,
}

#[derive(Debug, Deserialize)]
pub struct Queue {
    pub id: String,
}

/// An address of the envelope, alone or with the parameters of its command.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Path {
    Plain(String),
    Full {
        address: Option<String>,
        parameters: Option<HashMap<String, Value>>,
    },
}

impl Path {
    fn address(&self) -> &str {
        let written = match self {
            Self::Plain(address) => address,
            Self::Full { address, .. } => address.as_deref().unwrap_or_default(),
        };
        let written = written.trim();
        let inner = written.strip_prefix('<');
        inner
            .and_then(|inner| inner.strip_suffix('>'))
            .unwrap_or(written)
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        let Self::Full {
            parameters: Some(parameters),
            ..
        } = self
        else {
            return None;
        };
        let mut parameters = parameters.iter();
        let (_, value) = parameters.find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        Some(value.as_str().unwrap_or_default())
    }
}

#[derive(Debug, Deserialize)]
pub struct Paths {
    pub from: Path,
    #[serde(default)]
    pub to: Vec<Path>,
}

/// What both forms say.
pub struct Said {
    pub stage: String,
    pub client: Option<Client>,
    pub login: Option<Login>,
    pub tls: Option<Tls>,
    pub server: Option<Server>,
    pub queue: Option<Queue>,
    pub envelope: Option<Paths>,
    pub message: Option<Vec<u8>>,
}

impl Said {
    pub fn understand(self, hostname: &str) -> Result<Asked, Wrong> {
        let stage = Stage::parse(&self.stage).ok_or_else(|| {
            Wrong::request(format!(
                "{:?} is not a stage that is answered here: {}",
                self.stage.chars().take(100).collect::<String>(),
                Stage::NAMES.join(", ")
            ))
        })?;
        let session = self.session(hostname)?;
        let server = &session.server_name;
        let mut envelope = Envelope::default();
        let mut recipients = Vec::new();
        match (stage, &self.envelope) {
            (Stage::Mail | Stage::Rcpt | Stage::Data, None) => {
                return Err(Wrong::request(
                    "there is no envelope, which this stage needs",
                ));
            }
            (_, None) => {}
            (_, Some(paths)) => {
                let from = &paths.from;
                let sender = facts::envelope(from.address(), server, |name| from.parameter(name));
                envelope = sender.map_err(|error| {
                    Wrong::Client(bad_address(from.address(), EnhancedCode(5, 1, 7), &error))
                })?;
                let named = paths.to.iter();
                let named =
                    named.map(|to| Named::new(to.address(), server, |name| to.parameter(name)));
                recipients.extend(named);
            }
        }
        if recipients.is_empty() && matches!(stage, Stage::Rcpt | Stage::Data) {
            return Err(Wrong::request(
                "the envelope has no recipient, which this stage needs",
            ));
        }
        if stage == Stage::Data && self.message.is_none() {
            return Err(Wrong::request(
                "there is no message, which this stage needs",
            ));
        }
        let queue_id = self.queue.map(|queue| queue.id);
        Ok(Asked {
            stage,
            session,
            envelope,
            recipients,
            message: self.message.unwrap_or_default(),
            queue_id: queue_id.filter(|id| facts::is_queue_id(id)),
        })
    }

    fn session(&self, hostname: &str) -> Result<Session, Wrong> {
        let none = Client::default();
        let client = self.client.as_ref().unwrap_or(&none);
        let address = match client.ip.as_deref() {
            None | Some("") => None,
            Some(text) => {
                let address: IpAddr = text.parse().map_err(|_| {
                    let shown: String = text.chars().take(100).collect();
                    Wrong::request(format!("the client's ip {shown:?} is not an IP address"))
                })?;
                Some(address.to_canonical())
            }
        };
        let is_checked = client.fcrdns.as_deref() == Some("pass");
        let ptr = client.ptr.as_deref().filter(|_| is_checked);
        // Some give the name of the program.
        let server = self.server.as_ref().and_then(|server| server.name.as_ref());
        let server = server.filter(|name| {
            name.contains('.') && Address::parse(&format!("postmaster@{name}")).is_ok()
        });
        let login = self.login.as_ref().map(|login| login.login.clone());
        let login = login.filter(|login| !login.is_empty());
        let tls = self.tls.as_ref().and_then(|tls| {
            Some(crate::mail::Tls {
                version: tls.version.clone().filter(|version| !version.is_empty())?,
                cipher: tls.cipher.clone().unwrap_or_default(),
                client: None,
            })
        });
        Ok(Session {
            server_name: server.map_or(hostname, String::as_str).to_owned(),
            client_address: address,
            client_name: ptr.and_then(|name| facts::name(name.trim_end_matches('.'))),
            helo: client.helo.clone().unwrap_or_default(),
            protocol: facts::protocol(tls.is_some(), login.is_some()),
            tls,
            authenticated: login,
            ..Session::default()
        })
    }
}
