//! The tables of a case that hold recordings, as they are written.

use crate::dns::Kind;
use crate::kit::expect::Values;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::http::{HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, de};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

/// Records by name, for PTR by IP address.
type Records = BTreeMap<String, Values>;

/// `[dns.A]` and its kin: an empty list says that there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "UPPERCASE")]
pub struct RecordedDns {
    a: Records,
    aaaa: Records,
    mx: Records,
    txt: Records,
    ptr: Records,
}

impl RecordedDns {
    pub fn find(&self, name: &str, kind: Kind) -> Option<Vec<String>> {
        let records = match kind {
            Kind::A => &self.a,
            Kind::Aaaa => &self.aaaa,
            Kind::Mx => &self.mx,
            Kind::Txt => &self.txt,
            Kind::Ptr => &self.ptr,
        };
        let found = records.iter().find(|(known, _)| is_same(known, name));
        found.map(|(_, values)| values.all().to_vec())
    }
}

/// Names without regard to case and final dot, addresses by their value.
pub fn is_same(one: &str, other: &str) -> bool {
    match (one.parse::<IpAddr>(), other.parse::<IpAddr>()) {
        (Ok(one), Ok(other)) => one.to_canonical() == other.to_canonical(),
        _ => {
            let plain = |name: &str| name.strip_suffix('.').unwrap_or(name).to_lowercase();
            plain(one) == plain(other)
        }
    }
}

/// One entry of `[[http]]`: a request and what comes back.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RecordedHttp {
    /// `"GET https://api.example.com/check"`; `*` at its end stands for any rest.
    pub request: String,
    /// A text that the body of the request has.
    pub request_contains: Option<String>,
    #[serde(default = "ok")]
    pub status: u16,
    #[serde(default)]
    pub headers: BTreeMap<String, Values>,
    #[serde(default)]
    pub body: String,
    /// In place of an answer.
    pub fault: Option<HttpFault>,
}

fn ok() -> u16 {
    200
}

impl RecordedHttp {
    /// What is wrong with it, and the text in the file that it is about.
    pub fn check(&self) -> Result<(), (String, String)> {
        let wrong = |about: &str, why: String| Err((about.to_owned(), why));
        let url = self.request.split_once(' ').map(|(_, url)| url);
        if !url.is_some_and(|url| url.starts_with("http://") || url.starts_with("https://")) {
            let why =
                "a request is a method and a whole URL: \"GET https://api.example.com/check\"";
            return wrong(&self.request, why.to_owned());
        }
        if StatusCode::from_u16(self.status).is_err() {
            let status = self.status.to_string();
            return wrong(&status, format!("{status} is no HTTP status"));
        }
        for (name, values) in &self.headers {
            let values = values.all().iter();
            let mut values = values.map(|value| HeaderValue::from_str(value));
            if HeaderName::from_bytes(name.as_bytes()).is_err() || values.any(|v| v.is_err()) {
                return wrong(
                    name,
                    format!("{name:?} cannot be a header field with that value"),
                );
            }
        }
        Ok(())
    }

    pub fn is_for(&self, request: &str, body: &str) -> bool {
        let same = match self.request.strip_suffix('*') {
            Some(start) => request.starts_with(start),
            None => request == self.request,
        };
        let text = self.request_contains.as_deref();
        same && text.is_none_or(|text| body.contains(text))
    }
}

/// `[faults]`: services that fail, whatever is recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    pub dns: Option<DnsFaults>,
    pub http: Option<HttpFault>,
    pub kv: Option<KvFault>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "expected \"timeout\" or \"servfail\", for all names or in a table by name"
)]
pub enum DnsFaults {
    All(DnsFault),
    Names(BTreeMap<String, DnsFault>),
}

impl DnsFaults {
    pub fn find(&self, name: &str) -> Option<DnsFault> {
        match self {
            Self::All(fault) => Some(*fault),
            Self::Names(names) => {
                let mut names = names.iter();
                let found = names.find(|(known, _)| is_same(known, name));
                found.map(|(_, fault)| *fault)
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DnsFault {
    Timeout,
    Servfail,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HttpFault {
    Timeout,
    Refused,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KvFault {
    /// What would take room is refused.
    Full,
    /// Every call fails.
    Failed,
}

/// A value that a plugin keeps.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "expected a text, a whole number or { base64 = \"…\" }"
)]
pub enum KvValue {
    Text(String),
    /// As `increment` keeps it.
    Number(i64),
    Octets(Base64),
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base64 {
    #[serde(deserialize_with = "octets")]
    base64: Vec<u8>,
}

fn octets<'d, D: Deserializer<'d>>(from: D) -> Result<Vec<u8>, D::Error> {
    let text = String::deserialize(from)?;
    STANDARD.decode(text).map_err(de::Error::custom)
}

impl KvValue {
    pub fn of(octets: &[u8]) -> Self {
        match String::from_utf8(octets.to_vec()) {
            Ok(text) => Self::Text(text),
            Err(error) => Self::Octets(Base64 {
                base64: error.into_bytes(),
            }),
        }
    }

    pub fn octets(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.clone().into_bytes(),
            Self::Number(number) => number.to_string().into_bytes(),
            Self::Octets(octets) => octets.base64.clone(),
        }
    }
}

impl fmt::Display for KvValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show(&self.octets()))
    }
}

/// As it is written in a case.
pub fn show(octets: &[u8]) -> String {
    match std::str::from_utf8(octets) {
        Ok(text) => toml::Value::String(text.to_owned()).to_string(),
        Err(_) => format!("{{ base64 = \"{}\" }}", STANDARD.encode(octets)),
    }
}

/// RFC 3339, as a text or as TOML's own date and time.
pub fn deserialize_clock<'d, D: Deserializer<'d>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    #[derive(Deserialize)]
    #[serde(
        untagged,
        expecting = "expected a time such as \"2026-11-23T12:00:00Z\""
    )]
    enum Written {
        Text(String),
        Own(toml::value::Datetime),
    }
    let text = match Written::deserialize(from)? {
        Written::Text(text) => text,
        Written::Own(time) => time.to_string(),
    };
    let time = text.parse::<Timestamp>();
    time.map(Some).map_err(|_| {
        de::Error::custom(format!(
            "{text:?} is not a time with its offset, such as \"2026-11-23T12:00:00Z\""
        ))
    })
}
