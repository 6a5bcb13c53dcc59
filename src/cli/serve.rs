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
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT cannot be watched")?;
    let mut stop = async || {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "interrupted",
        }
    };
    // That plugins are being compiled is no reason to be kept waiting.
    let started = tokio::select! {
        app = Box::pin(App::start(config, Some(Compiler::this_program()))) => Some(app?),
        why = stop() => {
            tracing::info!("{why}: it had not started yet");
            None
        }
    };
    let Some(app) = started else {
        return Ok(ExitCode::SUCCESS);
    };
    let mut out = std::io::stdout().lock();
    for ready in app.listening() {
        writeln!(out, "{ready}")?;
    }
    out.flush()?;
    drop(out);
    // Not within the macro, which looks at nothing where its level is off.
    let why = stop().await;
    tracing::info!("{why}: finishing what is in flight");
    app.stop().await;
    Ok(ExitCode::SUCCESS)
}
