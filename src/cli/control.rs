//! The client of a running server's control socket.
//! Knows no request; says clearly when no server runs.

use crate::admin::control::{self, Problem};
use crate::config::Config;
use anyhow::{Context, anyhow, bail};
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, header};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use tokio::net::UnixStream;

/// Octets of an answer.
const LONGEST: usize = 256 << 20;

/// A server to ask; it is connected to for each request.
pub struct Server {
    socket: PathBuf,
    config: PathBuf,
}

impl Server {
    /// The one that runs with this configuration.
    pub fn of(config: &Config) -> anyhow::Result<Self> {
        Ok(Self {
            socket: control::socket(&config.data_dir)?,
            config: config.source.path.clone(),
        })
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.ask(Method::GET, path, Body::empty()).await
    }

    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> anyhow::Result<T> {
        let body = serde_json::to_vec(body)?;
        self.ask(Method::POST, path, body.into()).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Body,
    ) -> anyhow::Result<T> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| no_server(&self.socket, &self.config, &error))?;
        let broken = || {
            format!(
                "the server's control socket {} broke off; the server's log may say why",
                self.socket.display()
            )
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .with_context(broken)?;
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)?;
        let answer = sender.send_request(request).await.with_context(broken)?;
        let status = answer.status();
        let body = to_bytes(Body::new(answer.into_body()), LONGEST)
            .await
            .with_context(broken)?;
        connection.abort();
        if !status.is_success() {
            match serde_json::from_slice::<Problem>(&body) {
                Ok(problem) => bail!(problem.error),
                Err(_) => bail!(
                    "the server answered {status}: {}",
                    String::from_utf8_lossy(&body)
                ),
            }
        }
        serde_json::from_slice(&body).with_context(|| {
            "the server's answer is not understood: command and server are of different versions; restart the server".to_owned()
        })
    }
}

fn no_server(socket: &Path, config: &Path, error: &std::io::Error) -> anyhow::Error {
    let (socket, config) = (socket.display(), config.display());
    match error.kind() {
        ErrorKind::NotFound => anyhow!(
            "no server runs with this configuration: there is no {socket}\n  start it: wasmilter serve --config {config}"
        ),
        ErrorKind::ConnectionRefused => anyhow!(
            "no server runs with this configuration: {socket} is left over from one that is gone\n  start it: wasmilter serve --config {config}"
        ),
        ErrorKind::PermissionDenied => anyhow!(
            "{socket} may be used only by the user that the server runs as: run this command as that user"
        ),
        _ => anyhow!("the server cannot be reached at {socket}: {error}"),
    }
}
