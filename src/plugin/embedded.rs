//! The plugins of this repository, compiled into the program. Nothing here runs them.

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

    /// As `NAME/plugin.toml` and `NAME/NAME.wasm` in a plugin directory.
    pub fn write_to(&self, directory: &Path) -> io::Result<()> {
        let directory = directory.join(self.name);
        std::fs::create_dir_all(&directory)?;
        std::fs::write(directory.join("plugin.toml"), self.manifest)?;
        std::fs::write(directory.join(format!("{}.wasm", self.name)), self.bytes)
    }
}

/// All of them.
pub fn write_to(directory: &Path) -> io::Result<()> {
    EMBEDDED
        .iter()
        .try_for_each(|plugin| plugin.write_to(directory))
}
