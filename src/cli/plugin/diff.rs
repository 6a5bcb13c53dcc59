//! `wasmilter plugin diff`: where a shadow or canary and the active version of a plugin disagree, by the journals.

use super::super::ConfigFile;
use crate::app;
use crate::cli::explain::time;
use crate::mail::{Clock, SystemClock, TransactionId};
use crate::plugin::Diff as Found;
use anyhow::{Context, bail};
use clap::Args;
use jiff::SignedDuration;
use std::fmt::Write as _;
use std::process::ExitCode;

/// Journals in memory at a time.
const AT_A_TIME: u32 = 200;

#[derive(Debug, Args)]
pub struct Diff {
    name: String,
    /// How far back: 90s, 30m, 12h, 7d
    #[arg(long, default_value = "7d", value_parser = age)]
    since: SignedDuration,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: ConfigFile,
}

fn age(text: &str) -> Result<SignedDuration, String> {
    let wrong = || format!("{text:?} is not an age: write 90s, 30m, 12h or 7d");
    let (number, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or_else(wrong)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    let number: u32 = number.parse().map_err(|_| wrong())?;
    Ok(SignedDuration::from_secs(i64::from(number) * unit))
}

impl Diff {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.file.load()?;
        let store = app::open_store(&config)?;
        let begin = SystemClock.now().checked_sub(self.since);
        let begin = begin.context("--since is too long ago")?.as_millisecond();
        let first = TransactionId::new(u64::try_from(begin).unwrap_or_default(), 0);
        let mut last = first.as_str().to_owned();
        let mut diff = Found::default();
        loop {
            let journals = store.journals_after(&last, AT_A_TIME).await?;
            let Some(end) = journals.last() else {
                break;
            };
            last = end.id.as_str().to_owned();
            for journal in &journals {
                diff.add(&self.name, journal);
            }
        }
        let diff = diff.end();
        if self.json {
            println!("{}", serde_json::to_string_pretty(&diff)?);
        } else if diff.transactions == 0 {
            bail!(
                "no journal of that time has a turn of a plugin {}",
                self.name
            );
        } else {
            print!("{}", text(&diff));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn text(diff: &Found) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{} transactions", diff.transactions);
    for side in &diff.versions {
        let mode = match side.mode {
            crate::mail::Mode::Active => "active",
            crate::mail::Mode::Shadow => "shadow",
            crate::mail::Mode::Canary => "canary",
        };
        let counts = |counts: &std::collections::BTreeMap<String, u64>| {
            let each = counts.iter().map(|(name, count)| format!("{name} {count}"));
            each.collect::<Vec<_>>().join(", ")
        };
        let _ = writeln!(
            out,
            "{mode} {}: {} calls, {} failed, half of them within {}, 99 % within {}",
            side.version,
            side.calls,
            side.failures,
            time(side.median),
            time(side.p99)
        );
        let _ = writeln!(out, "    verdicts: {}", counts(&side.verdicts));
        if !side.symbols.is_empty() {
            let _ = writeln!(out, "    symbols: {}", counts(&side.symbols));
        }
    }
    if diff.compared > 0 {
        let _ = writeln!(
            out,
            "{} calls compared, {} the same",
            diff.compared, diff.same
        );
    }
    for change in &diff.changes {
        let _ = writeln!(
            out,
            "{:>7}  {}: {} -> {}  (such as {})",
            change.count,
            change.what,
            change.active,
            change.shadow,
            change.samples.join(" ")
        );
    }
    out
}
