//! `wasmilter plugin run`: one plugin on one message, without a server.

use super::describe;
use crate::cli::explain;
use crate::kit;
use crate::mail::{Address, Recipient, ReversePath, Turn};
use crate::plugin::{self, Input, run_file};
use anyhow::Context;
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct Run {
    /// The plugin; a plugin.toml beside it counts
    plugin: PathBuf,
    /// The message; line ends may be LF
    message: PathBuf,
    /// The reverse-path of the envelope; default: Return-Path or From
    #[arg(long, value_parser = sender)]
    from: Option<ReversePath>,
    /// A recipient of the envelope, more than once for more; default: Delivered-To, To and Cc
    #[arg(long, value_parser = recipient)]
    to: Vec<Address>,
    /// The message as the plugin left it, in place of the report
    #[arg(long)]
    rendered: bool,
}

fn sender(text: &str) -> Result<ReversePath, String> {
    ReversePath::try_from(text.to_owned()).map_err(|error| error.to_string())
}

fn recipient(text: &str) -> Result<Address, String> {
    Address::parse(text).map_err(|error| error.to_string())
}

impl Run {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let mut input = Input::from_message(
            kit::read_message(&self.message)
                .with_context(|| format!("reading {}", self.message.display()))?,
        )?;
        if let Some(sender) = self.from {
            input.envelope.sender = sender;
        }
        if !self.to.is_empty() {
            input.envelope.recipients = self.to.into_iter().map(Recipient::from).collect();
        }
        let directory = self.plugin.parent().unwrap_or(Path::new("."));
        let ran = run_file(&plugin::Config::new(directory), &self.plugin, input).await?;
        if self.rendered {
            use std::io::Write;
            std::io::stdout().write_all(&ran.message.render()?.bytes()?)?;
            return Ok(ExitCode::SUCCESS);
        }
        print!("{}", describe(&ran.plugin));
        let turns: Vec<Turn> = ran
            .calls
            .into_iter()
            .map(|(call, outcome)| Turn {
                filter: ran.plugin.name.clone(),
                version: ran.plugin.version.clone().unwrap_or_default(),
                hook: call.hook(),
                recipient: call.recipient().cloned(),
                verdict: outcome
                    .result
                    .clone()
                    .unwrap_or(crate::mail::Verdict::Continue),
                result: outcome.result,
                symbols: outcome.symbols,
                edits: outcome.edits,
                refused: outcome.refused,
                log: outcome.log,
                elapsed: outcome.elapsed,
                memory: outcome.memory,
                host_calls: outcome.host_calls,
            })
            .collect();
        let failed = turns.iter().any(|turn| turn.result.is_err());
        print!("\n{}", explain::turns(&turns));
        Ok(if failed {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        })
    }
}
