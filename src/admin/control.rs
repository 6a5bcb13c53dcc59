//! What commands ask of a running server: HTTP with JSON over a Unix socket in the data directory, for the server's own user only.
//! Doesn't know who asks; an answer that is not 2xx is [`Problem`] as JSON.
//!
//! A new request is a handler that takes `State<Arc<Control>>` and a line in [`routes`].

pub mod quarantine;

use crate::accept::Acceptor;
use crate::mail::Hook;
use crate::milter::{Milter, MilterStatus};
use crate::plugin::{Generation, Host, StatusFile};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The socket's file, in the data directory.
const SOCKET: &str = "control.sock";
/// Its permissions: who can connect can do all that the server can.
pub const MODE: u32 = 0o600;
/// Connections at a time.
pub const CONNECTIONS: usize = 64;
/// Octets of a path that a socket can have (`sun_path` of sockaddr_un, with its NUL).
const LONGEST: usize = 107;

/// What the handlers work on. A feature adds what it needs.
pub struct Control {
    pub hostname: String,
    /// As `serve` says it: "smtp ready on 127.0.0.1:25".
    pub listening: Vec<String>,
    pub started: Timestamp,
    /// None without a plugin directory.
    pub plugins: Option<Arc<Host>>,
    pub milters: Arc<[Milter]>,
    pub acceptor: Acceptor,
}

/// Where the socket of the server with this data directory is.
pub fn socket(data_dir: &Path) -> Result<PathBuf, PathTooLong> {
    let path = data_dir.join(SOCKET);
    let octets = path.as_os_str().len();
    match octets {
        0..=LONGEST => Ok(path),
        _ => Err(PathTooLong { path, octets }),
    }
}

#[derive(Debug, thiserror::Error)]
#[error(
    "the path of the control socket, {}, has {octets} octets and a socket's path can have {LONGEST}; choose a shorter data-dir, or one relative to where wasmilter runs",
    path.display()
)]
pub struct PathTooLong {
    path: PathBuf,
    octets: usize,
}

pub fn routes(control: Control) -> Router {
    Router::new()
        .route("/status", get(status))
        .route("/plugins/reload", post(reload))
        .merge(super::plugins::routes())
        .merge(quarantine::routes())
        .fallback(unknown)
        .with_state(Arc::new(control))
}

/// Why a request was not done: what was wrong and what to do.
#[derive(Debug, Serialize, Deserialize)]
pub struct Problem {
    pub error: String,
    #[serde(skip, default)]
    status: StatusCode,
}

impl Problem {
    pub fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self {
            error: error.into(),
            status,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, Json(self)).into_response()
    }
}

async fn unknown(request: Request) -> Problem {
    let what = format!("{} {}", request.method(), request.uri().path());
    Problem::new(
        StatusCode::NOT_FOUND,
        format!(
            "this server ({}) does not know {what}: command and server are of different versions; restart the server",
            env!("CARGO_PKG_VERSION")
        ),
    )
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub pid: u32,
    pub hostname: String,
    pub started: Timestamp,
    pub listening: Vec<String>,
    /// Of plugins; 0 without any.
    pub generation: u64,
    /// The filters in force, in order.
    pub filters: Vec<FilterStatus>,
    /// Those that are links of the chain.
    #[serde(default)]
    pub milters: Vec<MilterStatus>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct FilterStatus {
    pub name: String,
    pub version: String,
    pub hooks: Vec<Hook>,
}

async fn status(State(control): State<Arc<Control>>) -> Json<Status> {
    let generation = control.plugins.as_ref().map(|host| host.generation());
    Json(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        hostname: control.hostname.clone(),
        started: control.started,
        listening: control.listening.clone(),
        generation: generation
            .as_ref()
            .map_or(0, |generation| generation.number),
        filters: generation.as_deref().map(filters).unwrap_or_default(),
        milters: control.milters.iter().map(Milter::status).collect(),
    })
}

fn filters(generation: &Generation) -> Vec<FilterStatus> {
    let infos = generation.filters.iter().map(|filter| filter.info());
    infos
        .map(|info| FilterStatus {
            name: info.name.clone(),
            version: info.version.clone(),
            hooks: info.hooks.iter().collect(),
        })
        .collect()
}

/// Looks at the plugin directory now; what is loaded, and what is kept out and why.
async fn reload(State(control): State<Arc<Control>>) -> Result<Json<StatusFile>, Problem> {
    let host = plugins(&control)?;
    Ok(Json(StatusFile::from(&*host.reload().await)))
}

pub fn plugins(control: &Control) -> Result<&Arc<Host>, Problem> {
    control.plugins.as_ref().ok_or_else(|| {
        Problem::new(
            StatusCode::CONFLICT,
            "this server has no plugins: set `directory` under [plugins] in its configuration and restart it",
        )
    })
}
