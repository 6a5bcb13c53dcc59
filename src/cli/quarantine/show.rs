//! `wasmilter quarantine show`: one message, and all that is known of why it is there.

use super::super::{ConfigFile, explain, terminal};
use crate::app;
use crate::mail::{Aside, Content, Entry, Held};
use crate::store::Quarantine;
use clap::Args;
use jiff::Timestamp;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

/// Octets of header that are shown; a longer one is cut.
const HEADER: usize = 64 * 1024;
/// Octets that are copied at a time.
const PIECE: usize = 256 * 1024;

#[derive(Debug, Args)]
pub struct Show {
    /// The number that `list` shows
    id: u64,
    /// The message as it came in, octet for octet
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    file: ConfigFile,
}

impl Show {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let store = app::existing_store(&self.file.load()?)?;
        let (entry, held, content) = store.held(self.id).await?;
        if self.raw {
            let mut out = std::io::stdout().lock();
            let mut at = 0;
            while at < content.len() {
                let piece = content.read(at, PIECE)?;
                out.write_all(&piece)?;
                at += piece.len() as u64;
            }
            out.flush()?;
        } else {
            let text = text(&entry, &held, &header(&content)?, Timestamp::now());
            print!("{}", terminal::lines(&text));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn header(content: &Content) -> std::io::Result<String> {
    let start = content.read(0, HEADER)?;
    let end = memchr::memmem::find(&start, b"\r\n\r\n").unwrap_or(start.len());
    let header = start.get(..end).unwrap_or_default();
    Ok(String::from_utf8_lossy(header).replace("\r\n", "\n"))
}

fn text(entry: &Entry, held: &Held, header: &str, now: Timestamp) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write_text(&mut out, entry, held, header, now);
    out
}

fn write_text(
    out: &mut String,
    entry: &Entry,
    held: &Held,
    header: &str,
    now: Timestamp,
) -> std::fmt::Result {
    let id = entry.id;
    let how = match entry.aside {
        Aside::Quarantine => "quarantined",
        Aside::Hold => "held",
    };
    let age = terminal::age(now.as_second() - entry.at.as_second());
    let stop = &held.stop;
    writeln!(out, "Message {id}, {how} {age} ago ({:.0})", entry.at)?;
    writeln!(
        out,
        "  by       {} {} at {}",
        stop.filter, stop.version, stop.hook
    )?;
    writeln!(out, "  why      {}", entry.why)?;
    writeln!(out, "  from     <{}>", entry.sender)?;
    for recipient in &entry.recipients {
        writeln!(out, "  to       <{recipient}>")?;
    }
    let client = held.session.client_address.map_or_else(
        || "a local client".to_owned(),
        |address| address.to_string(),
    );
    writeln!(
        out,
        "  client   {client} ({}), {}",
        held.session.helo, held.session.protocol
    )?;
    if let Some(from) = &entry.from {
        writeln!(out, "  author   {from}")?;
    }
    if let Some(subject) = &entry.subject {
        writeln!(out, "  subject  {subject}")?;
    }
    writeln!(
        out,
        "  message  {} octets; transaction {}",
        entry.size, entry.transaction
    )?;
    if held.symbols().next().is_some() {
        writeln!(out, "\nSymbols, score {:.1}", entry.score)?;
        for symbol in held.symbols() {
            writeln!(
                out,
                "  {:>6.1}  {}  {} ({})",
                symbol.score, symbol.name, symbol.reason, symbol.by
            )?;
        }
    }
    writeln!(out, "\nFilters so far")?;
    out.push_str(&explain::turns(&held.turns));
    writeln!(out, "\nHeader as it came in")?;
    for line in header.lines() {
        writeln!(out, "  {line}")?;
    }
    writeln!(
        out,
        "\nwasmilter quarantine release {id}             goes on where the filters stopped it\n\
         wasmilter quarantine release {id} --original  delivers what came in\n\
         wasmilter quarantine release {id} --again     asks all filters in force now\n\
         wasmilter quarantine delete {id}"
    )
}
