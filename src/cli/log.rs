//! The log: to standard error, at the level that WASMILTER_LOG asks for.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// `WASMILTER_LOG` takes tracing's directives, such as `debug` or `wasmilter::plugin=trace`; the default is `default`.
pub fn start(default: &str) {
    let filter =
        EnvFilter::try_from_env("WASMILTER_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}
