//! `wasmilter compile`: what a server calls to have a plugin compiled in another process.

use crate::plugin;
use anyhow::Context;
use clap::Args;
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct Compile {
    /// The cache of compiled code
    #[arg(long, value_name = "DIRECTORY")]
    cache: PathBuf,
}

impl Compile {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let mut component = Vec::new();
        std::io::stdin()
            .read_to_end(&mut component)
            .context("reading the component")?;
        match plugin::compile(self.cache, &component) {
            Ok(()) => Ok(ExitCode::SUCCESS),
            // The server says itself that it did not compile.
            Err(plugin::LoadError::Compile(text)) => anyhow::bail!(text),
            Err(error) => Err(error.into()),
        }
    }
}
