//! What the server counts, as Prometheus reads it: one registry, handed to whoever counts. Serves nothing itself.

mod filters;
mod named;
#[cfg(test)]
mod tests;
mod versions;
mod wire;
mod work;

pub use filters::{Call, Filters, Meter};
pub use named::{Named, NamedError};
pub use versions::{GateMeter, Versions};
pub use wire::{Connections, Failure, Handshakes, Imap, Open, Smtp};
pub use work::{Authentication, Certificates, Chain, Commits};

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::{Metric, Registry as Library};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use wire::Wire;
use work::Work;

/// What every name begins with.
const PREFIX: &str = "wasmilter";
/// The media type of [`Registry::text`].
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics of a server. Cheap to clone; clones are the same.
#[derive(Clone)]
pub struct Registry(Arc<Inner>);

struct Inner {
    library: Mutex<Library>,
    filters: Filters,
    named: Named,
    wire: Wire,
    work: Work,
}

impl Default for Registry {
    fn default() -> Self {
        let mut library = Library::with_prefix(PREFIX);
        let filters = Filters::register(&mut library);
        let named = Named::default();
        let wire = Wire::register(&mut library);
        let work = Work::register(&mut library);
        library.register_collector(Box::new(named.clone()));
        Self(Arc::new(Inner {
            library: Mutex::new(library),
            filters,
            named,
            wire,
            work,
        }))
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Registry")
    }
}

impl Registry {
    /// Adds a metric as `wasmilter_NAME`; keep a clone of it to count with. `help` is a sentence without its full stop.
    pub fn register<M: Metric + Clone>(&self, name: &str, help: &str, metric: M) -> M {
        let mut library = self
            .0
            .library
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        library.register(name, help, metric.clone());
        metric
    }

    /// What is counted of filters.
    pub fn filters(&self) -> &Filters {
        &self.0.filters
    }

    /// What plugins count under names of their own.
    pub fn named(&self) -> &Named {
        &self.0.named
    }

    /// Of the listeners of a protocol.
    pub fn connections(&self, protocol: &'static str) -> Connections {
        self.0.wire.connections(protocol)
    }

    /// Of SMTP or LMTP.
    pub fn smtp(&self, protocol: &'static str) -> Smtp {
        self.0.wire.smtp(protocol)
    }

    pub fn imap(&self) -> Imap {
        self.0.wire.imap()
    }

    pub fn handshakes(&self) -> Handshakes {
        self.0.wire.handshakes()
    }

    /// How often that limit was hit.
    pub fn limit(&self, protocol: &'static str, limit: &'static str) -> Counter {
        self.0.wire.limit(protocol, limit)
    }

    pub fn authentication(&self) -> Authentication {
        self.0.work.authentication()
    }

    pub fn chain(&self) -> Chain {
        self.0.work.chain.clone()
    }

    pub fn commits(&self) -> Commits {
        self.0.work.commits.clone()
    }

    pub fn certificates(&self) -> Certificates {
        self.0.work.certificates()
    }

    /// As OpenMetrics text, which Prometheus reads.
    pub fn text(&self) -> String {
        let library = self
            .0
            .library
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut out = String::new();
        // Writing to a string does not fail, and what does not fit the format is not let in.
        if let Err(error) = text::encode(&mut out, &library) {
            tracing::error!("the metrics cannot be written: {error}");
        }
        out
    }
}
