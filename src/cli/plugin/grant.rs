//! `wasmilter plugin grant`: what a plugin asks for, written into the file of grants.

use super::super::ConfigFile;
use crate::config::Config;
use crate::plugin::{Asked, Granting, Grants, asks_in};
use anyhow::{Context, anyhow, bail};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct Grant {
    /// The plugin's name
    name: String,
    #[command(flatten)]
    file: ConfigFile,
}

impl Grant {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.file.load()?;
        let asks = asks_in(directory(&config)?, &self.name).map_err(|why| anyhow!(why))?;
        grant(&file(&config)?, &asks.name, &asks.asked, true)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes it and says so.
pub fn grant(file: &Path, name: &str, asked: &Asked, narrow: bool) -> anyhow::Result<()> {
    let written = Grants::write(file, name, asked, narrow).map_err(|why| anyhow!(why))?;
    match written.granted.is_empty() {
        true => sayln!("{name} is granted all that it asks for already"),
        false => sayln!(
            "granted to {name} in {}: {}",
            file.display(),
            written.granted.join(", ")
        ),
    }
    Ok(())
}

/// Where plugins lie.
pub fn directory(config: &Config) -> anyhow::Result<&Path> {
    let Some(directory) = &config.plugins.directory else {
        bail!(
            "{} names no plugin directory; add\n[plugins]\ndirectory = \"plugins\"",
            config.source.path.display()
        );
    };
    match &config.plugins.absent {
        Some(absent) => Err(absent.clone().into()),
        None => Ok(directory),
    }
}

/// Where grants stand.
pub fn file(config: &Config) -> anyhow::Result<PathBuf> {
    match crate::app::granting(config).context("there are no plugins")? {
        Granting::File(path) => Ok(path),
        Granting::Everything => bail!("this server grants everything"),
    }
}

/// What it asks for, for a person who is about to grant it.
pub fn describe(name: &str, asked: &Asked) -> String {
    let asks = asked.describe();
    match asks.is_empty() {
        true => format!("{name} asks for nothing\n"),
        false => format!("{name} asks for {}\n", asks.join(", ")),
    }
}
