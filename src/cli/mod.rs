//! The command line: one file for each command. Parses arguments and prints; what is done is done elsewhere.

mod account;
mod check;
mod compile;
mod control;
mod demo;
mod explain;
mod log;
mod plugin;
mod progress;
mod quarantine;
mod restored;
mod serve;
mod status;
mod terminal;

use crate::config::Config;
use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use tempfile::TempDir;

/// A mail pipeline whose filters are sandboxed WebAssembly components.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    after_help = "Start with `wasmilter demo`: it needs nothing and shows everything."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server until SIGTERM or Ctrl-C; what is in flight is finished first
    Serve(ConfigFile),
    /// Say how the running server is doing: since when, where it listens, with which filters
    Status(status::Status),
    /// Check a configuration file and say what is wrong with it; starts nothing
    Check(ConfigFile),
    /// Show it all on this machine: sample mail through real filters into mailboxes, in a temporary directory
    Demo(demo::Demo),
    /// Add, list, change and remove accounts
    #[command(subcommand)]
    Account(account::Account),
    /// Say that data-dir comes from a backup, before the server starts on it: mail clients will fetch all mail anew
    Restored(ConfigFile),
    /// Say what happened to a message: each filter's edits, symbols, verdict, time and memory, and where it went
    Explain(explain::Explain),
    /// List, show, release and delete the messages that filters set aside
    #[command(subcommand)]
    Quarantine(quarantine::Quarantine),
    /// List and install the plugins of a server; make, build, test, check, run and measure plugins without one
    #[command(subcommand)]
    Plugin(plugin::Plugin),
    /// Compile the component on standard input into a cache: a server calls itself so
    #[command(name = crate::plugin::Compiler::COMMAND, hide = true)]
    Compile(compile::Compile),
}

#[derive(Debug, Args)]
struct ConfigFile {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "wasmilter.toml")]
    config: PathBuf,
}

impl ConfigFile {
    fn load(&self) -> anyhow::Result<Config> {
        Ok(Config::load(&self.config)?)
    }
}

/// 0: done. 1: it did not work. 2: the arguments or the configuration are wrong; nothing was started.
pub fn run() -> ExitCode {
    end_with_the_reader();
    let cli = Cli::parse();
    // Removed after the runtime, and so after all that may still write to it.
    let mut home = None;
    match runtime().and_then(|runtime| runtime.block_on(dispatch(cli.command, &mut home))) {
        Ok(code) => code,
        Err(error) if error.is::<crate::config::ConfigError>() => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
        Err(error) => {
            // It may hold what a plugin or a message says.
            eprintln!("error: {}", terminal::lines(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}

/// When whoever reads what is printed has seen enough (`| head`), that is no failure to report.
fn end_with_the_reader() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload_as_str().unwrap_or_default();
        if text.starts_with("failed printing to stdout") && text.contains("Broken pipe") {
            // As a shell shows a program that SIGPIPE ended.
            std::process::exit(141);
        }
        report(panic);
    }));
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("the runtime could not be started")
}

async fn dispatch(command: Command, home: &mut Option<TempDir>) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(file) => serve::run(&file.load()?).await,
        Command::Status(status) => status.run().await,
        Command::Check(file) => check::run(&file.load()?),
        Command::Demo(demo) => demo.run(home).await,
        Command::Account(account) => account.run().await,
        Command::Restored(file) => restored::run(&file.load()?).await,
        Command::Explain(explain) => explain.run().await,
        Command::Quarantine(quarantine) => quarantine.run().await,
        Command::Plugin(plugin) => plugin.run().await,
        Command::Compile(compile) => compile.run(),
    }
}
