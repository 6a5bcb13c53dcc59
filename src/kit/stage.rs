//! The services of a plugin in the kit, as one that stays while what answers is changed between two messages. Answers nothing itself.

use crate::dns::Kind;
use crate::kv::{Kv, KvError};
use crate::mail::{Clock, SystemClock, TransactionId};
use crate::plugin::{Dns, Http, HttpBody, HttpError, Services};
use arc_swap::ArcSwap;
use async_trait::async_trait;
use hyper::{Request, Response};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// Clones are the same one.
#[derive(Clone, Default)]
pub struct Stage(Arc<ArcSwap<Services>>);

impl Stage {
    /// For the plugin that is to play on it.
    pub fn services(&self) -> Services {
        let stage = Arc::new(self.clone());
        Services {
            kv: Arc::clone(&stage) as Arc<dyn Kv>,
            dns: Some(Arc::clone(&stage) as Arc<dyn Dns>),
            http: Some(Arc::clone(&stage) as Arc<dyn Http>),
            clock: Some(stage),
            ..Services::default()
        }
    }

    /// These answer from now on; chance and metrics stay.
    pub fn set(&self, services: Services) {
        self.0.store(Arc::new(services));
    }
}

#[async_trait]
impl Dns for Stage {
    async fn lookup(&self, name: &str, kind: Kind) -> Result<Vec<String>, String> {
        match &self.0.load_full().dns {
            Some(dns) => dns.lookup(name, kind).await,
            None => Err("there is no DNS here".to_owned()),
        }
    }
}

#[async_trait]
impl Http for Stage {
    async fn send(
        &self,
        request: Request<HttpBody>,
        private: bool,
    ) -> Result<Response<HttpBody>, HttpError> {
        match &self.0.load_full().http {
            Some(http) => http.send(request, private).await,
            None => Err(HttpError::DestinationUnavailable),
        }
    }
}

impl Clock for Stage {
    fn now(&self) -> Timestamp {
        match &self.0.load().clock {
            Some(clock) => clock.now(),
            None => SystemClock.now(),
        }
    }

    fn transaction_id(&self) -> TransactionId {
        match &self.0.load().clock {
            Some(clock) => clock.transaction_id(),
            None => SystemClock.transaction_id(),
        }
    }
}

impl Kv for Stage {
    fn get(&self, space: &str, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        self.0.load().kv.get(space, key)
    }

    fn set(
        &self,
        space: &str,
        key: &str,
        value: &[u8],
        ttl: Option<Duration>,
    ) -> Result<(), KvError> {
        self.0.load().kv.set(space, key, value, ttl)
    }

    fn delete(&self, space: &str, key: &str) -> Result<bool, KvError> {
        self.0.load().kv.delete(space, key)
    }

    fn increment(
        &self,
        space: &str,
        key: &str,
        by: i64,
        ttl: Option<Duration>,
    ) -> Result<i64, KvError> {
        self.0.load().kv.increment(space, key, by, ttl)
    }

    fn compare_and_set(
        &self,
        space: &str,
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
        ttl: Option<Duration>,
    ) -> Result<bool, KvError> {
        let services = self.0.load();
        services
            .kv
            .compare_and_set(space, key, expected, value, ttl)
    }

    fn scan(
        &self,
        space: &str,
        prefix: &str,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, KvError> {
        self.0.load().kv.scan(space, prefix, after, most)
    }
}

/// A time that stands still.
pub struct Fixed(pub Timestamp);

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        self.0
    }

    fn transaction_id(&self) -> TransactionId {
        TransactionId::new(
            u64::try_from(self.0.as_millisecond()).unwrap_or_default(),
            0,
        )
    }
}
