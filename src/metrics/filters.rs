//! What is counted of filters: calls, how long they took, how they failed, what they did. One meter a filter, made when it is loaded,
//! so that a call costs no search for its labels.

use super::versions::Versions;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub(super) type Label = (&'static str, Arc<str>);
type Histograms = Family<[Label; 2], Histogram, fn() -> Histogram>;

/// Seconds: from an empty filter's 10 µs to the longest wall clock that makes sense.
const SECONDS: [f64; 14] = [
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.001, 0.002_5, 0.01, 0.025, 0.1, 0.25, 1.0,
    5.0, 30.0,
];

#[derive(Clone)]
pub struct Filters {
    calls: Family<[Label; 3], Counter>,
    seconds: Histograms,
    failures: Family<[Label; 2], Counter>,
    edits: Family<[Label; 1], Counter>,
    symbols: Family<[Label; 1], Counter>,
    refused: Family<[Label; 1], Counter>,
    generation: Gauge,
    versions: Versions,
}

impl Filters {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let new = || Histogram::new(SECONDS);
        let filters = Self {
            calls: Family::default(),
            seconds: Family::new_with_constructor(new),
            failures: Family::default(),
            edits: Family::default(),
            symbols: Family::default(),
            refused: Family::default(),
            generation: Gauge::default(),
            versions: Versions::register(registry),
        };
        registry.register(
            "filter_calls",
            "Calls of a filter's hook by what it answered, failed if it did not",
            filters.calls.clone(),
        );
        registry.register(
            "filter_seconds",
            "How long a call of a filter's hook took, waiting included",
            filters.seconds.clone(),
        );
        registry.register(
            "filter_failures",
            "Calls that ended in no answer, by kind",
            filters.failures.clone(),
        );
        registry.register(
            "filter_edits",
            "Edits that a filter asked for",
            filters.edits.clone(),
        );
        registry.register(
            "filter_symbols",
            "Symbols that a filter gave",
            filters.symbols.clone(),
        );
        registry.register(
            "filter_refused",
            "Calls of a filter that the host refused",
            filters.refused.clone(),
        );
        registry.register(
            "generation",
            "The generation of plugins in force",
            filters.generation.clone(),
        );
        filters
    }

    pub fn generation(&self, number: u64) {
        self.generation
            .set(i64::try_from(number).unwrap_or(i64::MAX));
    }

    /// What is counted of versions that come and go.
    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    pub fn meter(&self, filter: &str) -> Meter {
        let filter: Arc<str> = filter.into();
        let own = [("filter", Arc::clone(&filter))];
        Meter {
            edits: self.edits.get_or_create_owned(&own),
            symbols: self.symbols.get_or_create_owned(&own),
            refused: self.refused.get_or_create_owned(&own),
            filters: self.clone(),
            filter,
            known: Mutex::default(),
        }
    }
}

/// What came of one call.
#[derive(Debug, Clone)]
pub struct Call {
    pub hook: &'static str,
    /// The verdict's name; or `failed`.
    pub result: &'static str,
    /// How it failed.
    pub failure: Option<String>,
    pub elapsed: Duration,
    pub edits: usize,
    pub symbols: usize,
    pub refused: usize,
}

/// A hook and how its call ended.
type HookResult = (&'static str, &'static str);

/// Counts for one filter.
pub struct Meter {
    filters: Filters,
    filter: Arc<str>,
    edits: Counter,
    symbols: Counter,
    refused: Counter,
    /// By hook and result: a handful.
    known: Mutex<HashMap<HookResult, (Counter, Histogram)>>,
}

impl Meter {
    pub fn count(&self, call: &Call) {
        let (calls, seconds) = self.of(call.hook, call.result);
        calls.inc();
        seconds.observe(call.elapsed.as_secs_f64());
        for (counter, by) in [
            (&self.edits, call.edits),
            (&self.symbols, call.symbols),
            (&self.refused, call.refused),
        ] {
            counter.inc_by(by as u64);
        }
        if let Some(kind) = call.failure.as_deref() {
            let labels = [("filter", Arc::clone(&self.filter)), ("kind", kind.into())];
            self.filters.failures.get_or_create(&labels).inc();
        }
    }

    fn of(&self, hook: &'static str, result: &'static str) -> (Counter, Histogram) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let make = || {
            let filter = ("filter", Arc::clone(&self.filter));
            let hook = ("hook", Arc::from(hook));
            let seconds = self
                .filters
                .seconds
                .get_or_create_owned(&[filter.clone(), hook.clone()]);
            let calls = [filter, hook, ("result", result.into())];
            (self.filters.calls.get_or_create_owned(&calls), seconds)
        };
        known.entry((hook, result)).or_insert_with(make).clone()
    }
}
