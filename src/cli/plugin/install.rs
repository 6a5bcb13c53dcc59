//! `wasmilter plugin install`: plugins into the plugin directory, first-party ones by name and others by their files.

use super::super::ConfigFile;
use super::grant;
use crate::plugin::embedded::{self, EmbeddedPlugin};
use crate::plugin::{Asked, Grants, asks_at};
use anyhow::{Context, anyhow, bail};
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct Install {
    /// Which: spam-score, rewrite, folders; or a component (a plugin.toml beside it counts), or a plugin's folder
    #[arg(required = true, value_name = "NAME|FILE", value_parser = what)]
    plugins: Vec<What>,
    /// Replace those that are there, their plugin.toml too
    #[arg(long)]
    force: bool,
    /// Grant them what they ask for; first-party plugins need it not
    #[arg(long)]
    grant: bool,
    #[command(flatten)]
    file: ConfigFile,
}

#[derive(Debug, Clone)]
enum What {
    FirstParty(&'static EmbeddedPlugin),
    Files(PathBuf),
}

fn what(text: &str) -> Result<What, String> {
    let path = PathBuf::from(text);
    if let Some(plugin) = EmbeddedPlugin::named(text) {
        return Ok(What::FirstParty(plugin));
    }
    if path.exists() {
        return Ok(What::Files(path));
    }
    let names: Vec<_> = embedded::EMBEDDED
        .iter()
        .map(|plugin| plugin.name)
        .collect();
    Err(format!(
        "there is no such file and no such first-party plugin; there are {}",
        names.join(", ")
    ))
}

impl Install {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.file.load()?;
        let directory = grant::directory(&config)?;
        let grants = grant::file(&config)?;
        for plugin in &self.plugins {
            match plugin {
                What::FirstParty(plugin) => {
                    self.make_room(&directory.join(plugin.name))?;
                    let asked = plugin.asked()?;
                    // Who named it wants it. Its plugin.toml, which is its configuration, alone says what it may touch.
                    grant::grant(&grants, plugin.name, &asked, false)?;
                    plugin
                        .write_to(directory)
                        .with_context(|| format!("writing {}", plugin.name))?;
                    sayln!("installed {}", directory.join(plugin.name).display());
                }
                What::Files(path) => self.files(directory, &grants, path)?,
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn make_room(&self, target: &Path) -> anyhow::Result<()> {
        if target.exists() && !self.force {
            bail!(
                "{} is there already; --force replaces it and its plugin.toml",
                target.display()
            );
        }
        Ok(())
    }

    fn files(&self, directory: &Path, grants: &Path, path: &Path) -> anyhow::Result<()> {
        let asks = asks_at(path).map_err(|why| anyhow!(why))?;
        let target = directory.join(&asks.name);
        self.make_room(&target)?;
        say!("{}", grant::describe(&asks.name, &asks.asked));
        if self.grant {
            grant::grant(grants, &asks.name, &asks.asked, true)?;
        }
        let writing = || format!("writing {}", target.display());
        let manifest = Some(asks.files.manifest.as_str()).filter(|text| !text.is_empty());
        write(&target, &asks.name, manifest, &asks.files.bytes).with_context(writing)?;
        sayln!("installed {}", target.display());
        lacking(grants, &asks.name, &asks.asked)
    }
}

/// Says what keeps it out, if anything does.
fn lacking(file: &Path, name: &str, asked: &Asked) -> anyhow::Result<()> {
    let grants = Grants::read(file).map_err(|why| anyhow!(why))?;
    if let Err(lacking) = grants.capabilities(name, asked) {
        sayln!("it is kept out as it is: {lacking}\nor: wasmilter plugin grant {name}");
    }
    Ok(())
}

/// A plugin's folder, with nothing of the version before it left.
fn write(folder: &Path, name: &str, manifest: Option<&str>, wasm: &[u8]) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    let file = format!("{name}.wasm");
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let other = path
            .extension()
            .is_some_and(|extension| extension == "wasm")
            && path.file_name().is_some_and(|name| name != file.as_str());
        let stale = manifest.is_none() && path.ends_with("plugin.toml");
        if other || stale {
            fs::remove_file(path)?;
        }
    }
    if let Some(manifest) = manifest {
        fs::write(folder.join("plugin.toml"), manifest)?;
    }
    fs::write(folder.join(file), wasm)
}
