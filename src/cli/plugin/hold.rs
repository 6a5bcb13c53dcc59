//! `wasmilter plugin rollback`, `pin`, `unpin`, `reload`: which version a running server has in force.

use super::super::ConfigFile;
use super::super::control::Server;
use super::describe;
use crate::admin::plugins::Which;
use crate::plugin::{Pin, StatusFile};
use clap::Args;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct Rollback {
    name: String,
    /// The version to go back to, or the first digits of its digest; default: the one before
    #[arg(long, value_name = "VERSION")]
    to: Option<String>,
    #[command(flatten)]
    file: ConfigFile,
}

#[derive(Debug, Args)]
pub struct PinTo {
    name: String,
    /// A version that was in force here, or the first digits of its digest; default: the one in force
    version: Option<String>,
    #[command(flatten)]
    file: ConfigFile,
}

#[derive(Debug, Args)]
pub struct Unpin {
    name: String,
    #[command(flatten)]
    file: ConfigFile,
}

#[derive(Debug, Args)]
pub struct Reload {
    #[command(flatten)]
    file: ConfigFile,
}

async fn ask(
    file: &ConfigFile,
    path: &str,
    name: &str,
    version: Option<String>,
) -> anyhow::Result<Pin> {
    let which = Which {
        name: Some(name.to_owned()),
        version,
    };
    Server::of(&file.load()?)?.post(path, &which).await
}

impl Rollback {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let pin = ask(&self.file, "/plugins/rollback", &self.name, self.to).await?;
        held(&self.name, &pin);
        Ok(ExitCode::SUCCESS)
    }
}

impl PinTo {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let pin = ask(&self.file, "/plugins/pin", &self.name, self.version).await?;
        held(&self.name, &pin);
        Ok(ExitCode::SUCCESS)
    }
}

fn held(name: &str, pin: &Pin) {
    sayln!(
        "{name} {} (id {}) is in force, whatever lies in the plugin directory, until: wasmilter plugin unpin {name}",
        pin.version,
        pin.id.short()
    );
}

impl Unpin {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let pin = ask(&self.file, "/plugins/unpin", &self.name, None).await?;
        sayln!(
            "{} is no longer held to {}: what lies in the plugin directory is in force",
            self.name,
            pin.version
        );
        Ok(ExitCode::SUCCESS)
    }
}

impl Reload {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let server = Server::of(&self.file.load()?)?;
        let status: StatusFile = server.post("/plugins/reload", &()).await?;
        sayln!("generation {}", status.generation);
        for plugin in &status.plugins {
            say!("{}", describe(plugin));
        }
        if let Some(problem) = status.problem {
            sayln!("problem: {problem}");
            return Ok(ExitCode::FAILURE);
        }
        Ok(ExitCode::SUCCESS)
    }
}
