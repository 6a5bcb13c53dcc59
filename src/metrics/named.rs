//! Counters and histograms under names that plugins choose: bounded, so that no plugin can fill a monitoring system with them.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Names of one plugin.
const MAX_NAMES: usize = 50;
/// Combinations of labels of one plugin; further ones count as `other`.
const MAX_SERIES: usize = 100;
const MAX_NAME: usize = 64;
const MAX_LABELS: usize = 4;
const MAX_LABEL_VALUE: usize = 64;
const OTHER: &str = "other";
/// What a plugin's metrics cannot be called: the server has these itself, and alerts go by them.
const SERVERS: [&str; 2] = ["refused_loads", "reloads"];
/// What a plugin's own labels cannot be called.
const RESERVED: [&str; 2] = ["plugin", "le"];

/// From milliseconds in seconds to octets of a message.
const BUCKETS: [f64; 20] = [
    0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 500.0, 1e3,
    1e4, 1e5, 1e6, 1e7,
];

type Labels = Vec<(String, String)>;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NamedError {
    #[error("{0}")]
    TooMuch(String),
    #[error("{0}")]
    BadValue(String),
}

/// Cheap to clone; clones are the same.
#[derive(Clone, Default)]
pub struct Named(Arc<Mutex<All>>);

#[derive(Default)]
struct All {
    families: BTreeMap<String, Metric>,
    plugins: HashMap<String, Own>,
}

#[derive(Clone)]
enum Metric {
    Counter(Family<Labels, Counter>),
    Histogram(Family<Labels, Histogram, fn() -> Histogram>),
}

/// What one plugin has.
#[derive(Default)]
struct Own {
    /// Its metrics, each with the names of its labels.
    names: HashMap<String, Vec<String>>,
    series: HashSet<(String, Labels)>,
}

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Named")
    }
}

impl Named {
    /// Adds to a counter.
    pub fn count(
        &self,
        plugin: &str,
        name: &str,
        by: u64,
        labels: Labels,
    ) -> Result<(), NamedError> {
        // The format has the counter's name end in `_total`, and adds it.
        let name = name.strip_suffix("_total").unwrap_or(name);
        let new = || Metric::Counter(Family::default());
        let (metric, labels) = self.lock().find(plugin, name, labels, new)?;
        match metric {
            Metric::Counter(family) => {
                family.get_or_create(&labels).inc_by(by);
                Ok(())
            }
            Metric::Histogram(_) => Err(NamedError::BadValue(format!(
                "{name} is a histogram already: give the counter another name"
            ))),
        }
    }

    /// Puts a value into a histogram.
    pub fn observe(
        &self,
        plugin: &str,
        name: &str,
        value: f64,
        labels: Labels,
    ) -> Result<(), NamedError> {
        if !value.is_finite() {
            return Err(NamedError::BadValue(format!("{name}: {value} is no value")));
        }
        let new = || Metric::Histogram(Family::new_with_constructor(|| Histogram::new(BUCKETS)));
        let (metric, labels) = self.lock().find(plugin, name, labels, new)?;
        match metric {
            Metric::Histogram(family) => {
                family.get_or_create(&labels).observe(value);
                Ok(())
            }
            Metric::Counter(_) => Err(NamedError::BadValue(format!(
                "{name} is a counter already: give the histogram another name"
            ))),
        }
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl All {
    /// The metric of that name and the labels to count under.
    fn find(
        &mut self,
        plugin: &str,
        name: &str,
        mut labels: Labels,
        new: impl FnOnce() -> Metric,
    ) -> Result<(Metric, Labels), NamedError> {
        check(name, &labels)?;
        labels.sort();
        let own = self.plugins.entry(plugin.to_owned()).or_default();
        let keys: Vec<_> = labels.iter().map(|(key, _)| key.clone()).collect();
        match own.names.get(name) {
            Some(first) if *first != keys => {
                return Err(NamedError::BadValue(format!(
                    "{name} had the labels [{}] before: they must stay the same",
                    first.join(", ")
                )));
            }
            Some(_) => {}
            None if own.names.len() >= MAX_NAMES => {
                return Err(NamedError::TooMuch(format!(
                    "a plugin may have {MAX_NAMES} metrics"
                )));
            }
            None => drop(own.names.insert(name.to_owned(), keys)),
        }
        let series = (name.to_owned(), labels);
        let mut labels = if own.series.contains(&series) {
            series.1
        } else if own.series.len() < MAX_SERIES {
            own.series.insert(series.clone());
            series.1
        } else {
            let other = |(key, _)| (key, OTHER.to_owned());
            series.1.into_iter().map(other).collect()
        };
        labels.insert(0, ("plugin".to_owned(), plugin.to_owned()));
        let metric = match self.families.get(name) {
            Some(metric) => metric.clone(),
            None => {
                let metric = new();
                self.families.insert(name.to_owned(), metric.clone());
                metric
            }
        };
        Ok((metric, labels))
    }
}

fn check(name: &str, labels: &Labels) -> Result<(), NamedError> {
    let fine = |text: &str| {
        let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        (1..=MAX_NAME).contains(&text.len())
            && text.chars().all(known)
            && !text.starts_with(|c: char| c.is_ascii_digit())
    };
    if !fine(name) {
        return Err(NamedError::BadValue(format!(
            "the metric's name {name:?}: it must be 1 to {MAX_NAME} of a-z, 0-9 and _, no digit first"
        )));
    }
    if SERVERS.contains(&name.strip_suffix("_total").unwrap_or(name)) {
        return Err(NamedError::BadValue(format!(
            "the metric's name {name:?}: the server has one of that name itself"
        )));
    }
    if labels.len() > MAX_LABELS {
        return Err(NamedError::TooMuch(format!(
            "{name}: a metric may have {MAX_LABELS} labels"
        )));
    }
    let mut seen = HashSet::new();
    for (key, value) in labels {
        if !fine(key) || key.starts_with("__") || RESERVED.contains(&key.as_str()) {
            return Err(NamedError::BadValue(format!(
                "{name}: the label's name {key:?}: it must be 1 to {MAX_NAME} of a-z, 0-9 and _, and neither {}",
                RESERVED.join(" nor ")
            )));
        }
        if !seen.insert(key) {
            return Err(NamedError::BadValue(format!("{name}: {key} stands twice")));
        }
        if value.len() > MAX_LABEL_VALUE {
            return Err(NamedError::TooMuch(format!(
                "{name}: the value of {key} has {} octets: the limit is {MAX_LABEL_VALUE}",
                value.len()
            )));
        }
    }
    Ok(())
}

impl Collector for Named {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let families = self.lock().families.clone();
        for (name, metric) in families {
            let name = format!("plugin_{name}");
            let kind = match &metric {
                Metric::Counter(_) => MetricType::Counter,
                Metric::Histogram(_) => MetricType::Histogram,
            };
            let encoder = encoder.encode_descriptor(&name, "Counted by a plugin", None, kind)?;
            match metric {
                Metric::Counter(family) => family.encode(encoder)?,
                Metric::Histogram(family) => family.encode(encoder)?,
            }
        }
        Ok(())
    }
}
