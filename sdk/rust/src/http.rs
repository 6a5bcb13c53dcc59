//! HTTP requests to the hosts that `plugin.toml` names under `[capabilities]`, as `http = ["api.example.com:443"]`, and no others.
//!
//! Redirects are not followed. An answer holds 8 MiB at the most; all of it takes place within the wall clock of the hook, and a hook may send 10.
//! Hosts without a public address need a grant of the administrator's. Any other client for `wasi:http` works too.
//!
//! ```no_run
//! use wasmilter_sdk::http::Request;
//! use wasmilter_sdk::{export, header, score};
//!
//! export!(message = check);
//!
//! fn check() {
//!     let subject = header::first("Subject").unwrap_or_default();
//!     let answer = Request::post("https://api.example.com/judge", subject)
//!         .header("Content-Type", "text/plain; charset=utf-8")
//!         .send();
//!     match answer {
//!         Ok(answer) if answer.status == 200 && answer.body == b"spam" => {
//!             score::add("JUDGED", 5.0, "api.example.com calls it spam");
//!         }
//!         // No answer is no reason to keep mail out.
//!         _ => {}
//!     }
//! }
//! ```

use std::fmt;
use std::time::Duration;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingResponse, Method, OutgoingBody, OutgoingRequest,
    RequestOptions, Scheme,
};
use wasip2::io::streams::StreamError;

/// Octets that are written or read at a time.
const CHUNK: usize = 64 * 1024;

/// A request that is being put together.
#[derive(Debug, Clone)]
#[must_use = "it goes nowhere without `send`"]
pub struct Request {
    method: String,
    url: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    timeout: Option<Duration>,
}

/// An answer, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The request cannot be sent as it is.
    Bad(String),
    /// The host is not among those granted, or its address is not public.
    Denied(String),
    /// The network, the host or the time.
    Failed(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bad(text) => write!(f, "not a request that can be sent: {text}"),
            Self::Denied(text) => write!(f, "denied: {text}"),
            Self::Failed(text) => write!(f, "no answer: {text}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<ErrorCode> for Error {
    fn from(code: ErrorCode) -> Self {
        let text = format!("{code:?}");
        match code {
            ErrorCode::HttpRequestDenied | ErrorCode::DestinationIpProhibited => Self::Denied(text),
            ErrorCode::HttpRequestUriInvalid | ErrorCode::HttpRequestMethodInvalid => {
                Self::Bad(text)
            }
            _ => Self::Failed(text),
        }
    }
}

impl Request {
    /// `url` is `http://HOST[:PORT]/PATH` or `https://…`, encoded as it has to be.
    pub fn new(method: &str, url: &str) -> Self {
        Self {
            method: method.to_owned(),
            url: url.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            timeout: None,
        }
    }

    pub fn get(url: &str) -> Self {
        Self::new("GET", url)
    }

    pub fn post(url: &str, body: impl Into<Vec<u8>>) -> Self {
        Self::new("POST", url).body(body)
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers
            .push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Until the header of the answer is there. Without one, until the hook's time is over, which then ends the filter.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends it and waits for the whole answer.
    pub fn send(self) -> Result<Response, Error> {
        let options = RequestOptions::new();
        if let Some(timeout) = self.timeout {
            let nanos = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
            let _ = options.set_first_byte_timeout(Some(nanos));
        }
        let (request, body) = self.request()?;
        let answer = outgoing_handler::handle(request, Some(options))?;
        if let Some(body) = body {
            write(body, &self.body)?;
        }
        answer.subscribe().block();
        match answer.get() {
            Some(Ok(answer)) => read(answer?),
            Some(Err(())) | None => Err(Error::Failed("the answer is gone".to_owned())),
        }
    }

    /// With where its body goes, if it has one.
    fn request(&self) -> Result<(OutgoingRequest, Option<OutgoingBody>), Error> {
        let bad = |what: &str| Error::Bad(format!("{what} of {} {}", self.method, self.url));
        let (scheme, rest) = match self.url.split_once("://") {
            Some(("https", rest)) => (Scheme::Https, rest),
            Some(("http", rest)) => (Scheme::Http, rest),
            _ => return Err(bad("the scheme")),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let start = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(start);
        let path = match path.starts_with('/') {
            true => path.to_owned(),
            false => format!("/{path}"),
        };
        let fields = Fields::new();
        for (name, value) in &self.headers {
            let appended = fields.append(name, value);
            appended.map_err(|_| bad(&format!("the field {name}")))?;
        }
        let length = self.body.len().to_string().into_bytes();
        if !self.body.is_empty() && !fields.has("content-length") {
            let appended = fields.append("content-length", &length);
            appended.map_err(|_| bad("the length"))?;
        }
        let request = OutgoingRequest::new(fields);
        let method = match self.method.as_str() {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            "DELETE" => Method::Delete,
            "PATCH" => Method::Patch,
            other => Method::Other(other.to_owned()),
        };
        request
            .set_method(&method)
            .map_err(|()| bad("the method"))?;
        request
            .set_scheme(Some(&scheme))
            .map_err(|()| bad("the scheme"))?;
        request
            .set_authority(Some(authority))
            .map_err(|()| bad("the host"))?;
        request
            .set_path_with_query(Some(&path))
            .map_err(|()| bad("the path"))?;
        if self.body.is_empty() {
            return Ok((request, None));
        }
        let body = request.body().map_err(|()| bad("the body"))?;
        Ok((request, Some(body)))
    }
}

fn write(body: OutgoingBody, octets: &[u8]) -> Result<(), Error> {
    {
        let stream = body
            .write()
            .map_err(|()| Error::Failed("the body cannot be written".to_owned()))?;
        // `blocking-write-and-flush` takes 4 KiB at a time.
        for chunk in octets.chunks(4096) {
            if stream.blocking_write_and_flush(chunk).is_err() {
                // The answer says why.
                break;
            }
        }
    }
    // Nor is it an error if the host answered before it had read all.
    let _ = OutgoingBody::finish(body, None);
    Ok(())
}

fn read(answer: IncomingResponse) -> Result<Response, Error> {
    let status = answer.status();
    let headers = answer.headers().entries();
    let body: IncomingBody = answer
        .consume()
        .map_err(|()| Error::Failed("the body cannot be read".to_owned()))?;
    let stream = body
        .stream()
        .map_err(|()| Error::Failed("the body cannot be read".to_owned()))?;
    let mut octets = Vec::new();
    loop {
        match stream.blocking_read(CHUNK as u64) {
            Ok(chunk) => octets.extend(chunk),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => {
                return Err(Error::Failed(error.to_debug_string()));
            }
        }
    }
    Ok(Response {
        status,
        headers,
        body: octets,
    })
}
