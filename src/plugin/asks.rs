//! What a plugin's files ask for, read without compiling or running any of it: for people who are about to grant it.

use super::capability::Asked;
use super::inspect::{Inspection, inspect};
use super::loader::{self, Files, Found};
use super::manifest::{Manifest, check_name};
use std::path::Path;

pub struct Asks {
    /// By its manifest, or by its file or folder.
    pub name: String,
    pub asked: Asked,
    /// Its instances serve one transaction after another.
    pub warm: bool,
    pub inspection: Inspection,
    pub files: Files,
}

/// A component (a plugin.toml beside it counts) or a plugin's folder.
pub fn asks_at(path: &Path) -> Result<Asks, String> {
    asks(loader::at(path)?)
}

/// The plugin of this name in a plugin directory.
pub fn asks_in(directory: &Path, name: &str) -> Result<Asks, String> {
    let found =
        loader::scan(directory).map_err(|error| format!("{}: {error}", directory.display()))?;
    let mut problem = None;
    for found in found {
        let key = found.key.clone();
        match asks(found) {
            Ok(asks) if asks.name == name => return Ok(asks),
            Ok(_) => {}
            // Not that of another plugin.
            Err(why) if key == name => problem = Some(why),
            Err(_) => {}
        }
    }
    Err(problem.unwrap_or_else(|| {
        format!(
            "there is no plugin {name} in {}; `wasmilter plugin list` has those that are there",
            directory.display()
        )
    }))
}

fn asks(found: Found) -> Result<Asks, String> {
    let wasm = found.wasm?;
    let files = loader::files(&wasm, found.manifest.as_deref())?;
    let manifest = Manifest::parse(&files.manifest).map_err(|error| {
        let path = found.manifest.as_deref().unwrap_or(&wasm);
        format!("{}, {error}", path.display())
    })?;
    let name = manifest.name.clone().unwrap_or(found.key);
    check_name(&name)?;
    let inspection =
        inspect(&files.bytes).map_err(|error| format!("{}: {error}", wasm.display()))?;
    Ok(Asks {
        name,
        asked: inspection.asked(&manifest),
        warm: manifest.warm,
        inspection,
        files,
    })
}
