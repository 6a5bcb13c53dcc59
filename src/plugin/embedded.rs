//! The plugins of this repository, compiled into the program. Nothing here runs them.

use super::capability::{Asked, Grants};
use super::component::LoadError;
use super::inspect::inspect;
use super::manifest::Manifest;
use std::io;
use std::path::Path;

#[derive(Debug, Clone, Copy)]
pub struct EmbeddedPlugin {
    pub name: &'static str,
    /// Its plugin.toml; empty if it has none.
    pub manifest: &'static str,
    pub bytes: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/plugins.rs"));

impl EmbeddedPlugin {
    pub fn named(name: &str) -> Option<&'static Self> {
        EMBEDDED.iter().find(|plugin| plugin.name == name)
    }

    /// What it asks for, to be granted by whoever installs it.
    pub fn asked(&self) -> Result<Asked, LoadError> {
        let manifest = Manifest::parse(self.manifest)
            .map_err(|error| LoadError::Host(format!("plugin.toml, {error}")))?;
        Ok(inspect(self.bytes)?.asked(&manifest))
    }

    /// As `NAME/plugin.toml` and `NAME/NAME.wasm` in a plugin directory.
    pub fn write_to(&self, directory: &Path) -> io::Result<()> {
        let directory = directory.join(self.name);
        std::fs::create_dir_all(&directory)?;
        std::fs::write(directory.join("plugin.toml"), self.manifest)?;
        std::fs::write(directory.join(format!("{}.wasm", self.name)), self.bytes)
    }
}

/// All of them, with what they ask for granted.
pub fn write_to(directory: &Path) -> io::Result<()> {
    let grants = directory.join(super::service::GRANTS);
    for plugin in EMBEDDED {
        let asked = plugin.asked().map_err(io::Error::other)?;
        Grants::write(&grants, plugin.name, &asked, false).map_err(io::Error::other)?;
        plugin.write_to(directory)?;
    }
    Ok(())
}
