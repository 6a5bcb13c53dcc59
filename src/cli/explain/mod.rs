//! `wasmilter explain`: what happened to a message.

mod render;
#[cfg(test)]
mod tests;

use super::ConfigFile;
use crate::app;
use crate::store::Store;
use anyhow::Context;
use clap::Args;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct Explain {
    /// The transaction's id, as in the reply to the client and in Received, the queue id of a mail server that asked by milter, or a Message-ID
    id: String,
    /// The whole journal as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: ConfigFile,
}

impl Explain {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.file.load()?;
        let store = app::open_store(&config)?;
        let journal = store.journal(&self.id).await?.with_context(|| {
            format!(
                "no transaction or message {:?} in {}",
                self.id,
                config.data_dir.display()
            )
        })?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&journal)?);
        } else {
            print!("{}", render::text(&journal));
        }
        Ok(ExitCode::SUCCESS)
    }
}

pub use render::{time, turns};
