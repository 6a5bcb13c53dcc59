//! `wasmilter plugin list`: what a running server has loaded.

use super::super::ConfigFile;
use super::describe;
use crate::app;
use crate::cli::terminal;
use crate::plugin::StatusFile;
use anyhow::Context;
use clap::Args;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct List {
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: ConfigFile,
}

impl List {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.file.load()?;
        let path = config.data_dir.join(app::PLUGIN_STATUS);
        let status = StatusFile::read(&path).with_context(|| {
            format!("no server has loaded plugins here yet ({})", path.display())
        })?;
        if self.json {
            terminal::print_json(&status)?;
            return Ok(ExitCode::SUCCESS);
        }
        sayln!("generation {}", status.generation);
        for plugin in &status.plugins {
            say!("{}", describe(plugin));
        }
        if let Some(problem) = status.problem {
            sayln!("problem: {problem}");
        }
        Ok(ExitCode::SUCCESS)
    }
}
