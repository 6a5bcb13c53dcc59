//! `wasmilter quarantine`: the messages that filters set aside. All but releasing works without a running server.

mod list;
mod release;
mod show;

use super::ConfigFile;
use crate::app;
use crate::store::Quarantine as _;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub enum Quarantine {
    /// List what filters set aside, newest first
    List(list::List),
    /// Show one message: who set it aside and why, what the filters found and changed, and its header
    Show(show::Show),
    /// Let messages go on where the filters stopped them; the running server does it
    Release(release::Release),
    /// Remove messages for good
    Delete(Delete),
}

#[derive(Debug, Args)]
pub struct Delete {
    /// The numbers that `list` shows
    #[arg(required = true)]
    ids: Vec<u64>,
    #[command(flatten)]
    file: ConfigFile,
}

impl Quarantine {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(list) => list.run().await,
            Self::Show(show) => show.run().await,
            Self::Release(release) => release.run().await,
            Self::Delete(delete) => delete.run().await,
        }
    }
}

impl Delete {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let store = app::existing_store(&self.file.load()?)?;
        let mut code = ExitCode::SUCCESS;
        for id in self.ids {
            match store.delete_held(id, Timestamp::now()).await {
                Ok(_) => println!("{id}: deleted"),
                Err(error) => {
                    eprintln!("{id}: not deleted: {error}");
                    code = ExitCode::FAILURE;
                }
            }
        }
        Ok(code)
    }
}
