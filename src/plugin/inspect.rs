//! What a plugin's file says of itself: which contract it is made for, what it asks for and offers.
//! Compiles and runs nothing, and doesn't judge: a file that would not load can be looked at too.

use super::abi;
use super::capability::Asked;
use super::component::LoadError;
use super::componentize::component_of;
use super::digest::Digest;
use super::manifest::Manifest;
use crate::mail::Line;
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use wasmparser::{Parser, Payload};

/// Characters of a name.
const MAX_NAME: usize = 200;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Inspection {
    /// Octets of the file.
    pub size: u64,
    /// SHA-256 of the file.
    pub digest: Digest,
    /// `MAJOR.MINOR.PATCH` of the contract; several where parts were built with different SDKs.
    pub contract: BTreeSet<String>,
    /// The versions that this program serves.
    pub served: &'static str,
    /// Of the contract's exports: where it is asked.
    pub hooks: BTreeSet<String>,
    /// Of the contract's imports: what it can do. `types` is none.
    pub asks: BTreeSet<String>,
    /// All imports and exports by their full names.
    pub imports: Vec<String>,
    pub exports: Vec<String>,
}

pub fn inspect(bytes: &[u8]) -> Result<Inspection, LoadError> {
    Ok(read(bytes)?.0)
}

/// With the component itself, which is made here of a core module: that can take a while, and its maker may panic on an odd one.
pub async fn open(bytes: Arc<[u8]>) -> Result<(Inspection, Arc<[u8]>), LoadError> {
    let work = move || {
        let (found, component) = read(&bytes)?;
        let component = match component {
            Cow::Borrowed(_) => None,
            Cow::Owned(component) => Some(component.into()),
        };
        Ok((found, component.unwrap_or(bytes)))
    };
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|_| {
        Err(LoadError::Componentize(
            "this form of module is not supported".to_owned(),
        ))
    })
}

fn read(bytes: &[u8]) -> Result<(Inspection, Cow<'_, [u8]>), LoadError> {
    let component = component_of(bytes)?;
    let mut found = Inspection {
        size: bytes.len() as u64,
        digest: Digest::of(bytes),
        contract: BTreeSet::new(),
        served: abi::VERSIONS,
        hooks: BTreeSet::new(),
        asks: BTreeSet::new(),
        imports: Vec::new(),
        exports: Vec::new(),
    };
    found.read(&component).map_err(|error| {
        LoadError::Compile(format!("{} at octet {}", error.message(), error.offset()))
    })?;
    Ok((found, component))
}

impl Inspection {
    /// What it asks for, as its manifest narrows it.
    pub fn asked(&self, manifest: &Manifest) -> Asked {
        let imports = self.imports.iter().map(String::as_str);
        Asked::new(imports, manifest.capabilities.clone())
    }

    fn read(&mut self, bytes: &[u8]) -> wasmparser::Result<()> {
        // Modules and components within it have imports and exports too: those are its own affair.
        let mut depth = 0_usize;
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
                Payload::End(_) => depth = depth.saturating_sub(1),
                Payload::ComponentImportSection(section) if depth == 0 => {
                    for import in section {
                        self.import(import?.name.name);
                    }
                }
                Payload::ComponentExportSection(section) if depth == 0 => {
                    for export in section {
                        self.export(export?.name.name);
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn import(&mut self, name: &str) {
        let name = shown(name);
        self.imports.push(name.clone());
        let ability = self.of_contract(&name).filter(|ability| ability != "types");
        self.asks.extend(ability);
    }

    fn export(&mut self, name: &str) {
        let name = shown(name);
        self.exports.push(name.clone());
        let hook = self.of_contract(&name);
        let hook = hook.filter(|hook| hook.starts_with("on-"));
        self.hooks.extend(hook);
    }

    /// The name of the interface, its version noted, if it is one of the contract's.
    fn of_contract(&mut self, name: &str) -> Option<String> {
        let rest = name.strip_prefix(abi::PACKAGE)?.strip_prefix('/')?;
        let (interface, version) = rest.split_once('@').unwrap_or((rest, "without a version"));
        self.contract.insert(version.to_owned());
        Some(interface.to_owned())
    }
}

/// Whoever wrote the file chose it: no name of an interface has a line end, or is long.
fn shown(name: &str) -> String {
    let name: String = name.chars().take(MAX_NAME).collect();
    Line::lossy(&name).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_says_what_it_asks_for() {
        for plugin in super::super::embedded::EMBEDDED {
            let found = inspect(plugin.bytes).unwrap();
            assert_eq!(found.contract.iter().collect::<Vec<_>>(), ["0.1.1"]);
            assert!(found.hooks.contains("on-load"), "{found:?}");
            assert!(!found.asks.contains("types"));
            assert_eq!(found.size, plugin.bytes.len() as u64);
            assert!(
                found
                    .imports
                    .iter()
                    .any(|name| name == "wasmilter:filter/config@0.1.1")
            );
        }
        let folders = super::super::embedded::EmbeddedPlugin::named("folders").unwrap();
        let found = inspect(folders.bytes).unwrap();
        assert!(found.asks.contains("filing") && !found.asks.contains("header-edit"));
    }

    #[test]
    fn what_is_no_component_is_named() {
        let whole = super::super::embedded::EMBEDDED[0].bytes;
        for (bytes, expected) in [
            (&b""[..], "the file is empty"),
            (b"PK\x03\x04 and more", "it is not WASM"),
            (b"\0asm\x01\0\0\0", "core WASM module"),
            (&whole[..whole.len() / 2], "does not compile"),
        ] {
            let error = inspect(bytes).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
