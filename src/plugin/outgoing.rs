//! `wasi:http/outgoing-handler`: who may be asked, how often, and the journal of it. How requests are sent is [`super::services::Http`]'s.

use super::calls::{Calls, Service};
use super::services::{HttpBody, HttpError};
use super::state::{Profile, Refused};
use hyper::http::uri::Scheme;
use hyper::{Request, Response};
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime_wasi_http::{RequestOptions, WasiHttpHooks};

/// Where a plugin may send requests to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpPolicy {
    pub allowed: Vec<HostPort>,
    /// Whether those may have addresses that are not on the public Internet.
    pub private: bool,
}

/// A host name or address, in lower case, and a port: "api.example.com:443".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    pub host: String,
    pub port: u16,
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not HOST:PORT, such as \"api.example.com:443\"");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = port.parse().map_err(|_| wrong())?;
        let is_address = host.starts_with('[') && host.ends_with(']');
        let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if host.is_empty() || port == 0 || !(is_address || host.chars().all(fine)) {
            return Err(wrong());
        }
        Ok(Self {
            host: host.to_ascii_lowercase(),
            port,
        })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl HttpPolicy {
    pub fn allows(&self, host: &str, port: u16) -> bool {
        let same =
            |allowed: &HostPort| allowed.port == port && allowed.host.eq_ignore_ascii_case(host);
        self.allowed.iter().any(same)
    }
}

/// The calls of a hook; a request that is under way ends in it, too.
pub type SharedCalls = Arc<Mutex<Calls>>;

/// What the library asks when a guest sends a request.
pub struct Outgoing {
    profile: Arc<Profile>,
    calls: SharedCalls,
    /// What was refused, for the journal.
    refused: Vec<Refused>,
    /// Not while the plugin is loaded.
    open: bool,
}

impl Outgoing {
    pub fn new(profile: Arc<Profile>, calls: SharedCalls) -> Self {
        Self {
            profile,
            calls,
            refused: Vec::new(),
            open: false,
        }
    }

    pub fn open(&mut self) {
        self.open = true;
    }

    pub fn close(&mut self) -> Vec<Refused> {
        self.open = false;
        std::mem::take(&mut self.refused)
    }

    fn check(&mut self, request: &Request<HttpBody>) -> Result<(), Refused> {
        if !self.open {
            return Err(super::state::nothing_yet());
        }
        let uri = request.uri();
        let host = uri.host().unwrap_or_default();
        let https = uri.scheme() == Some(&Scheme::HTTPS);
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        // Names and passwords before the host would only hide it from a reader.
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        if host.is_empty() || authority.contains('@') {
            return Err(Refused::BadValue(format!("{authority:?} names no host")));
        }
        if !self.profile.http.allows(host, port) {
            return Err(Refused::Failed(format!(
                "{host}:{port} is not among the hosts of this plugin: it needs http = [\"{host}:{port}\"] under [capabilities] in plugin.toml"
            )));
        }
        lock(&self.calls).spend(Service::Http)
    }
}

fn lock(calls: &SharedCalls) -> std::sync::MutexGuard<'_, Calls> {
    calls.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An answer and what drives its connection, as the library has it.
type Answer = (
    Response<HttpBody>,
    Box<dyn Future<Output = Result<(), HttpError>> + Send>,
);

impl WasiHttpHooks for Outgoing {
    fn send_request(
        &mut self,
        request: Request<HttpBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), HttpError>> + Send>,
    ) -> Box<dyn Future<Output = Result<Answer, HttpError>> + Send> {
        let asked = format!("{} {}", request.method(), request.uri());
        let started = lock(&self.calls).begin("http", &asked);
        let calls = Arc::clone(&self.calls);
        if let Err(refused) = self.check(&request) {
            lock(&calls).end(started, || "refused".to_owned());
            self.refused.push(refused);
            return Box::new(async { Err(HttpError::HttpRequestDenied) });
        }
        let profile = Arc::clone(&self.profile);
        let wait = options.unwrap_or_default().first_byte_timeout;
        Box::new(async move {
            let result = match &profile.services.http {
                None => Err(HttpError::DestinationUnavailable),
                Some(http) => {
                    let answer = http.send(request, profile.http.private);
                    let wait = wait.unwrap_or(profile.limits.wall);
                    let late = |_| Err(HttpError::HttpResponseTimeout);
                    tokio::time::timeout(wait, answer)
                        .await
                        .unwrap_or_else(late)
                }
            };
            lock(&calls).end(started, || match &result {
                Ok(answer) => answer.status().to_string(),
                Err(error) => said(error),
            });
            let driver: Box<dyn Future<Output = Result<(), HttpError>> + Send> =
                Box::new(async { Ok(()) });
            Ok((result?, driver))
        })
    }
}

/// For people; the guest gets the error itself.
fn said(error: &HttpError) -> String {
    match error {
        HttpError::DestinationIpProhibited => {
            "refused: its address is not on the public Internet, and http-private is not granted"
                .to_owned()
        }
        HttpError::DestinationUnavailable => "failed: there is no network here".to_owned(),
        error => format!("failed: {error:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        let policy = HttpPolicy {
            allowed: ["API.example.com:443", "[2001:db8::1]:80"]
                .map(|text| text.parse().unwrap())
                .into(),
            private: false,
        };
        assert!(policy.allows("api.example.com", 443) && policy.allows("api.EXAMPLE.com", 443));
        assert!(policy.allows("[2001:db8::1]", 80));
        for (host, port) in [
            ("api.example.com", 80),
            ("example.com", 443),
            ("api.example.com.evil.test", 443),
            ("", 443),
        ] {
            assert!(!policy.allows(host, port), "{host}");
        }
        for bad in [
            "",
            "a",
            "a:",
            ":1",
            "a:0",
            "a:65536",
            "a b:1",
            "http://a:1",
            "u@a:1",
            "*:1",
        ] {
            assert!(bad.parse::<HostPort>().is_err(), "{bad}");
        }
    }
}
