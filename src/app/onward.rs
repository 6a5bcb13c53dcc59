//! Next hops, from the configuration to what `accept` hands messages to. Hands none on itself.

use super::Services;
use crate::accept::{Acceptor, NextHops};
use crate::config::{Config, ConfigError, Listener, NextHop, Protocol, TlsMode};
use crate::deliver::{Hop, Hops, TlsUse};
use crate::net::TlsClient;
use crate::proto::smtp::{Blame, Dialect};
use std::sync::Arc;

/// None where the configuration has none.
pub fn hops(config: &Config) -> Result<Option<Arc<dyn NextHops>>, ConfigError> {
    if config.next_hops.is_empty() {
        return Ok(None);
    }
    let hops = config.next_hops.iter().map(|hop| one(config, hop));
    let hops = hops.collect::<Result<_, _>>()?;
    Ok(Some(Arc::new(Hops::new(hops))))
}

fn one(config: &Config, hop: &NextHop) -> Result<Hop, ConfigError> {
    let tls = || {
        TlsClient::new(&hop.tls_name, hop.tls_ca.as_deref()).map_err(|error| {
            let help = "tls-name is the name that its certificate is for, tls-ca a PEM file of who signed it";
            config.source.error(hop.span.clone(), error.to_string(), help)
        })
    };
    Ok(Hop {
        name: hop.name.clone(),
        remote: hop.remote.clone(),
        dialect: match hop.protocol {
            Protocol::Lmtp => Dialect::Lmtp,
            _ => Dialect::Smtp,
        },
        tls: match hop.tls {
            TlsMode::None => TlsUse::None,
            TlsMode::Starttls => TlsUse::StartTls(tls()?),
            TlsMode::Implicit => TlsUse::Implicit(tls()?),
        },
        telling: hop.telling,
        patience: hop.patience,
        transactions: hop.transactions,
        hostname: config.hostname.clone(),
    })
}

/// Of a listener.
pub fn acceptor(listener: &Listener, services: &Services) -> Acceptor {
    let acceptor = services.acceptor.clone();
    match (&listener.next_hop, &services.hops) {
        (Some(name), Some(hops)) => acceptor.handing_on(Arc::clone(hops), name.clone()),
        _ => acceptor,
    }
}

/// Whether the clients of this listener are offered DSN.
pub fn dsn(config: &Config, listener: &Listener) -> bool {
    let mut hops = config.next_hops.iter();
    hops.any(|hop| hop.dsn && listener.next_hop.as_ref() == Some(&hop.name))
}

/// What counts as an error of the clients of this listener.
pub fn blame(listener: &Listener) -> Blame {
    match listener.next_hop {
        Some(_) => Blame::Faults,
        None => Blame::Refusals,
    }
}
