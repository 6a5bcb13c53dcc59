//! `wasmilter quarantine release`: asks the running server, and says where each message went.

use super::super::control::Server;
use super::super::{ConfigFile, terminal};
use crate::admin::control::quarantine::{Came, ReleaseAll};
use crate::mail::{Address, Disposition, Journal, Release as How};
use clap::Args;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct Release {
    /// The numbers that `list` shows
    #[arg(required = true)]
    ids: Vec<u64>,
    /// Deliver what came in, with trace fields only: no filter is asked, no edit is kept
    #[arg(long, conflicts_with = "again")]
    original: bool,
    /// Ask all filters in force now, from the first; they may set it aside again
    #[arg(long)]
    again: bool,
    /// Only to this one of its recipients; or to another address here, in place of them
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    to: Option<Address>,
    #[command(flatten)]
    file: ConfigFile,
}

fn address(text: &str) -> Result<Address, String> {
    Address::parse(text).map_err(|error| format!("{error}; write it as alice@example.test"))
}

impl Release {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let server = Server::of(&self.file.load()?)?;
        let how = match (self.original, self.again) {
            (true, _) => How::Original,
            (_, true) => How::Again,
            _ => How::Continue,
        };
        let request = ReleaseAll {
            ids: self.ids,
            how,
            to: self.to,
        };
        let all: Vec<Came> = server.post("/quarantine/release", &request).await?;
        let mut code = ExitCode::SUCCESS;
        for came in all {
            match came.journal {
                Some(journal) => print!("{}", terminal::lines(&text(came.id, &journal))),
                None => {
                    let error = came.error.unwrap_or_default();
                    eprintln!("{}: not released: {}", came.id, terminal::lines(&error));
                    code = ExitCode::FAILURE;
                }
            }
        }
        Ok(code)
    }
}

fn text(id: u64, journal: &Journal) -> String {
    let line = |place: &crate::mail::Where| {
        let recipient = &place.recipient;
        match &place.disposition {
            Disposition::Filed { mailbox, uid, .. } => {
                format!("  <{recipient}>: {mailbox} (UID {uid})\n")
            }
            Disposition::Quarantined { id, why, .. } => {
                format!("  <{recipient}>: in quarantine again, as {id}: {why}\n")
            }
            Disposition::Refused { reply } => format!("  <{recipient}>: not released: {reply}\n"),
            Disposition::Discarded { why } => format!("  <{recipient}>: discarded: {why}\n"),
            Disposition::Passed { how } => format!("  <{recipient}>: {how}\n"),
            Disposition::Relayed { next_hop, .. } => {
                format!("  <{recipient}>: handed to {next_hop}\n")
            }
        }
    };
    let places: String = journal.dispositions.iter().map(line).collect();
    format!("{id}: released as {}\n{places}", journal.id)
}
