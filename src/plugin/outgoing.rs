//! `wasi:http/outgoing-handler`: who may be asked, how often, and the journal of it. How requests are sent is [`super::services::Http`]'s.

use super::calls::{Calls, Service};
use super::capability::{Ability, Capabilities};
use super::services::{HttpBody, HttpError};
use super::state::{Profile, Refused};
use hyper::http::uri::Scheme;
use hyper::{Request, Response};
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime_wasi_http::{RequestOptions, WasiHttpHooks};

/// The calls of a hook; a request that is under way ends in it, too.
pub type SharedCalls = Arc<Mutex<Calls>>;

/// What the library asks when a guest sends a request.
pub struct Outgoing {
    profile: Arc<Profile>,
    capabilities: Arc<Capabilities>,
    calls: SharedCalls,
    /// What was refused, for the journal.
    refused: Vec<Refused>,
    /// Not while the plugin is loaded.
    open: bool,
}

impl Outgoing {
    pub fn new(profile: Arc<Profile>, capabilities: Arc<Capabilities>, calls: SharedCalls) -> Self {
        Self {
            profile,
            capabilities,
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
        self.capabilities
            .check(Ability::Http, &format!("{host}:{port}"))
            .map_err(Refused::NotGranted)?;
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
        let private = self.capabilities.has(Ability::HttpPrivate);
        let wait = options.unwrap_or_default().first_byte_timeout;
        Box::new(async move {
            let result = match &profile.services.http {
                None => Err(HttpError::DestinationUnavailable),
                Some(http) => {
                    let answer = http.send(request, private);
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
