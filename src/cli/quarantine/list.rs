//! `wasmilter quarantine list`: two lines a message, as a mailbox shows them, the second one saying why it is there.

use super::super::{ConfigFile, terminal};
use crate::app;
use crate::mail::{Aside, Entry};
use crate::store::{Quarantine, Quarantined};
use clap::Args;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use std::fmt::Write;
use std::process::ExitCode;

#[derive(Debug, Args)]
pub struct List {
    /// As JSON
    #[arg(long)]
    json: bool,
    /// Only those with this word in sender, recipients, subject, reason, filter, Message-ID or transaction; without case
    #[arg(long, value_name = "WORD")]
    search: Option<String>,
    /// Only those for this recipient; a part of the address will do
    #[arg(long, value_name = "ADDRESS")]
    recipient: Option<String>,
    /// Only those set aside since then: `3d`, `12h`, `2026-11-23`
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<Timestamp>,
    #[command(flatten)]
    file: ConfigFile,
}

/// A date, a time, or how long ago.
fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    if let Ok(date) = text.parse::<Date>() {
        let midnight = date.to_zoned(TimeZone::UTC);
        return midnight
            .map(|midnight| midnight.timestamp())
            .map_err(|error| error.to_string());
    }
    let ago = text.parse::<Span>().map(Span::abs);
    let now = Timestamp::now().to_zoned(TimeZone::UTC);
    ago.and_then(|ago| now.checked_sub(ago))
        .map(|at| at.timestamp())
        .map_err(|_| {
            "write how long ago, such as 3d or 12h, or a date, such as 2026-11-23".to_owned()
        })
}

impl List {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let store = app::existing_store(&self.file.load()?)?;
        let Quarantined {
            mut entries,
            unreadable,
        } = store.quarantined().await?;
        for id in &unreadable {
            eprintln!("{id}: cannot be read; `wasmilter quarantine delete {id}` removes it");
        }
        let all = entries.len() + unreadable.len();
        entries.retain(|entry| self.wants(entry));
        if self.json {
            println!("{}", serde_json::to_string_pretty(&entries)?);
        } else if entries.is_empty() {
            match all {
                0 => println!("nothing is in quarantine"),
                _ => println!("none of the {all} messages in quarantine fits"),
            }
        } else {
            print!("{}", table(&entries, Timestamp::now(), terminal::width()));
        }
        Ok(ExitCode::SUCCESS)
    }

    fn wants(&self, entry: &Entry) -> bool {
        let has = |text: &str, word: &str| text.to_lowercase().contains(&word.to_lowercase());
        let recipients = || entry.recipients.iter().map(ToString::to_string);
        let texts = || {
            let fixed = [
                &entry.sender,
                &entry.why,
                &entry.filter,
                entry.from.as_ref().unwrap_or(&entry.sender),
            ];
            fixed
                .into_iter()
                .chain(&entry.subject)
                .chain(&entry.message_id)
                .cloned()
                .chain(recipients())
                .chain([entry.transaction.to_string()])
        };
        self.since.is_none_or(|since| entry.at >= since)
            && self
                .recipient
                .as_ref()
                .is_none_or(|word| recipients().any(|recipient| has(&recipient, word)))
            && self
                .search
                .as_ref()
                .is_none_or(|word| texts().any(|text| has(&text, word)))
    }
}

fn table(entries: &[Entry], now: Timestamp, width: usize) -> String {
    let widest = entries.iter().map(|entry| entry.id.to_string().len()).max();
    let id = widest.unwrap_or(0).max(3);
    let head = id + 15;
    let sender = (width - head) * 2 / 7;
    let to = (width - head) * 2 / 7;
    let subject = width - head - sender - to - 4;
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "{:>id$}  {:>4} {:>6}  {:<sender$}  {:<to$}  SUBJECT",
        "ID", "AGE", "SIZE", "FROM", "TO"
    );
    for entry in entries {
        let from = entry.from.as_deref().unwrap_or(&entry.sender);
        let _ = writeln!(
            out,
            "{:>id$}  {:>4} {:>6}  {}  {}  {}",
            entry.id,
            terminal::age(now.as_second() - entry.at.as_second()),
            terminal::size(entry.size),
            terminal::column(from, sender),
            terminal::column(&recipients(entry, to), to),
            terminal::fit(entry.subject.as_deref().unwrap_or_default(), subject),
        );
        let how = match entry.aside {
            Aside::Quarantine => "",
            Aside::Hold => "held by ",
        };
        let why = format!(
            "{how}{} at {}, score {:.1}: {}",
            entry.filter, entry.hook, entry.score, entry.why
        );
        let _ = writeln!(out, "{:head$}{}", "", terminal::fit(&why, width - head));
    }
    let size = entries.iter().map(|entry| entry.size).sum();
    let messages = match entries.len() {
        1 => "1 message".to_owned(),
        count => format!("{count} messages"),
    };
    let _ = writeln!(out, "{messages}, {}", terminal::size(size));
    out
}

/// The first one, with the number of the others always in sight.
fn recipients(entry: &Entry, columns: usize) -> String {
    let first = entry.recipients.first().map(ToString::to_string);
    let first = first.unwrap_or_default();
    match entry.recipients.len() {
        0 | 1 => first,
        count => {
            let more = format!(" +{}", count - 1);
            let room = columns.saturating_sub(more.len());
            format!("{}{more}", terminal::fit(&first, room))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::{Address, Hook, TransactionId};

    fn entry(id: u64, why: &str) -> Entry {
        Entry {
            id,
            transaction: TransactionId::new(id, id),
            at: "2026-11-23T05:06:07Z".parse().unwrap(),
            aside: Aside::Quarantine,
            filter: "spam-score".into(),
            hook: Hook::Message,
            why: why.into(),
            sender: "winner@lottery.example".into(),
            recipients: vec![
                Address::parse("alice@example.test").unwrap(),
                Address::parse("bob@example.test").unwrap(),
            ],
            from: Some("The Winners' Office <winner@lottery.example>".into()),
            subject: Some("You have won \u{1f389} a very large sum of money indeed".into()),
            message_id: None,
            size: 12_000,
            score: 7.5,
        }
    }

    #[test]
    fn a_listing_fits_its_columns() {
        let now = "2026-11-23T08:06:07Z".parse().unwrap();
        let hostile = entry(7, "\x1b[2J\x1b]0;owned\x07 forged\r\n  9  0s");
        let shown = table(&[entry(1234, "a lottery"), hostile], now, 100);
        insta::assert_snapshot!(shown);
        for width in [80, 100, 160] {
            let shown = table(&[entry(1, &"long ".repeat(60))], now, width);
            assert!(
                shown.lines().all(|line| line.chars().count() <= width),
                "{shown}"
            );
        }
    }

    #[test]
    fn since_is_a_time_or_how_long_ago() {
        for good in ["3d", "12h", "1w", "2026-11-23", "2026-11-23T05:06:07Z"] {
            assert!(since(good).is_ok(), "{good}");
        }
        for bad in ["", "soon", "12", "2026-13-01"] {
            assert!(since(bad).is_err(), "{bad}");
        }
    }
}
