//! `wasmilter plugin install`: first-party plugins into the plugin directory.

use super::super::ConfigFile;
use crate::plugin::embedded::{self, EmbeddedPlugin};
use anyhow::{Context, bail};
use clap::Args;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct Install {
    /// Which: spam-score, rewrite, folders
    #[arg(required = true, value_parser = embedded)]
    names: Vec<&'static EmbeddedPlugin>,
    /// Replace those that are there, their plugin.toml too
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    file: ConfigFile,
}

fn embedded(name: &str) -> Result<&'static EmbeddedPlugin, String> {
    EmbeddedPlugin::named(name).ok_or_else(|| {
        let names: Vec<_> = embedded::EMBEDDED
            .iter()
            .map(|plugin| plugin.name)
            .collect();
        format!(
            "there is no such first-party plugin; there are {}",
            names.join(", ")
        )
    })
}

impl Install {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.file.load()?;
        let Some(directory) = config.plugins.directory else {
            bail!(
                "{} names no plugin directory; add\n[plugins]\ndirectory = \"plugins\"",
                config.source.path.display()
            );
        };
        for plugin in self.names {
            let target = directory.join(plugin.name);
            if target.exists() && !self.force {
                bail!(
                    "{} is there already; --force replaces it and its plugin.toml",
                    target.display()
                );
            }
            plugin
                .write_to(&directory)
                .with_context(|| format!("writing {}", target.display()))?;
            println!("installed {}", target.display());
        }
        Ok(ExitCode::SUCCESS)
    }
}
