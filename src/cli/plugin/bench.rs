//! `wasmilter plugin bench`: what a plugin costs on one message, in parts.

use crate::cli::explain::time;
use crate::kit::{self, Cost};
use crate::plugin::{self, Input, load_path};
use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Not counted: caches fill and memory is touched for the first time.
const WARM_UP: u32 = 20;

#[derive(Debug, Args)]
pub struct Bench {
    /// The plugin; a plugin.toml beside it counts
    plugin: PathBuf,
    /// The message
    message: PathBuf,
    /// How often
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    times: u32,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// The durations of one part, sorted.
struct Part {
    name: String,
    times: Vec<Duration>,
}

impl Bench {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let message = kit::read_message(&self.message)
            .with_context(|| format!("reading {}", self.message.display()))?;
        let octets = message.len();
        let input = Input::from_message(message)?;
        let plugin = load_path(&plugin::Config::new("."), &self.plugin).await?;
        let mut costs = Vec::new();
        for round in 0..WARM_UP.saturating_add(self.times) {
            let cost = kit::measure(&plugin, input.clone()).await?;
            let cost = cost.map_err(|failure| anyhow!("the plugin fails on it: {failure}"))?;
            if round >= WARM_UP {
                costs.push(cost);
            }
        }
        let parts = parts(&costs);
        let memory = costs.iter().map(|cost| cost.memory).max();
        let memory = memory.unwrap_or_default();
        let host_calls = costs.first().map_or(0, |cost| cost.host_calls);
        if self.json {
            let each = parts.iter().map(|part| {
                let figures = json!({
                    "median-ns": nanoseconds(part.at(50)),
                    "p99-ns": nanoseconds(part.at(99)),
                });
                (part.name.clone(), figures)
            });
            let report = json!({
                "plugin": plugin.plugin.name,
                "version": plugin.plugin.version,
                "times": self.times,
                "message-octets": octets,
                "memory-octets": memory,
                "host-calls": host_calls,
                "parts": each.collect::<serde_json::Map<_, _>>(),
            });
            println!("{}", serde_json::to_string_pretty(&report)?);
            return Ok(ExitCode::SUCCESS);
        }
        println!(
            "{} {}, {} times on a message of {octets} octets",
            plugin.plugin.name,
            plugin.plugin.version.unwrap_or_default(),
            self.times
        );
        println!("{:12} {:>10} {:>10}", "", "median", "99 %");
        for part in &parts {
            println!(
                "{:12} {:>10} {:>10}",
                part.name,
                time(part.at(50)),
                time(part.at(99))
            );
        }
        println!(
            "{} KiB of memory, {host_calls} host calls",
            memory.div_ceil(1024)
        );
        Ok(ExitCode::SUCCESS)
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Part {
    fn new(name: &str, times: impl Iterator<Item = Duration>) -> Self {
        let mut times: Vec<_> = times.collect();
        times.sort();
        Self {
            name: name.to_owned(),
            times,
        }
    }

    /// Within which so many of a hundred were.
    fn at(&self, percent: usize) -> Duration {
        let index = self.times.len().saturating_sub(1) * percent / 100;
        self.times.get(index).copied().unwrap_or_default()
    }
}

/// In the order of a transaction.
fn parts(costs: &[Cost]) -> Vec<Part> {
    let mut parts = vec![Part::new(
        "instantiate",
        costs.iter().map(|cost| cost.instantiate),
    )];
    let hooks = costs.first().into_iter().flat_map(|cost| cost.hooks.keys());
    parts.extend(hooks.map(|hook| {
        let times = costs
            .iter()
            .filter_map(|cost| cost.hooks.get(hook).copied());
        Part::new(hook.name(), times)
    }));
    let together = |cost: &Cost| cost.instantiate + cost.hooks.values().sum::<Duration>();
    parts.push(Part::new("together", costs.iter().map(together)));
    parts
}
