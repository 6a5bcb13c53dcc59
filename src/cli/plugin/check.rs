//! `wasmilter plugin check`: would a server load it?

use super::describe;
use crate::plugin::{self, Loaded};
use anyhow::Context;
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct Check {
    /// A component (a plugin.toml beside it counts), or a plugin's folder
    plugin: PathBuf,
}

impl Check {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        check(&self.plugin).await?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Loads it as a server does, its `on-load` included, and says what it is.
pub async fn check(path: &Path) -> anyhow::Result<Loaded> {
    let loaded = load(path).await?;
    print!("{}", describe(&loaded.plugin));
    println!("a server loads it");
    Ok(loaded)
}

pub async fn load(path: &Path) -> anyhow::Result<Loaded> {
    let loaded = plugin::load_path(&plugin::Config::new("."), path).await;
    let unbuilt = path.join("Cargo.toml").is_file();
    loaded.with_context(|| match unbuilt {
        true => format!(
            "no server would load it as it is; if it has changed or is new: wasmilter plugin build {}",
            path.display()
        ),
        false => "no server would load it".to_owned(),
    })
}
