//! An existing milter (OpenDKIM, clamav-milter …) as one link of the chain: asked by the milter protocol, its modifications become edits.
//! Knows nothing of plugins but their circuit breaker; `ingress::milter` is the other direction.

mod changes;
mod dialogue;
mod facts;
mod run;
#[cfg(test)]
mod tests;

use crate::mail::{
    Failure, FailureKind, Filter, FilterInfo, FilterRun, Hook, Mode, OnError, Uses, Verdict,
};
use crate::metrics;
use crate::net::Endpoint;
use crate::plugin::{Breaker, BreakerConfig, BreakerState, Pass};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

/// What journals have in place of a version: the protocol doesn't tell.
const VERSION: &str = "milter";

#[derive(Debug, Clone)]
pub struct Config {
    pub name: String,
    pub address: Endpoint,
    /// Its place among the filters, as plugins have it.
    pub order: u32,
    pub on_error: OnError,
    /// Until it has taken a connection and said what it wants to see.
    pub connect: Duration,
    /// For an answer to anything before the message.
    pub command: Duration,
    /// For an answer to the header, a piece of the body or the end of it. It begins anew when the milter says that it is at work.
    pub content: Duration,
    /// At once; each is that of one transaction.
    pub connections: usize,
    /// Octets of a new body.
    pub size: u64,
    pub breaker: BreakerConfig,
}

impl Config {
    /// Waits as Postfix does (`milter_connect_timeout`, `milter_command_timeout`, `milter_content_timeout`).
    pub fn new(name: &str, address: Endpoint) -> Self {
        Self {
            name: name.to_owned(),
            address,
            order: 50,
            on_error: OnError::default(),
            connect: Duration::from_secs(30),
            command: Duration::from_secs(30),
            content: Duration::from_secs(300),
            connections: 1000,
            size: 50 << 20,
            breaker: BreakerConfig::default(),
        }
    }
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Milter(Arc<Inner>);

struct Inner {
    config: Config,
    info: FilterInfo,
    breaker: Arc<Breaker>,
    places: Arc<Semaphore>,
    meter: metrics::Meter,
    calls: AtomicU64,
    failures: AtomicU64,
}

/// As `wasmilter status` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct MilterStatus {
    pub name: String,
    pub address: String,
    pub order: u32,
    pub breaker: BreakerState,
    /// Open now.
    pub connections: usize,
    /// Of its hooks, since the start.
    pub calls: u64,
    pub failures: u64,
}

impl Milter {
    pub fn new(config: Config, metrics: &metrics::Registry) -> Self {
        let info = FilterInfo {
            name: config.name.clone(),
            version: VERSION.to_owned(),
            hooks: [Hook::Mail, Hook::Rcpt, Hook::Message]
                .into_iter()
                .collect(),
            // What it wants is known only when it has been asked.
            uses: Uses {
                body: true,
                header_edit: true,
                body_edit: true,
                envelope_edit: true,
            },
            on_error: config.on_error,
        };
        Self(Arc::new(Inner {
            breaker: Breaker::new(
                config.breaker,
                &format!("milter {}", config.name),
                metrics
                    .filters()
                    .versions()
                    .gate(&config.name, Mode::Active.name()),
            ),
            places: Arc::new(Semaphore::new(config.connections)),
            meter: metrics.filters().meter(&config.name),
            calls: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            info,
            config,
        }))
    }

    pub fn order(&self) -> u32 {
        self.0.config.order
    }

    pub fn status(&self) -> MilterStatus {
        let Inner { config, places, .. } = &*self.0;
        MilterStatus {
            name: config.name.clone(),
            address: config.address.to_string(),
            order: config.order,
            breaker: self.0.breaker.state(Instant::now()),
            connections: config.connections - places.available_permits(),
            calls: self.0.calls.load(Relaxed),
            failures: self.0.failures.load(Relaxed),
        }
    }
}

impl Filter for Milter {
    fn info(&self) -> &FilterInfo {
        &self.0.info
    }

    fn open(&self) -> Box<dyn FilterRun> {
        Box::new(run::Run::new(Arc::clone(&self.0)))
    }
}

impl Inner {
    fn admit(&self, hook: Hook) -> Result<Pass, Failure> {
        self.breaker
            .admit(hook, Instant::now())
            .map_err(|open| Failure {
                kind: FailureKind::BreakerOpen,
                text: open.0,
            })
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, Failure> {
        let place = Arc::clone(&self.places).acquire_owned();
        match timeout(self.config.connect, place).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(Failure {
                kind: FailureKind::Timeout,
                text: format!(
                    "all {} connections to it were taken for {} s",
                    self.config.connections,
                    self.config.connect.as_secs()
                ),
            }),
        }
    }

    /// Counts a call of a hook that was let through, or was not.
    fn done(&self, pass: Option<Pass>, result: &Result<Verdict, Failure>) {
        self.calls.fetch_add(1, Relaxed);
        match (pass, result) {
            (Some(pass), Ok(_)) => pass.succeeded(),
            (pass, Err(_)) => {
                self.failures.fetch_add(1, Relaxed);
                if let Some(pass) = pass {
                    pass.failed(Instant::now());
                }
            }
            (None, Ok(_)) => {}
        }
    }
}
