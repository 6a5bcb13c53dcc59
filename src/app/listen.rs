//! Binding and serving the listeners of the configuration. Knows which protocol goes with which server, nothing of either.

use super::Listening;
use crate::admin::{self, control};
use crate::config::{Config, ConfigError, Listener as ListenerConfig, TlsFiles, TlsMode};
use crate::ingress::smtp::TlsUse;
use crate::mailbox::Mailboxes;
use crate::metrics::Registry;
use crate::net::{Access, Endpoint, Limits, Listener, Proxies, Tls, TlsError};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A listener that has its socket.
pub struct Bound {
    pub config: ListenerConfig,
    pub listener: Listener,
}

impl Bound {
    pub fn listening(&self) -> Listening {
        Listening {
            protocol: self.config.protocol,
            endpoint: self.listener.local_address().clone(),
        }
    }
}

pub fn endpoint(config: &Config, listener: &ListenerConfig) -> Result<Endpoint, ConfigError> {
    listener
        .address
        .parse()
        .map_err(|error: crate::net::EndpointError| {
            config
                .source
                .error(listener.span.clone(), error.to_string(), "")
        })
}

pub async fn bind(config: &Config) -> Result<Vec<Bound>, ConfigError> {
    let mut bound = Vec::with_capacity(config.listeners.len());
    for listener in &config.listeners {
        let endpoint = endpoint(config, listener)?;
        let socket = Listener::bind_for(&endpoint, &listener.access)
            .await
            .map_err(|error| {
                config.source.error(
                    listener.span.clone(),
                    error.to_string(),
                    "stop what has it, or choose another address",
                )
            })?;
        bound.push(Bound {
            config: listener.clone(),
            listener: socket,
        });
    }
    Ok(bound)
}

/// The socket for commands; in a data directory that no other server has.
pub async fn bind_control(config: &Config) -> Result<Listener, ConfigError> {
    let general = |error: &dyn std::fmt::Display| ConfigError::general(error.to_string());
    let path = control::socket(&config.data_dir).map_err(|error| general(&error))?;
    Listener::bind_for(&Endpoint::Unix(path), &Access::new(control::MODE))
        .await
        .map_err(|error| general(&error))
}

/// None if no listener wants it. Without a certificate in the configuration, a self-signed pair is made.
pub fn tls(config: &Config) -> Result<Option<Tls>, ConfigError> {
    if config
        .listeners
        .iter()
        .all(|listener| listener.tls == TlsMode::None)
    {
        return Ok(None);
    }
    match &config.tls {
        Some(files) => certificate(config, files).map(Some),
        None => {
            tracing::warn!(
                "no [tls] in the configuration: a self-signed certificate for {} is used, which clients will not trust",
                config.hostname
            );
            Tls::self_signed(&config.hostname, &config.data_dir)
                .map(Some)
                .map_err(|error| ConfigError::general(error.to_string()))
        }
    }
}

pub fn certificate(config: &Config, files: &TlsFiles) -> Result<Tls, ConfigError> {
    Tls::from_pem(&files.certificate, &files.key).map_err(|error| {
        let at_key = match &error {
            TlsError::Read { path, .. } | TlsError::Pem { path, .. } => *path == files.key,
            _ => false,
        };
        let span = if at_key {
            &files.key_span
        } else {
            &files.certificate_span
        };
        config.source.error(
            span.clone(),
            error.to_string(),
            "without [tls] a self-signed pair is made in data-dir",
        )
    })
}

pub fn smtp_tls(mode: TlsMode, tls: &Option<Tls>) -> TlsUse {
    match (mode, tls) {
        (TlsMode::None, _) | (_, None) => TlsUse::None,
        (TlsMode::Starttls, Some(tls)) => TlsUse::StartTls(tls.clone()),
        (TlsMode::Implicit, Some(tls)) => TlsUse::Implicit(tls.clone()),
    }
}

/// None if the listener's clients come by themselves.
pub fn proxies(config: &Config, listener: &ListenerConfig) -> Option<Proxies> {
    listener
        .proxy_protocol
        .then(|| Proxies::new(config.trusted.proxies.clone()))
}

pub async fn imap(
    bound: Bound,
    mailboxes: Mailboxes,
    tls: Option<Tls>,
    proxies: Option<Proxies>,
    connections: usize,
    stop: CancellationToken,
) {
    let mode = bound.config.tls;
    let limits = Limits {
        connections,
        refusal: match mode {
            TlsMode::Implicit => String::new(),
            TlsMode::None | TlsMode::Starttls => {
                "* BYE [UNAVAILABLE] Too many connections; try again later\r\n".to_owned()
            }
        },
        drain: super::DRAIN,
    };
    let shared = Arc::new((mailboxes, tls, proxies));
    let token = stop.clone();
    bound
        .listener
        .serve(limits, stop, move |mut stream| {
            let shared = Arc::clone(&shared);
            let stop = token.clone();
            async move {
                let (mailboxes, tls, proxies) = &*shared;
                if let Some(proxies) = proxies {
                    let peer = stream.peer();
                    stream = match Box::pin(proxies.accept(stream)).await {
                        Ok(stream) => stream,
                        Err(error) => {
                            tracing::info!(%peer, %error, "turned away: no PROXY header to be believed");
                            return;
                        }
                    };
                }
                match (mode, tls) {
                    (TlsMode::None, _) | (_, None) => mailboxes.serve(stream, None, stop).await,
                    (TlsMode::Starttls, tls) => mailboxes.serve(stream, tls.as_ref(), stop).await,
                    (TlsMode::Implicit, Some(tls)) => match tls.accept(stream).await {
                        Ok(stream) => mailboxes.serve(stream, None, stop).await,
                        Err(error) => tracing::debug!(%error, "no TLS"),
                    },
                }
            }
        })
        .await;
}

pub async fn http(bound: Bound, metrics: Registry, connections: usize, stop: CancellationToken) {
    serve_http(bound.listener, admin::routes(metrics), connections, stop).await;
}

pub async fn serve_http(
    listener: Listener,
    routes: axum::Router,
    connections: usize,
    stop: CancellationToken,
) {
    let limits = Limits {
        connections,
        refusal:
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                .to_owned(),
        drain: super::DRAIN,
    };
    let token = stop.clone();
    listener
        .serve(limits, stop, move |stream| {
            admin::serve(stream, routes.clone(), token.clone())
        })
        .await;
}
