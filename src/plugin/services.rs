//! What plugins reach beyond the message, as traits: the server gives real ones, the kit recorded ones. Decides nothing about who may.

use crate::dns::{Kind, LookupError, Resolver};
use crate::kv::{Database, Kv};
use crate::mail::Clock;
use crate::metrics::Registry;
use async_trait::async_trait;
use hyper::{Request, Response};
use std::fmt;
use std::sync::Arc;
pub use wasmtime_wasi_http::{Error as HttpError, WasiBody as HttpBody};

/// Cheap to clone.
#[derive(Clone)]
pub struct Services {
    pub kv: Arc<dyn Kv>,
    /// None: every question fails.
    pub dns: Option<Arc<dyn Dns>>,
    /// None: every request fails.
    pub http: Option<Arc<dyn Http>>,
    pub metrics: Registry,
    /// None: the system's.
    pub clock: Option<Arc<dyn Clock>>,
    /// None: the system's. Else these octets, over and over: for tests only. Never empty.
    pub random: Option<Vec<u8>>,
}

/// A store in memory, no network.
impl Default for Services {
    fn default() -> Self {
        Self {
            kv: Arc::new(Database::in_memory()),
            dns: None,
            http: None,
            metrics: Registry::default(),
            clock: None,
            random: None,
        }
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Services")
            .field("dns", &self.dns.is_some())
            .field("http", &self.http.is_some())
            .finish_non_exhaustive()
    }
}

#[async_trait]
pub trait Dns: Send + Sync {
    /// The records as text; empty where there are none. The name has been checked; for `Ptr` it is an IP address.
    async fn lookup(&self, name: &str, kind: Kind) -> Result<Vec<String>, String>;
}

#[async_trait]
impl Dns for Resolver {
    async fn lookup(&self, name: &str, kind: Kind) -> Result<Vec<String>, String> {
        match self.lookup(name, kind).await {
            Ok(records) => Ok(records),
            Err(LookupError::NotFound) => Ok(Vec::new()),
            Err(LookupError::Temporary(text)) => Err(text),
        }
    }
}

#[async_trait]
pub trait Http: Send + Sync {
    /// Sends it to the host that its URI names, which the plugin may reach, and follows no redirect. `private`: that host
    /// may have an address that is not on the public Internet.
    async fn send(
        &self,
        request: Request<HttpBody>,
        private: bool,
    ) -> Result<Response<HttpBody>, HttpError>;
}
