//! `wasmilter explain`: what happened to a message.

mod render;
#[cfg(test)]
mod tests;

use super::{ConfigFile, terminal};
use crate::app;
use crate::mail::{Departure, Disposition, Journal};
use crate::store::{SqliteStore, Store, StoreError};
use anyhow::Context;
use clap::Args;
use std::collections::VecDeque;
use std::process::ExitCode;

/// Transactions that are shown, where one message was released again and again.
const LONGEST: usize = 20;

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
        let store = app::existing_store(&config)?;
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
            let story = follow(&store, journal).await?;
            let texts: Vec<_> = story.iter().map(render::text).collect();
            print!("{}", terminal::lines(&texts.join("\n")));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// With the transactions that it goes on with, and those that go on with it, in order.
async fn follow(store: &SqliteStore, journal: Journal) -> Result<Vec<Journal>, StoreError> {
    let mut story = VecDeque::from([journal]);
    while let Some(release) = story.front().and_then(|first| first.release.clone())
        && story.len() < LONGEST
        && let Some(before) = store.journal(release.transaction.as_str()).await?
    {
        story.push_front(before);
    }
    let mut at = 0;
    while let Some(journal) = story.get(at)
        && story.len() < LONGEST
    {
        let mut after = Vec::new();
        for place in &journal.dispositions {
            if let Disposition::Quarantined {
                then: Some(Departure::Released(id)),
                ..
            } = &place.disposition
                && !after.contains(id)
                && !story.iter().any(|known| known.id == *id)
            {
                after.push(id.clone());
            }
        }
        for id in after {
            story.extend(store.journal(id.as_str()).await?);
        }
        at += 1;
    }
    Ok(story.into())
}

pub use render::{time, turns};
