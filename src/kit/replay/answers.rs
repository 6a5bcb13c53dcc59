//! What services answered in a transaction that is over, as far as its journal has it. What it has not is failed, and noted.

use crate::dns::Kind;
use crate::kit::recordings::is_same;
use crate::kv::{Database, Kv, KvError};
use crate::mail::{HostCall, Journal};
use crate::plugin::{Dns, Http, HttpBody, HttpError, Services};
use async_trait::async_trait;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// One plugin is all there is.
const SPACE: &str = "plugin";
const LACKING: &str = "the journal does not have the answer";

pub struct Answers(Arc<Journalled>);

struct Journalled {
    /// Of all filters: what the DNS said to one it said to all.
    dns: Vec<HostCall>,
    /// Of the plugin, in their order.
    own: Mutex<VecDeque<HostCall>>,
    /// What the version that is tried has written.
    written: Database,
    lacked: AtomicBool,
}

impl Answers {
    pub fn new(plugin: &str, journal: &Journal) -> Self {
        let calls = |own: bool| {
            journal
                .counted()
                .filter(move |turn| !own || turn.filter == plugin)
                .flat_map(|turn| turn.calls.iter().cloned())
        };
        Self(Arc::new(Journalled {
            dns: calls(false)
                .filter(|call| call.what.starts_with("dns."))
                .collect(),
            own: Mutex::new(calls(true).collect()),
            written: Database::in_memory(),
            lacked: AtomicBool::new(false),
        }))
    }

    pub fn services(&self) -> Services {
        Services {
            kv: Arc::clone(&self.0) as Arc<dyn Kv>,
            dns: Some(Arc::clone(&self.0) as Arc<dyn Dns>),
            http: Some(Arc::clone(&self.0) as Arc<dyn Http>),
            ..Services::default()
        }
    }

    /// Whether something was asked that the journal has no answer to.
    pub fn lacked(&self) -> bool {
        self.0.lacked.load(Relaxed)
    }
}

impl Journalled {
    fn lacks(&self) {
        self.lacked.store(true, Relaxed);
    }

    /// The next answer to such a call; those before it are not given again.
    fn take(&self, what: &str, argument: &str) -> Option<String> {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let at = own
            .iter()
            .position(|call| call.what == what && call.argument == argument)?;
        own.remove(at).map(|call| call.result)
    }

    fn has_written(&self, key: &str) -> Result<bool, KvError> {
        Ok(self.written.get(SPACE, key)?.is_some())
    }
}

/// The records that the journal shows; none if they cannot be told from it.
fn records(kind: Kind, result: &str) -> Option<Result<Vec<String>, String>> {
    if let Some(failure) = result.strip_prefix("failed: ") {
        return Some(Err(failure.to_owned()));
    }
    if result == "none" {
        return Some(Ok(Vec::new()));
    }
    // Cut short, broken off, or text in which a comma may be anything.
    if result.ends_with('…') || result == "no answer" || kind == Kind::Txt && result.contains(", ")
    {
        return None;
    }
    Some(Ok(result.split(", ").map(str::to_owned).collect()))
}

#[async_trait]
impl Dns for Journalled {
    async fn lookup(&self, name: &str, kind: Kind) -> Result<Vec<String>, String> {
        let is_it = |call: &&HostCall| {
            call.argument
                .split_once(' ')
                .is_some_and(|(of, known)| of == kind.name() && is_same(known, name))
        };
        let found = self.dns.iter().find(is_it);
        let known = found.and_then(|call| records(kind, &call.result));
        known.unwrap_or_else(|| {
            self.lacks();
            Err(LACKING.to_owned())
        })
    }
}

#[async_trait]
impl Http for Journalled {
    async fn send(
        &self,
        request: Request<HttpBody>,
        _: bool,
    ) -> Result<Response<HttpBody>, HttpError> {
        let asked = format!("{} {}", request.method(), request.uri());
        let result = self.take("http", &asked).unwrap_or_default();
        if result.starts_with("failed: ") {
            return Err(HttpError::DestinationUnavailable);
        }
        // A journal has no bodies: only what never has one can be given again (RFC 9110 §6.4.1).
        let status = result.split(' ').next().unwrap_or_default();
        if let "204" | "304" = status {
            let body = Empty::new().map_err(|error| match error {});
            let answer = Response::builder().status(status);
            return answer
                .body(body.boxed_unsync())
                .map_err(|_| HttpError::HttpProtocolError);
        }
        self.lacks();
        Err(HttpError::DestinationUnavailable)
    }
}

/// A value as the journal shows it: `"text"` as Rust writes it; none for a longer one, of which it has the size.
fn value(shown: &str) -> Option<Option<Vec<u8>>> {
    if shown == "none" {
        return Some(None);
    }
    // JSON escapes what can be in there in the same way, but for these.
    let plain = !shown.contains("\\u{") && !shown.contains("\\'") && !shown.contains("\\0");
    let text = plain.then(|| serde_json::from_str::<String>(shown).ok())??;
    Some(Some(text.into_bytes()))
}

impl Kv for Journalled {
    fn get(&self, _: &str, key: &str) -> Result<Option<Vec<u8>>, KvError> {
        if self.has_written(key)? {
            return self.written.get(SPACE, key);
        }
        match self.take("kv.get", key).and_then(|shown| value(&shown)) {
            Some(known) => {
                // It is there for a second look, too.
                if let Some(value) = &known {
                    self.written.set(SPACE, key, value, None)?;
                }
                Ok(known)
            }
            None => {
                self.lacks();
                Ok(None)
            }
        }
    }

    fn set(&self, _: &str, key: &str, value: &[u8], ttl: Option<Duration>) -> Result<(), KvError> {
        self.written.set(SPACE, key, value, ttl)
    }

    fn delete(&self, _: &str, key: &str) -> Result<bool, KvError> {
        let was = self.written.delete(SPACE, key)?;
        match self.take("kv.delete", key) {
            Some(known) => Ok(known == "true"),
            None if was => Ok(true),
            None => {
                self.lacks();
                Ok(false)
            }
        }
    }

    fn increment(
        &self,
        _: &str,
        key: &str,
        by: i64,
        ttl: Option<Duration>,
    ) -> Result<i64, KvError> {
        if let Some(now) = self.take("kv.increment", key).and_then(|n| n.parse().ok()) {
            let text = i64::to_string(&now);
            self.written.set(SPACE, key, text.as_bytes(), ttl)?;
            return Ok(now);
        }
        if !self.has_written(key)? {
            self.lacks();
        }
        self.written.increment(SPACE, key, by, ttl)
    }

    fn compare_and_set(
        &self,
        _: &str,
        key: &str,
        expected: Option<&[u8]>,
        value: &[u8],
        ttl: Option<Duration>,
    ) -> Result<bool, KvError> {
        match self.take("kv.compare-and-set", key) {
            Some(known) if known == "true" => {
                self.written.set(SPACE, key, value, ttl)?;
                Ok(true)
            }
            Some(known) if known == "false" => Ok(false),
            _ => {
                if !self.has_written(key)? {
                    self.lacks();
                }
                let written = &self.written;
                written.compare_and_set(SPACE, key, expected, value, ttl)
            }
        }
    }

    fn scan(
        &self,
        _: &str,
        prefix: &str,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<(String, Vec<u8>)>, KvError> {
        // The journal has how many there were.
        if self.take("kv.scan", prefix).as_deref() != Some("0 keys") {
            self.lacks();
        }
        self.written.scan(SPACE, prefix, after, most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_journal_shows_is_read_back() {
        let text = |text: &str| Some(Some(text.as_bytes().to_vec()));
        for (shown, expected) in [
            ("none", Some(None)),
            ("\"3\"", text("3")),
            (r#""a \"b\"\n""#, text("a \"b\"\n")),
            (r#""it\'s""#, None),
            (r#""\u{7f}""#, None),
            ("70000 octets", None),
            ("the disk failed", None),
        ] {
            assert_eq!(value(shown), expected, "{shown}");
        }
        let all = |records: &[&str]| Some(Ok(records.iter().map(|r| (*r).to_owned()).collect()));
        for (kind, result, expected) in [
            (
                Kind::A,
                "192.0.2.1, 192.0.2.2",
                all(&["192.0.2.1", "192.0.2.2"]),
            ),
            (Kind::Txt, "v=spf1 -all", all(&["v=spf1 -all"])),
            (Kind::Txt, "a, b", None),
            (Kind::A, "none", all(&[])),
            (Kind::A, "192.0.2.1, 192.0.…", None),
            (Kind::A, "no answer", None),
            (Kind::A, "failed: late", Some(Err("late".to_owned()))),
        ] {
            assert_eq!(records(kind, result), expected, "{result}");
        }
    }
}
