//! `wasmilter plugin build`: a folder of sources becomes a component that a server loads.

use super::check;
use crate::kit;
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct Build {
    /// The plugin's folder
    #[arg(default_value = ".")]
    directory: PathBuf,
}

impl Build {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        build(&self.directory)?;
        check::check(&self.directory).await?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Compiles, and says what came out.
pub fn build(directory: &Path) -> anyhow::Result<()> {
    let built = kit::build(directory)?;
    if let Some(target) = built.target_added {
        eprintln!("added the target {target} to the toolchain");
    }
    sayln!(
        "built {} ({} KiB{})",
        built.component.display(),
        built.octets / 1024,
        if built.was_module {
            ", a component made of the core module"
        } else {
            ""
        }
    );
    Ok(())
}
