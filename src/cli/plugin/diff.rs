//! `wasmilter plugin diff`: where a shadow or canary and the active version of a plugin disagree, by the journals.

use super::super::ConfigFile;
use super::since;
use crate::app;
use crate::cli::explain::time;
use crate::cli::terminal;
use crate::plugin::Diff as Found;
use anyhow::bail;
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
    #[arg(long, default_value = "7d", value_parser = since::age)]
    since: SignedDuration,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: ConfigFile,
}

impl Diff {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.file.load()?;
        let store = app::existing_store(&config)?;
        let mut last = since::first(since::time(self.since)?).as_str().to_owned();
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
            terminal::print_json(&diff)?;
        } else if diff.transactions == 0 {
            bail!(
                "no journal of that time has a turn of a plugin {}",
                self.name
            );
        } else {
            say!("{}", text(&diff));
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
