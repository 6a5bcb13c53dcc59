//! `wasmilter plugin test`: a plugin's cases, in the real host.

use super::{build, check};
use crate::kit::{self, CaseEnd, CaseReport, Report, Stage};
use crate::plugin;
use anyhow::{Context, bail};
use clap::Args;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct Test {
    /// The plugin's folder, with cases/; if it has a Cargo.toml, it is built first
    #[arg(default_value = ".")]
    directory: PathBuf,
    /// Rewrite the expectations that don't hold, and write those that are missing
    #[arg(long)]
    bless: bool,
    /// Write a report for build servers
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

impl Test {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        if !self.directory.is_dir() {
            let what = if self.directory.exists() {
                "is not a folder: name that of the plugin, which has its cases in cases/"
            } else {
                "is not there; `wasmilter plugin new NAME` makes the folder of a plugin, with cases"
            };
            bail!("{} {what}", self.directory.display());
        }
        if self.directory.join("Cargo.toml").is_file() {
            build::build(&self.directory)?;
        }
        let stage = Stage::default();
        let config = plugin::Config {
            services: stage.services(),
            ..plugin::Config::new(".")
        };
        let loaded = check::load_with(&config, &self.directory).await?;
        let cases = self.directory.join("cases");
        let report = kit::run_cases(&loaded.filter, &stage, &cases, self.bless).await?;
        say!("{}", text(&report));
        if let Some(path) = self.junit {
            std::fs::write(&path, kit::junit(&report))
                .with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(if report.is_good() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

fn text(report: &Report) -> String {
    let mut out = String::new();
    for case in &report.cases {
        describe(&mut out, case);
    }
    let mut counts = vec![format!("{} passed", report.passed())];
    for (count, what) in [
        (report.failed(), "failed"),
        (report.malformed(), "could not be run"),
        (report.blessed(), "rewritten"),
    ] {
        if count > 0 {
            counts.push(format!("{count} {what}"));
        }
    }
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{}: {}", report.plugin, counts.join(", "));
    if report.failed() > 0 {
        out.push_str("(- expected, + found; --bless makes what was found the expectation)\n");
    }
    out
}

fn describe(out: &mut String, case: &CaseReport) {
    let (word, differences) = match &case.end {
        CaseEnd::Passed => ("ok", None),
        CaseEnd::Failed(differences) => ("FAILED", Some(differences)),
        CaseEnd::Blessed(differences) => ("rewritten", Some(differences)),
        CaseEnd::Malformed(why) => {
            let _ = writeln!(out, "BROKEN {}\n    {why}", case.name);
            return;
        }
    };
    let _ = write!(out, "{word} {}", case.name);
    if case.about.is_empty() {
        out.push('\n');
    } else {
        let _ = writeln!(out, ": {}", case.about);
    }
    let Some(differences) = differences else {
        return;
    };
    for difference in differences {
        for line in difference.to_string().lines() {
            let _ = writeln!(out, "    {line}");
        }
    }
    if matches!(case.end, CaseEnd::Failed(_)) {
        for symbol in &case.symbols {
            let _ = writeln!(
                out,
                "    gave {} {:.1}: {}",
                symbol.name, symbol.score, symbol.reason
            );
        }
        for line in &case.log {
            let _ = writeln!(out, "    logged {}: {}", line.level, line.text);
        }
    }
}
