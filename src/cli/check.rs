//! `wasmilter check`: the configuration and what it names, without starting anything.

use crate::app;
use crate::config::Config;
use std::process::ExitCode;

pub fn run(config: &Config) -> anyhow::Result<ExitCode> {
    app::check(config)?;
    println!("{} is fine", config.source.path.display());
    Ok(ExitCode::SUCCESS)
}
