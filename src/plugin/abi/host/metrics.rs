//! `metrics`: what the plugin counts, for the server's `/metrics`.

use crate::metrics::{Named, NamedError};
use crate::plugin::abi::generated::metrics::Host;
use crate::plugin::abi::generated::types::Refusal;
use crate::plugin::calls::Service;
use crate::plugin::state::{Refused, State, nothing_yet};

impl From<NamedError> for Refused {
    fn from(error: NamedError) -> Self {
        match error {
            NamedError::TooMuch(text) => Self::TooMuch(text),
            NamedError::BadValue(text) => Self::BadValue(text),
        }
    }
}

impl State {
    fn measure(
        &mut self,
        what: &'static str,
        name: &str,
        value: String,
        call: impl FnOnce(&Named, &str) -> Result<(), NamedError>,
    ) -> Result<(), Refusal> {
        self.count();
        let result = if self.view().is_none() {
            Err(nothing_yet())
        } else if let Err(refused) = self.calls().spend(Service::Metrics) {
            Err(refused)
        } else {
            let started = self.calls().begin(what, name);
            let profile = self.profile();
            let result = call(profile.services.metrics.named(), &profile.name);
            self.calls().end(started, || match &result {
                Ok(()) => value,
                Err(error) => error.to_string(),
            });
            result.map_err(Refused::from)
        };
        self.answer(what, result)
    }
}

impl Host for State {
    fn count(
        &mut self,
        name: String,
        by: u64,
        labels: Vec<(String, String)>,
    ) -> Result<(), Refusal> {
        self.measure("metrics.count", &name, by.to_string(), |named, plugin| {
            named.count(plugin, &name, by, labels)
        })
    }

    fn observe(
        &mut self,
        name: String,
        value: f64,
        labels: Vec<(String, String)>,
    ) -> Result<(), Refusal> {
        self.measure(
            "metrics.observe",
            &name,
            value.to_string(),
            |named, plugin| named.observe(plugin, &name, value, labels),
        )
    }
}
