//! What is counted of the versions of plugins: how they come into force, how their breakers stand, what their probation and their shadows
//! show. Knows nothing of single calls: those are `filters`'.

use super::filters::Label;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::sync::Arc;

/// Cheap to clone; clones are the same.
#[derive(Clone, Default)]
pub struct Versions {
    breaker: Family<[Label; 2], Gauge>,
    openings: Family<[Label; 2], Counter>,
    probation: Family<[Label; 2], Gauge>,
    rollbacks: Family<[Label; 2], Counter>,
    shadow: Family<[Label; 2], Counter>,
    reloads: Family<[Label; 1], Counter>,
    refused: Family<[Label; 1], Counter>,
    kept_out: Gauge,
}

impl Versions {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let all = Self::default();
        registry.register(
            "filter_breaker",
            "The circuit breaker of a filter: 0 closed, 1 half-open, 2 open",
            all.breaker.clone(),
        );
        registry.register(
            "filter_breaker_openings",
            "How often a filter's breaker opened",
            all.openings.clone(),
        );
        registry.register(
            "filter_on_probation",
            "1 while a new version of a filter is on probation",
            all.probation.clone(),
        );
        registry.register(
            "filter_rollbacks",
            "Returns of a filter's former version, by cause: probation or command",
            all.rollbacks.clone(),
        );
        registry.register(
            "filter_shadow_calls",
            "Calls that both a filter and its shadow answered, by whether they did the same or different things",
            all.shadow.clone(),
        );
        registry.register(
            "plugin_reloads",
            "Looks at the plugin directory, by result: changed, unchanged or failed",
            all.reloads.clone(),
        );
        registry.register(
            "plugin_refused_loads",
            "Plugins of the directory that could not be loaded",
            all.refused.clone(),
        );
        registry.register(
            "plugins_kept_out",
            "Plugins that are out of force now, or go on in a former version, because what lies in the directory cannot be loaded",
            all.kept_out.clone(),
        );
        all
    }

    /// `result`: `changed`, `unchanged` or `failed`.
    pub fn reloaded(&self, result: &'static str) {
        self.reloads
            .get_or_create(&[("result", result.into())])
            .inc();
    }

    pub fn refused_load(&self, plugin: &str) {
        self.refused
            .get_or_create(&[("plugin", plugin.into())])
            .inc();
    }

    pub fn kept_out(&self, plugins: usize) {
        self.kept_out
            .set(i64::try_from(plugins).unwrap_or(i64::MAX));
    }

    /// `cause`: `probation` or `command`.
    pub fn rolled_back(&self, filter: &str, cause: &'static str) {
        let labels = [("filter", filter.into()), ("cause", cause.into())];
        self.rollbacks.get_or_create(&labels).inc();
    }

    pub fn shadowed(&self, filter: &str, same: bool) {
        let result = if same { "same" } else { "different" };
        let labels = [("filter", filter.into()), ("result", result.into())];
        self.shadow.get_or_create(&labels).inc();
    }

    /// `mode`: how the version takes part. What the version before it left there is as if it had not been.
    pub fn gate(&self, filter: &str, mode: &'static str) -> GateMeter {
        let labels: [Label; 2] = [("filter", Arc::from(filter)), ("mode", mode.into())];
        let meter = GateMeter {
            breaker: self.breaker.get_or_create_owned(&labels),
            openings: self.openings.get_or_create_owned(&labels),
            probation: self.probation.get_or_create_owned(&labels),
        };
        meter.breaker.set(0);
        meter.probation.set(0);
        meter
    }
}

/// For one version.
#[derive(Debug, Clone, Default)]
pub struct GateMeter {
    breaker: Gauge,
    openings: Counter,
    probation: Gauge,
}

impl GateMeter {
    pub fn closed(&self) {
        self.breaker.set(0);
    }

    pub fn half_open(&self) {
        self.breaker.set(1);
    }

    pub fn opened(&self) {
        self.breaker.set(2);
        self.openings.inc();
    }

    pub fn on_probation(&self, is: bool) {
        self.probation.set(i64::from(is));
    }
}
