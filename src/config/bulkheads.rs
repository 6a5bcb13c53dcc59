//! `[plugins.breaker]`, `[plugins.probation]` and a plugin's share of the instances: from raw values to those of the plugin host.

use super::{ConfigError, Source, raw};
use crate::plugin::{BreakerConfig, Limits, ProbationConfig};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;
use toml::Spanned;

/// Of the pool, which has 1000.
const MOST_INSTANCES: u32 = 1000;
const DAY: u64 = 24 * 60 * 60;

pub(super) fn within<T: PartialOrd + Copy + Display>(
    source: &Source,
    value: Option<&Spanned<T>>,
    default: T,
    range: RangeInclusive<T>,
) -> Result<T, ConfigError> {
    match value {
        None => Ok(default),
        Some(value) if range.contains(value.get_ref()) => Ok(*value.get_ref()),
        Some(value) => Err(source.error(
            value.span(),
            format!("{} is out of range", value.get_ref()),
            format!("from {} to {}", range.start(), range.end()),
        )),
    }
}

pub fn concurrency(source: &Source, value: Option<&Spanned<u32>>) -> Result<u32, ConfigError> {
    let default = Limits::default().concurrency;
    within(source, value, default, 1..=MOST_INSTANCES)
}

pub fn breaker(source: &Source, raw: &raw::Breaker) -> Result<BreakerConfig, ConfigError> {
    let default = BreakerConfig::default();
    let seconds = |value: &Option<Spanned<u64>>, default: Duration| {
        within(source, value.as_ref(), default.as_secs(), 1..=DAY).map(Duration::from_secs)
    };
    Ok(BreakerConfig {
        failures: raw.failures.unwrap_or(default.failures),
        share: within(source, raw.share.as_ref(), default.share, 0.0..=1.0)?,
        window: seconds(&raw.window_s, default.window)?,
        pause: within(source, raw.pause_ms.as_ref(), 1000, 1..=DAY * 1000)
            .map(Duration::from_millis)?,
        longest_pause: seconds(&raw.longest_pause_s, default.longest_pause)?,
    })
}

pub fn probation(source: &Source, raw: &raw::Probation) -> Result<ProbationConfig, ConfigError> {
    let default = ProbationConfig::default();
    let share =
        |value: &Option<Spanned<f64>>, default| within(source, value.as_ref(), default, 0.0..=1.0);
    let time = within(
        source,
        raw.time_s.as_ref(),
        default.time.as_secs(),
        0..=30 * DAY,
    )?;
    Ok(ProbationConfig {
        calls: raw.calls.unwrap_or(default.calls),
        time: Duration::from_secs(time),
        error_rate: share(&raw.error_rate, default.error_rate)?,
        latency_factor: within(
            source,
            raw.latency_factor.as_ref(),
            default.latency_factor,
            0.0..=1e6,
        )?,
        verdict_change: share(&raw.verdict_change, default.verdict_change)?,
    })
}
