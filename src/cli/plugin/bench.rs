//! `wasmilter plugin bench`: what a plugin costs on one message, in parts.

use crate::cli::terminal;
use crate::kit::{self, Cost};
use crate::plugin::{self, HostTime, Input, Loaded, load_bytes, load_path};
use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Not counted: caches fill and memory is touched for the first time.
const WARM_UP: u32 = 20;
/// Of the pool of each of the two plugins; one at a time is at work.
const INSTANCES: u32 = 64;

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

/// All rounds of one plugin.
#[derive(Default)]
struct Costs(Vec<Cost>);

impl Bench {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let message = kit::read_message(&self.message)
            .with_context(|| format!("reading {}", self.message.display()))?;
        let octets = message.len();
        let input = Input::from_message(message)?;
        let host_time = HostTime::default();
        let config = plugin::Config {
            host_time: Some(host_time.clone()),
            instances: INSTANCES,
            ..plugin::Config::new(".")
        };
        let plugin = load_path(&config, &self.plugin).await?;
        let nothing = kit::empty(plugin.filter.info().hooks).map_err(|why| anyhow!(why))?;
        let nothing = load_bytes(&config, "empty", nothing).await?;
        let (mut costs, mut empty) = (Costs::default(), Costs::default());
        // Turn by turn, so that what else the machine does meets both.
        for round in 0..WARM_UP.saturating_add(self.times) {
            let pair = (cost(&plugin, &input).await?, cost(&nothing, &input).await?);
            if round >= WARM_UP {
                costs.0.push(pair.0);
                empty.0.push(pair.1);
            }
        }
        // In rounds of their own: looking at the clock at each call makes them dearer.
        let mut host = Vec::new();
        for _ in 0..self.times.div_ceil(4) {
            host_time.begin();
            cost(&plugin, &input).await?;
            host.push(host_time.end());
        }
        let parts = costs.parts(host);
        let baseline = empty.parts(Vec::new());
        let of_empty = |part: &Part| {
            let same = baseline.iter().find(|other| other.name == part.name);
            same.map(|other| other.at(50))
        };
        let host_calls = costs.0.first().map_or(0, |cost| cost.host_calls);
        if self.json {
            let each = parts.iter().map(|part| {
                let mut figures = json!({
                    "median-ns": nanoseconds(part.at(50)),
                    "p99-ns": nanoseconds(part.at(99)),
                });
                if let (Some(empty), Some(figures)) = (of_empty(part), figures.as_object_mut()) {
                    figures.insert("empty-median-ns".to_owned(), json!(nanoseconds(empty)));
                }
                (part.name.clone(), figures)
            });
            let report = json!({
                "plugin": plugin.plugin.name,
                "version": plugin.plugin.version,
                "times": self.times,
                "message-octets": octets,
                "memory-octets": costs.memory(),
                "empty-memory-octets": empty.memory(),
                "host-calls": host_calls,
                "parts": each.collect::<serde_json::Map<_, _>>(),
            });
            terminal::print_json(&report)?;
            return Ok(ExitCode::SUCCESS);
        }
        sayln!(
            "{} {}, {} times on a message of {octets} octets, in turn with a plugin that does nothing at the same hooks",
            plugin.plugin.name,
            plugin.plugin.version.unwrap_or_default(),
            self.times
        );
        sayln!(
            "{:12} {:>10} {:>10} {:>10} {:>8}",
            "",
            "median",
            "99 %",
            "nothing",
            "ratio"
        );
        for part in &parts {
            say!(
                "{:12} {:>10} {:>10}",
                part.name,
                micros(part.at(50)),
                micros(part.at(99))
            );
            match of_empty(part) {
                Some(empty) => sayln!(
                    " {:>10} {:>8.2}",
                    micros(empty),
                    part.at(50).as_secs_f64() / empty.as_secs_f64().max(1e-9)
                ),
                None => sayln!(),
            }
        }
        sayln!(
            "{} KiB of memory ({} KiB of the one that does nothing), {host_calls} host calls",
            costs.memory().div_ceil(1024),
            empty.memory().div_ceil(1024)
        );
        Ok(ExitCode::SUCCESS)
    }
}

async fn cost(plugin: &Loaded, input: &Input) -> anyhow::Result<Cost> {
    let cost = kit::measure(plugin, input.clone()).await?;
    cost.map_err(|failure| anyhow!("the plugin fails on it: {failure}"))
}

fn micros(time: Duration) -> String {
    format!("{:.1} µs", time.as_secs_f64() * 1e6)
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

impl Costs {
    /// In the order of a transaction. `host` is what was spent in calls into the host, of all hooks together.
    fn parts(&self, host: Vec<Duration>) -> Vec<Part> {
        let costs = &self.0;
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
        if !host.is_empty() {
            parts.push(Part::new("host calls", host.into_iter()));
        }
        parts
    }

    /// The most, in octets.
    fn memory(&self) -> u64 {
        let memory = self.0.iter().map(|cost| cost.memory);
        memory.max().unwrap_or_default()
    }
}
