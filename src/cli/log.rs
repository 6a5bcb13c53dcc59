//! The log: to standard error, at the level that WASMILTER_LOG asks for.

use crate::config::ConfigError;
use std::env::{self, VarError};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

const VARIABLE: &str = "WASMILTER_LOG";

/// It takes tracing's directives, such as `debug` or `wasmilter::plugin=trace`; without it `default` holds.
pub fn start(default: &str) -> Result<(), ConfigError> {
    let wrong = |error: &dyn std::fmt::Display| {
        ConfigError::general(format!(
            "{VARIABLE}: {error}\n  help: write it as \"debug\" or \"info,wasmilter::plugin=debug\""
        ))
    };
    let filter = match env::var(VARIABLE) {
        Ok(directives) => EnvFilter::try_new(directives).map_err(|error| wrong(&error))?,
        Err(VarError::NotPresent) => EnvFilter::new(default),
        Err(error) => return Err(wrong(&error)),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
    Ok(())
}
