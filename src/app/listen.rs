//! Binding and serving the listeners of the configuration. Knows which protocol goes with which server, nothing of either.

use super::Listening;
use crate::admin::{self, challenges, control};
use crate::config::{Config, ConfigError, Listener as ListenerConfig, TlsMode};
use crate::ingress::smtp::TlsUse;
use crate::mailbox::Mailboxes;
use crate::metrics::Registry;
use crate::net::acme::Answers;
use crate::net::{Access, BindError, Endpoint, Limits, Listener, Proxies, Tls, Workers};
use std::io::ErrorKind;
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
                let help = help(&error, &endpoint);
                config
                    .source
                    .error(listener.span.clone(), error.to_string(), help)
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

/// What to do about a socket that could not be had.
fn help(error: &BindError, endpoint: &Endpoint) -> String {
    let directory = match endpoint {
        Endpoint::Unix(path) => path.parent().unwrap_or(path).display().to_string(),
        Endpoint::Tcp(_) => String::new(),
    };
    match (error, endpoint) {
        (BindError::InUse(_), _) => "stop what has it, or choose another address".to_owned(),
        (BindError::NotASocket(_), _) => "remove it, or choose another path".to_owned(),
        (BindError::Permission(_), Endpoint::Unix(_)) => {
            format!(
                "let the user that wasmilter runs as write to {directory}; to give the socket to an `owner` takes root or CAP_CHOWN"
            )
        }
        (BindError::Permission(_), Endpoint::Tcp(_)) => "choose a port from 1024 on, or let the program have those under it: \
             AmbientCapabilities=CAP_NET_BIND_SERVICE in its systemd unit, or setcap cap_net_bind_service=+ep"
            .to_owned(),
        (BindError::Other(_, error), _) => match error.kind() {
            ErrorKind::NotFound => format!("make the directory: mkdir -p {directory}"),
            ErrorKind::AddrNotAvailable => {
                "choose an address of this machine, or 0.0.0.0 or [::] for all of them".to_owned()
            }
            _ => String::new(),
        },
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_its_remedy() {
        let help = |address: &str, error: &dyn Fn(Endpoint) -> BindError| {
            let endpoint: Endpoint = address.parse().unwrap();
            help(&error(endpoint.clone()), &endpoint)
        };
        let used = help("[::]:25", &BindError::InUse);
        assert!(used.contains("stop what has it"), "{used}");
        let port = help("[::]:25", &BindError::Permission);
        assert!(port.contains("CAP_NET_BIND_SERVICE"), "{port}");
        let path = help("unix:/run/w/s", &BindError::Permission);
        assert!(path.contains("write to /run/w;"), "{path}");
        let missing = |endpoint| BindError::Other(endpoint, ErrorKind::NotFound.into());
        let missing = help("unix:/run/w/s", &missing);
        assert_eq!(missing, "make the directory: mkdir -p /run/w");
        let foreign = |endpoint| BindError::Other(endpoint, ErrorKind::AddrNotAvailable.into());
        let foreign = help("192.0.2.1:25", &foreign);
        assert!(foreign.contains("an address of this machine"), "{foreign}");
    }
}
