//! `wasmilter status`: the running server in a few lines.

use super::ConfigFile;
use super::control::Server;
use crate::admin::control;
use clap::Args;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct Status {
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: ConfigFile,
}

impl Status {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let server = Server::of(&self.file.load()?)?;
        let status: control::Status = server.get("/status").await?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&status)?);
            return Ok(ExitCode::SUCCESS);
        }
        println!(
            "wasmilter {} as {}, process {}, since {:.0}",
            status.version, status.hostname, status.pid, status.started
        );
        for listening in &status.listening {
            println!("  {listening}");
        }
        println!("generation {} of plugins", status.generation);
        for filter in &status.filters {
            let hooks: Vec<_> = filter.hooks.iter().map(|hook| hook.name()).collect();
            println!(
                "  {} {}  at {}",
                filter.name,
                filter.version,
                hooks.join(" ")
            );
        }
        for milter in &status.milters {
            println!(
                "  milter {} at {}, order {}: breaker {}, {} connections, {} calls, {} failed",
                milter.name,
                milter.address,
                milter.order,
                milter.breaker,
                milter.connections,
                milter.calls,
                milter.failures
            );
        }
        Ok(ExitCode::SUCCESS)
    }
}
