//! Binding and serving the listeners of the configuration. Knows which protocol goes with which server, nothing of either.

use super::Listening;
use crate::admin::{self, challenges, control};
use crate::config::{Config, ConfigError, Listener as ListenerConfig, TlsMode};
use crate::ingress::smtp::TlsUse;
use crate::mailbox::Mailboxes;
use crate::metrics::Registry;
use crate::net::acme::Answers;
use crate::net::{Access, Endpoint, Limits, Listener, Proxies, Tls, Workers};
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

pub async fn bind(
    config: &Config,
    metrics: &Registry,
    workers: &Workers,
) -> Result<Vec<Bound>, ConfigError> {
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
        let socket = socket.counted(metrics.connections(listener.protocol.name()));
        bound.push(Bound {
            config: listener.clone(),
            listener: match listener.protocol.brings_mail() {
                true => socket.on(workers.clone()),
                false => socket,
            },
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

pub fn smtp_tls(mode: TlsMode, tls: Option<Tls>) -> TlsUse {
    match (mode, tls) {
        (TlsMode::None, _) | (_, None) => TlsUse::None,
        (TlsMode::Starttls, Some(tls)) => TlsUse::StartTls(tls),
        (TlsMode::Implicit, Some(tls)) => TlsUse::Implicit(tls),
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
                    let proxied = Box::pin(proxies.accept(stream)).await;
                    let Some(client) = proxied else { return };
                    stream = client;
                }
                let silent = mode == TlsMode::Implicit;
                let admitted = Box::pin(mailboxes.admit(&mut stream, silent)).await;
                let Some(ticket) = admitted else { return };
                match (mode, tls) {
                    (TlsMode::None, _) | (_, None) => {
                        mailboxes.serve(stream, ticket, None, stop).await;
                    }
                    (TlsMode::Starttls, tls) => {
                        mailboxes.serve(stream, ticket, tls.as_ref(), stop).await;
                    }
                    (TlsMode::Implicit, Some(tls)) => match tls.accept(stream).await {
                        Ok(stream) => mailboxes.serve(stream, ticket, None, stop).await,
                        Err(error) => tracing::debug!(%error, "no TLS"),
                    },
                }
            }
        })
        .await;
}

pub async fn http(
    bound: Bound,
    metrics: Registry,
    answers: Answers,
    connections: usize,
    stop: CancellationToken,
) {
    let routes = admin::routes(metrics).merge(challenges::routes(answers));
    serve_http(bound.listener, routes, connections, stop).await;
}

/// Under TLS the handshake is the answer, and all that there is.
pub async fn acme(
    bound: Bound,
    tls: Option<Tls>,
    answers: Answers,
    connections: usize,
    stop: CancellationToken,
) {
    let Some(tls) = tls else {
        let routes = challenges::routes(answers);
        return serve_http(bound.listener, routes, connections, stop).await;
    };
    let limits = Limits {
        connections,
        refusal: String::new(),
        drain: super::DRAIN,
    };
    let handler = move |stream| {
        let tls = tls.clone();
        async move { drop(tls.accept(stream).await) }
    };
    bound.listener.serve(limits, stop, handler).await;
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
