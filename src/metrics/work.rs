//! What is counted of the work behind the wire: authentication, the chain, commits of the store, certificates.
//! Knows none of these.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::time::Duration;

type Label = (&'static str, &'static str);

/// Seconds, from what a chain of small filters takes to what a hanging DNS makes of it.
const CHAIN: [f64; 13] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 5.0, 30.0,
];
/// Seconds, from a solid-state disk that does not wait to a disk that is worn out.
const COMMIT: [f64; 11] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0,
];
/// Methods and results of sender authentication (RFC 8601 §2.7).
const WORDS: [&str; 16] = [
    "iprev",
    "spf",
    "dkim",
    "arc",
    "dmarc",
    "auth",
    "none",
    "pass",
    "fail",
    "softfail",
    "neutral",
    "policy",
    "temperror",
    "permerror",
    "hardfail",
    "skipped",
];
/// Changes in one commit.
const BATCH: [f64; 11] = [
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1000.0,
];

#[derive(Clone)]
pub(super) struct Work {
    authentication: Family<[Label; 2], Counter>,
    pub chain: Chain,
    pub commits: Commits,
    expiry: Family<[(&'static str, String); 1], Gauge>,
    orders: Family<[Label; 1], Counter>,
}

impl Work {
    pub fn register(registry: &mut Registry) -> Self {
        let work = Self {
            authentication: Family::default(),
            chain: Chain::default(),
            commits: Commits::default(),
            expiry: Family::default(),
            orders: Family::default(),
        };
        let help = "Results of sender authentication";
        registry.register("authentication_results", help, work.authentication.clone());
        let help = "How long authentication, filters and policy took for one message";
        registry.register("chain_seconds", help, work.chain.0.clone());
        let help = "How long a commit of the store took, its sync included";
        registry.register("store_commit_seconds", help, work.commits.seconds.clone());
        let help = "Changes that were in one commit of the store";
        registry.register("store_commit_changes", help, work.commits.changes.clone());
        let help = "Commits of the store that were rolled back as a whole";
        registry.register(
            "store_commits_given_up",
            help,
            work.commits.given_up.clone(),
        );
        let help = "When the certificate for that name expires, in seconds since 1970";
        registry.register("certificate_expiry", help, work.expiry.clone());
        let help = "Orders of certificates by ACME, by their end";
        registry.register("acme_orders", help, work.orders.clone());
        work
    }

    pub fn authentication(&self) -> Authentication {
        Authentication(self.authentication.clone())
    }

    pub fn certificates(&self) -> Certificates {
        let orders = |result| self.orders.get_or_create_owned(&[("result", result)]);
        Certificates {
            expiry: self.expiry.clone(),
            ordered: orders("ok"),
            failed: orders("failed"),
        }
    }
}

/// Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Authentication(Family<[Label; 2], Counter>);

impl Authentication {
    /// Both are words of RFC 8601, so there are few.
    pub fn result(&self, method: &str, result: &str) {
        let known = |word| WORDS.iter().copied().find(|known| *known == word);
        let labels = [
            ("method", known(method).unwrap_or("other")),
            ("result", known(result).unwrap_or("other")),
        ];
        self.0.get_or_create(&labels).inc();
    }
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Chain(Histogram);

impl Default for Chain {
    fn default() -> Self {
        Self(Histogram::new(CHAIN))
    }
}

impl Chain {
    pub fn took(&self, time: Duration) {
        self.0.observe(time.as_secs_f64());
    }
}

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Commits {
    seconds: Histogram,
    changes: Histogram,
    given_up: Counter,
}

impl Default for Commits {
    fn default() -> Self {
        Self {
            seconds: Histogram::new(COMMIT),
            changes: Histogram::new(BATCH),
            given_up: Counter::default(),
        }
    }
}

impl Commits {
    pub fn done(&self, changes: usize, time: Duration) {
        self.seconds.observe(time.as_secs_f64());
        // No group is larger than a thousand.
        let changes = u32::try_from(changes).unwrap_or(u32::MAX);
        self.changes.observe(changes.into());
    }

    /// Nothing that was in one has happened; what shared it with others is tried alone.
    pub fn given_up(&self) {
        self.given_up.inc();
    }
}

/// Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Certificates {
    expiry: Family<[(&'static str, String); 1], Gauge>,
    ordered: Counter,
    failed: Counter,
}

impl Certificates {
    /// Those that there are now: a name, and when its certificate expires, in seconds since 1970.
    pub fn now(&self, all: impl IntoIterator<Item = (String, i64)>) {
        self.expiry.clear();
        for (name, expires) in all {
            self.expiry.get_or_create(&[("name", name)]).set(expires);
        }
    }

    pub fn ordered(&self, is_there: bool) {
        match is_there {
            true => self.ordered.inc(),
            false => self.failed.inc(),
        };
    }
}
