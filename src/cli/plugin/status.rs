//! `wasmilter plugin status`: how the plugins of a running server fare.

use super::super::ConfigFile;
use super::super::control::Server;
use super::describe;
use crate::admin::plugins::Which;
use crate::cli::explain::time;
use crate::cli::terminal;
use crate::plugin::Health;
use clap::Args;
use std::fmt::Write as _;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct Status {
    /// Only this plugin
    name: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: ConfigFile,
}

impl Status {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let server = Server::of(&self.file.load()?)?;
        let which = Which {
            name: self.name,
            version: None,
        };
        let all: Vec<Health> = server.post("/plugins/status", &which).await?;
        if self.json {
            terminal::print_json(&all)?;
            return Ok(ExitCode::SUCCESS);
        }
        all.iter().for_each(|health| say!("{}", text(health)));
        Ok(ExitCode::SUCCESS)
    }
}

fn text(health: &Health) -> String {
    let mut out = String::new();
    for version in &health.versions {
        out.push_str(&describe(&version.status));
        let Some(work) = &version.work else {
            continue;
        };
        let figures = &work.figures;
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "    breaker {}; {} calls, {} failed ({} of them while it was open), half of them within {}, 99 % within {}; {} at work, {} at the most",
            work.breaker,
            figures.calls,
            figures.failures,
            figures.refused,
            time(figures.median),
            time(figures.p99),
            figures.in_flight,
            work.concurrency
        );
        if let Some(seconds) = work.on_probation {
            let _ = writeln!(out, "    on probation for {seconds} s");
        }
    }
    for version in &health.history {
        let _ = writeln!(
            out,
            "    was {} (id {}), in force at {:.0}{}",
            version.version,
            version.id.short(),
            version.in_force_at,
            if version.passed {
                ""
            } else {
                ", not past its probation"
            }
        );
    }
    out
}
