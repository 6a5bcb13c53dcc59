//! `wasmilter demo`: everything at once, on this machine, in a temporary directory.

mod client;
mod flow;
mod samples;
mod signals;
mod stage;

use crate::mail::{Disposition, Journal};
use crate::store::Store;
use clap::Args;
use client::Client;
use samples::Sample;
use signals::Signals;
use stage::Stage;
use std::process::ExitCode;
use tempfile::TempDir;

#[derive(Debug, Args)]
pub struct Demo {
    /// End after the show; status 0 only if every message ended where it should
    #[arg(long)]
    exit: bool,
}

impl Demo {
    /// Its directory is the caller's to remove.
    pub async fn run(self, home: &mut Option<TempDir>) -> anyhow::Result<ExitCode> {
        super::log::start("error")?;
        let mut signals = Signals::watch()?;
        let home = home.insert(stage::directory()?).path();
        let stage = tokio::select! {
            stage = Stage::set(home) => stage?,
            () = signals.next() => return Ok(ExitCode::FAILURE),
        };
        let fine = tokio::select! {
            shown = self.show(&stage) => Some(shown?),
            () = signals.next() => None,
        };
        if fine.is_some() && !self.exit {
            signals.next().await;
        }
        stage.app.stop().await;
        Ok(match fine {
            Some(true) => ExitCode::SUCCESS,
            Some(false) | None => ExitCode::FAILURE,
        })
    }

    /// Whether every message ended where it should.
    async fn show(&self, stage: &Stage) -> anyhow::Result<bool> {
        println!("{}", stage.introduction());

        let samples = samples::all()?;
        println!("\nSending {} sample messages by SMTP\n", samples.len());
        let mut client = Client::connect(stage.smtp).await?;
        let mut wrong = 0;
        for sample in &samples {
            let answer = client
                .send(&sample.sender, &sample.recipients, sample.octets)
                .await?;
            let journal = match transaction_of(&answer.text) {
                Some(id) => stage.app.store().journal(id).await?,
                None => None,
            };
            let Some(journal) = journal else {
                wrong += 1;
                println!(
                    "WRONG  {:24}  no journal; {} {}",
                    sample.name, answer.code, answer.text
                );
                continue;
            };
            let ends = ends(&journal);
            let right = ends
                .iter()
                .all(|(recipient, end)| sample.end.of(recipient) == Some(end));
            wrong += usize::from(!right);
            println!("{}", line(sample, &journal, &ends, right));
            if !right {
                println!(
                    "       {} should have ended in {:?}",
                    sample.about, sample.end
                );
            }
        }

        let swap = flow::run(stage).await?;
        println!("\n{swap}");
        if wrong == 0 {
            println!(
                "\nAll {} sample messages ended where they should.",
                samples.len()
            );
        } else {
            println!(
                "\n{wrong} of {} sample messages did NOT end where they should.",
                samples.len()
            );
        }
        if !self.exit {
            println!("\n{}", stage.how_to_use(&last_id(stage, &samples).await));
        }
        Ok(wrong == 0 && swap.is_right())
    }
}

/// `2.0.0 Ok: stored as ID`, `5.7.1 Refused as ID: …`
fn transaction_of(reply: &str) -> Option<&str> {
    let (_, rest) = reply.split_once(" as ")?;
    rest.split(':').next()
}

fn message_id(sample: &Sample) -> Option<String> {
    let header = crate::mail::Header::parse(&bytes::Bytes::from_static(sample.octets));
    header.nth("Message-ID", 1).map(|field| field.text())
}

/// Where it ended for each recipient: a folder, or "reject".
fn ends(journal: &Journal) -> Vec<(String, String)> {
    let places = journal.dispositions.iter();
    places
        .map(|place| {
            let end = match &place.disposition {
                Disposition::Filed { mailbox, .. } => mailbox.clone(),
                Disposition::Refused { .. } => "reject".to_owned(),
                Disposition::Discarded { .. } => "discard".to_owned(),
                Disposition::Passed { how } => how.clone(),
                Disposition::Relayed { next_hop, .. } => format!("handed to {next_hop}"),
                Disposition::Quarantined { .. } => "quarantine".to_owned(),
            };
            (place.recipient.to_string(), end)
        })
        .collect()
}

fn line(sample: &Sample, journal: &Journal, ends: &[(String, String)], right: bool) -> String {
    let mark = if right { "ok   " } else { "WRONG" };
    let mut folders: Vec<&str> = ends.iter().map(|(_, end)| end.as_str()).collect();
    folders.dedup();
    let symbols: Vec<String> = journal
        .symbols()
        .map(|symbol| format!("{} {:+.1}", symbol.name, symbol.score))
        .collect();
    format!(
        "{mark}  {:24}  {:>5.1}  {:8}  {:16}  {:>7}  {}",
        sample.name,
        journal.score,
        journal.verdict.name(),
        folders.join(", "),
        super::explain::time(journal.elapsed),
        symbols.join(", ")
    )
}

/// The transaction of a message worth explaining.
async fn last_id(stage: &Stage, samples: &[Sample]) -> String {
    for sample in samples.iter().rev() {
        let Some(id) = message_id(sample) else {
            continue;
        };
        if let Ok(Some(journal)) = stage.app.store().journal(&id).await {
            return journal.id.to_string();
        }
    }
    "ID".to_owned()
}
