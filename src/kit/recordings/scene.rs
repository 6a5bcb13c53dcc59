//! Recordings at work: services that answer from them, fail as they say, and note what they have no answer for.

use super::format::{DnsFault, Faults, HttpFault, KvFault, KvValue, RecordedDns, RecordedHttp};
use crate::dns::Kind;
use crate::kit::stage::Fixed;
use crate::kv::{Database, Kv, KvError, MAX_SCAN};
use crate::mail::{Clock, SystemClock};
use crate::plugin::{Dns, Http, HttpBody, HttpError, Services};
use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// One plugin is all there is.
const SPACE: &str = "plugin";
const NOT_RECORDED: &str = "this case has no recording of it";
/// As the host says it.
const NO_ANSWER: &str = "no answer within 1 s";
const SERVFAIL: &str = "no answer: the server failed (SERVFAIL)";
const FULL: &str = "the store is full (a fault of this case)";
const DISK: &str = "the disk failed (a fault of this case)";

#[derive(Debug, Clone, Default)]
pub struct Recordings {
    pub clock: Option<Timestamp>,
    pub dns: RecordedDns,
    pub http: Vec<RecordedHttp>,
    pub kv: BTreeMap<String, KvValue>,
    pub faults: Faults,
}

/// A case's world while it is played.
pub struct Scene(Arc<World>);

struct World {
    recorded: Recordings,
    kept: Database,
    /// Entries of `[[http]]` that have answered.
    spent: Mutex<Vec<usize>>,
    /// What to add for what was asked in vain, each once.
    unrecorded: Mutex<Vec<String>>,
}

impl Scene {
    /// Fails if what is kept at the start is more than can be kept.
    pub fn new(recorded: Recordings) -> Result<Self, KvError> {
        let clock: Arc<dyn Clock> = match recorded.clock {
            Some(time) => Arc::new(Fixed(time)),
            None => Arc::new(SystemClock),
        };
        let kept = Database::with_clock(None, clock)?;
        for (key, value) in &recorded.kv {
            kept.set(SPACE, key, &value.octets(), None)?;
        }
        Ok(Self(Arc::new(World {
            recorded,
            kept,
            spent: Mutex::default(),
            unrecorded: Mutex::default(),
        })))
    }

    pub fn services(&self) -> Services {
        let world = &self.0;
        let clock = world.recorded.clock;
        Services {
            kv: Arc::clone(world) as Arc<dyn Kv>,
            dns: Some(Arc::clone(world) as Arc<dyn Dns>),
            http: Some(Arc::clone(world) as Arc<dyn Http>),
            clock: clock.map(|time| Arc::new(Fixed(time)) as Arc<dyn Clock>),
            ..Services::default()
        }
    }

    /// What the plugin keeps now.
    pub fn kept(&self) -> BTreeMap<String, Vec<u8>> {
        let mut all = BTreeMap::new();
        loop {
            let last = all.keys().next_back().cloned();
            let after = last.as_deref();
            match self.0.kept.scan(SPACE, "", after, MAX_SCAN) {
                Ok(more) if !more.is_empty() => all.extend(more),
                _ => return all,
            }
        }
    }

    /// Calls that had no recording, each with what to add to the case.
    pub fn unrecorded(&self) -> Vec<String> {
        lock(&self.0.unrecorded).clone()
    }

    /// Whether this refusal by the host is a fault of the case, or a call that [`Scene::unrecorded`] has.
    pub fn foresaw(&self, refusal: &str) -> bool {
        [NOT_RECORDED, NO_ANSWER, SERVFAIL, FULL, DISK]
            .iter()
            .any(|text| refusal.ends_with(text))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl World {
    fn lacks(&self, what: String) {
        let mut unrecorded = lock(&self.unrecorded);
        if !unrecorded.contains(&what) {
            unrecorded.push(what);
        }
    }

    /// The first entry that fits and has not answered; when all of these have, the last of them again.
    fn http(&self, request: &str, body: &str) -> Option<&RecordedHttp> {
        let entries = self.recorded.http.iter().enumerate();
        let fits: Vec<_> = entries
            .filter(|(_, entry)| entry.is_for(request, body))
            .collect();
        let mut spent = lock(&self.spent);
        let fresh = fits.iter().find(|(n, _)| !spent.contains(n));
        let (n, entry) = fresh.or(fits.last())?;
        spent.push(*n);
        Some(entry)
    }

    fn room(&self) -> Result<(), KvError> {
        match self.recorded.faults.kv {
            Some(KvFault::Full) => Err(KvError::TooMuch(FULL.to_owned())),
            _ => self.disk(),
        }
    }

    fn disk(&self) -> Result<(), KvError> {
        match self.recorded.faults.kv {
            Some(KvFault::Failed) => Err(KvError::Failed(DISK.to_owned())),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Dns for World {
    async fn lookup(&self, name: &str, kind: Kind) -> Result<Vec<String>, String> {
        let faults = self.recorded.faults.dns.as_ref();
        if let Some(fault) = faults.and_then(|faults| faults.find(name)) {
            let text = match fault {
                DnsFault::Timeout => NO_ANSWER,
                DnsFault::Servfail => SERVFAIL,
            };
            return Err(text.to_owned());
        }
        self.recorded.dns.find(name, kind).ok_or_else(|| {
            let kind = kind.name();
            self.lacks(format!(
                "DNS {kind} {name}: under [dns.{kind}] add  \"{name}\" = [\"…\"]  or [] for none"
            ));
            NOT_RECORDED.to_owned()
        })
    }
}

#[async_trait]
impl Http for World {
    async fn send(
        &self,
        request: Request<HttpBody>,
        _: bool,
    ) -> Result<Response<HttpBody>, HttpError> {
        let fail = |fault| match fault {
            HttpFault::Timeout => HttpError::HttpResponseTimeout,
            HttpFault::Refused => HttpError::ConnectionRefused,
        };
        if let Some(fault) = self.recorded.faults.http {
            return Err(fail(fault));
        }
        let asked = format!("{} {}", request.method(), request.uri());
        let body = request.into_body().collect().await?.to_bytes();
        let Some(entry) = self.http(&asked, &String::from_utf8_lossy(&body)) else {
            self.lacks(format!(
                "HTTP {asked}: add  [[http]]  with  request = \"{asked}\"  and status, headers, body of the answer"
            ));
            return Err(HttpError::DestinationUnavailable);
        };
        if let Some(fault) = entry.fault {
            return Err(fail(fault));
        }
        let mut answer = Response::builder().status(entry.status);
        for (name, values) in &entry.headers {
            for value in values.all() {
                answer = answer.header(name, value);
            }
        }
        let body = Full::new(Bytes::from(entry.body.clone()));
        let body = body.map_err(|error| match error {}).boxed_unsync();
        // What a case says has been checked.
        answer.body(body).map_err(|_| HttpError::HttpProtocolError)
    }
}

impl Kv for World {
    fn get(&self, _: &str, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        self.disk()?;
        self.kept.get(SPACE, key)
    }

    fn set(&self, _: &str, key: &str, value: &[u8], ttl: Option<Duration>) -> Result<(), KvError> {
        self.room()?;
        self.kept.set(SPACE, key, value, ttl)
    }

    fn delete(&self, _: &str, key: &str) -> Result<bool, KvError> {
        self.disk()?;
        self.kept.delete(SPACE, key)
    }

    fn increment(
        &self,
        _: &str,
        key: &str,
        by: i64,
        ttl: Option<Duration>,
    ) -> Result<i64, KvError> {
        self.room()?;
        self.kept.increment(SPACE, key, by, ttl)
    }

    fn compare_and_set(
        &self,
        _: &str,
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
        ttl: Option<Duration>,
    ) -> Result<bool, KvError> {
        self.room()?;
        self.kept.compare_and_set(SPACE, key, expected, value, ttl)
    }

    fn scan(
        &self,
        _: &str,
        prefix: &str,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, KvError> {
        self.disk()?;
        self.kept.scan(SPACE, prefix, after, most)
    }
}
