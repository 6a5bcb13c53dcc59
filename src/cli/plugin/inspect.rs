//! `wasmilter plugin inspect`: what a component asks for and offers, read from its file.

use crate::plugin::{Inspection, inspect};
use anyhow::Context;
use clap::Args;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct Inspect {
    /// The component
    file: PathBuf,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let name = self.file.display().to_string();
        let bytes = std::fs::read(&self.file).with_context(|| name.clone())?;
        let found = inspect(&bytes).context(name)?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&found)?);
        } else {
            print!("{}", describe(&found));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn describe(found: &Inspection) -> String {
    let words = |words: &BTreeSet<String>| match words.is_empty() {
        true => "none".to_owned(),
        false => words.iter().cloned().collect::<Vec<_>>().join(" "),
    };
    let mut out = format!(
        "size      {} octets\nsha256    {}\ncontract  {} (served: {})\nasked at  {}\nasks for  {}\n",
        found.size,
        found.digest,
        words(&found.contract),
        found.served,
        words(&found.hooks),
        words(&found.asks),
    );
    for (heading, names) in [("imports", &found.imports), ("exports", &found.exports)] {
        out.push_str(&format!("{heading}\n"));
        for name in names {
            out.push_str(&format!("    {name}\n"));
        }
    }
    out
}
