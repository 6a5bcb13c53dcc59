//! `wasmilter serve`: the server, until it is told to stop.

use crate::app::App;
use crate::config::Config;
use crate::plugin::Compiler;
use anyhow::Context;
use std::io::Write;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

pub async fn run(config: &Config) -> anyhow::Result<ExitCode> {
    super::log::start("info")?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be watched")?;
    let app = App::start(config, Some(Compiler::this_program())).await?;
    let mut out = std::io::stdout().lock();
    for ready in app.listening() {
        writeln!(out, "{ready}")?;
    }
    out.flush()?;
    drop(out);
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: finishing what is in flight"),
        _ = tokio::signal::ctrl_c() => tracing::info!("interrupted: finishing what is in flight"),
    }
    app.stop().await;
    Ok(ExitCode::SUCCESS)
}
