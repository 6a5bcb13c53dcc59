//! `wasmilter plugin check`: would a server load it?

use super::{describe, grant};
use crate::config::Config;
use crate::plugin::{self, Grants, Loaded};
use anyhow::{Context, anyhow, bail};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct Check {
    /// A component (a plugin.toml beside it counts), or a plugin's folder
    plugin: PathBuf,
    /// The server's configuration: whether its grants are enough
    #[arg(long, value_name = "FILE", conflicts_with = "grants")]
    config: Option<PathBuf>,
    /// A file of grants: whether they are enough
    #[arg(long, value_name = "FILE")]
    grants: Option<PathBuf>,
}

impl Check {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let file = match (&self.config, self.grants) {
            (Some(config), _) => Some(grant::file(&Config::load(config)?)?),
            (None, grants) => grants,
        };
        let Some(file) = file else {
            check(&self.plugin).await?;
            return Ok(ExitCode::SUCCESS);
        };
        let loaded = load(&self.plugin).await?;
        say!("{}", describe(&loaded.plugin));
        let (name, asked) = (&loaded.plugin.name, &loaded.asked);
        let grants = Grants::read(&file).map_err(|why| anyhow!(why))?;
        match grants.capabilities(name, asked) {
            Ok(capabilities) => {
                sayln!("a server loads it");
                sayln!("in force: {}", capabilities.describe().join(", "));
                Ok(ExitCode::SUCCESS)
            }
            Err(lacking) => bail!("the server keeps it out: {lacking}"),
        }
    }
}

/// Loads it as a server does, its `on-load` included, and says what it is.
pub async fn check(path: &Path) -> anyhow::Result<Loaded> {
    let loaded = load(path).await?;
    say!("{}", describe(&loaded.plugin));
    let (name, asked) = (&loaded.plugin.name, &loaded.asked);
    // As where nobody has granted anything.
    match Grants::none(Path::new("grants.toml")).capabilities(name, asked) {
        Ok(_) => sayln!("a server loads it"),
        Err(lacking) => {
            sayln!("a server loads it once it is granted what it asks for: {lacking}")
        }
    }
    Ok(loaded)
}

pub async fn load(path: &Path) -> anyhow::Result<Loaded> {
    load_with(&plugin::Config::new("."), path).await
}

pub async fn load_with(config: &plugin::Config, path: &Path) -> anyhow::Result<Loaded> {
    let loaded = plugin::load_path(config, path).await;
    let unbuilt = path.join("Cargo.toml").is_file();
    loaded.with_context(|| match unbuilt {
        true => format!(
            "no server would load it as it is; if it has changed or is new: wasmilter plugin build {}",
            path.display()
        ),
        false => "no server would load it".to_owned(),
    })
}
