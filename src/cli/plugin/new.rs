//! `wasmilter plugin new`: the folder that a filter starts from.

use crate::kit;
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct New {
    /// The folder to make; its name is the plugin's
    name: PathBuf,
    /// The language to write it in
    #[arg(long, value_enum, default_value_t = Language::Rust)]
    lang: Language,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Language {
    Rust,
}

impl New {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.lang {
            Language::Rust => kit::create(&self.name)?,
        }
        let name = self.name.display();
        sayln!(
            "made {name}: the filter is in src/lib.rs, its cases in cases/. Go on with\n    \
             wasmilter plugin build {name}\n    wasmilter plugin test {name}"
        );
        Ok(ExitCode::SUCCESS)
    }
}
