//! `wasmilter plugin inspect`: what a component asks for and offers, read from its file.

use crate::cli::terminal;
use crate::plugin::{Inspection, asks_at, inspect};
use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct Inspect {
    /// The component (a plugin.toml beside it counts), or a plugin's folder
    file: PathBuf,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let name = self.file.display().to_string();
        let asks = asks_at(&self.file);
        let found = match &asks {
            Ok(asks) => asks.inspection.clone(),
            Err(why) if self.file.is_dir() => bail!("{why}"),
            // A file that no server would load can be looked at too.
            Err(_) => {
                let bytes = std::fs::read(&self.file).with_context(|| name.clone())?;
                inspect(&bytes).context(name)?
            }
        };
        let warm = asks.as_ref().is_ok_and(|asks| asks.warm);
        let asks = asks.map(|asks| asks.asked.describe());
        if self.json {
            let mut report = serde_json::to_value(&found)?;
            if let (Some(report), Ok(asks)) = (report.as_object_mut(), &asks) {
                report.insert("capabilities".to_owned(), json!(asks));
                report.insert("warm".to_owned(), json!(warm));
            }
            terminal::print_json(&report)?;
        } else {
            say!("{}", describe(&found, asks, warm));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn describe(found: &Inspection, asks: Result<Vec<String>, String>, warm: bool) -> String {
    let words = |words: &BTreeSet<String>| match words.is_empty() {
        true => "none".to_owned(),
        false => words.iter().cloned().collect::<Vec<_>>().join(" "),
    };
    let asks = match asks {
        Ok(asks) if asks.is_empty() => "nothing".to_owned(),
        Ok(asks) => asks.join(", "),
        Err(why) => format!("{} ({why})", words(&found.asks)),
    };
    let instances = match warm {
        true => "warm, by its plugin.toml: what it keeps of a message is there for the next",
        false => "fresh for each transaction",
    };
    let mut out = format!(
        "size      {} octets\nsha256    {}\ncontract  {} (served: {})\nasked at  {}\nasks for  {}\ninstances {instances}\n",
        found.size,
        found.digest,
        words(&found.contract),
        found.served,
        words(&found.hooks),
        asks,
    );
    for (heading, names) in [("imports", &found.imports), ("exports", &found.exports)] {
        out.push_str(&format!("{heading}\n"));
        for name in names {
            out.push_str(&format!("    {name}\n"));
        }
    }
    out
}
