//! `wasmilter plugin replay`: what another version of a plugin would have done to the messages in the journal.

use super::super::ConfigFile;
use super::since;
use crate::app;
use crate::cli::progress::Progress;
use crate::cli::terminal;
use crate::config::Config;
use crate::kit::{self, Originals, Stage, Table};
use crate::mail::{Clock, SystemClock};
use crate::plugin::{self, Loaded};
use anyhow::{Context, anyhow, bail};
use clap::Args;
use jiff::SignedDuration;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Journals in memory at a time.
const AT_A_TIME: u32 = 200;
/// Changes that are printed.
const LINES: usize = 40;
/// What replaying ends with if something would change, as diff(1) has a status for that.
const CHANGES: u8 = 3;

#[derive(Debug, Args)]
#[command(
    after_help = "Ends with status 0 if nothing would change, 3 if something would, 1 if it did not work or the version fails where the other had not."
)]
pub struct Replay {
    /// NAME@VERSION, beside it in the plugin directory or once in force (its version or the first digits of its digest); NAME, as it lies in the
    /// plugin directory; or a component or a plugin's folder
    #[arg(value_name = "NAME[@VERSION]|FILE.wasm|DIR")]
    plugin: String,
    /// The plugin of the journal that it is compared with; default: the one of its name
    #[arg(long, value_name = "NAME")]
    against: Option<String>,
    /// How far back: 90s, 30m, 12h, 7d
    #[arg(long, default_value = "7d", value_parser = since::age)]
    since: SignedDuration,
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: ConfigFile,
}

impl Replay {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.file.load()?;
        let stage = Stage::default();
        let loaded = self.load(&config, &stage).await?;
        let name = loaded.plugin.name.clone();
        let version = loaded.plugin.version.clone().unwrap_or_default();
        let against = self.against.clone().unwrap_or_else(|| name.clone());
        let replay = kit::Replay::new(loaded.filter, stage, against.clone(), config.policy);
        let table = self.table(&config, &replay).await?;
        if self.json {
            terminal::print_json(&table)?;
        } else if table.transactions == 0 {
            bail!("the journal has no transaction of that time");
        } else {
            sayln!("{name} {version} in the place of {against}");
            say!("{}", text(&table));
        }
        if table.failed > 0 || table.replayed == 0 {
            return Ok(ExitCode::FAILURE);
        }
        Ok(match table.changes.is_empty() {
            true => ExitCode::SUCCESS,
            false => ExitCode::from(CHANGES),
        })
    }

    async fn load(&self, config: &Config, stage: &Stage) -> anyhow::Result<Loaded> {
        let (name, path) = self.find(config)?;
        let settings = plugin::Config {
            limits: config.plugins.limits,
            services: stage.services(),
            // One at a time is replayed.
            instances: 16,
            ..plugin::Config::new(".")
        };
        let loaded = match name {
            Some(name) => plugin::load_as(&settings, &name, &path).await,
            None => plugin::load_path(&settings, &path).await,
        };
        loaded.with_context(|| format!("{} cannot be tried", self.plugin))
    }

    /// Where the version lies, and its name where the place does not say it.
    fn find(&self, config: &Config) -> anyhow::Result<(Option<String>, PathBuf)> {
        let path = Path::new(&self.plugin);
        let is_path = self.plugin.contains('/')
            || path
                .extension()
                .is_some_and(|extension| extension == "wasm");
        if is_path || path.is_dir() && path.join("plugin.toml").is_file() {
            if !path.exists() {
                bail!("there is no {}", path.display());
            }
            return Ok((None, path.to_owned()));
        }
        if let Some(directory) = &config.plugins.directory {
            let folder = directory.join(&self.plugin);
            let file = directory.join(format!("{}.wasm", self.plugin));
            if let Some(there) = [folder, file].into_iter().find(|path| path.exists()) {
                return Ok((None, there));
            }
        }
        match self.plugin.split_once('@') {
            Some((name, version)) => {
                let state = app::plugin_state(config);
                let wasm = plugin::former(&state, name, version).map_err(|why| anyhow!(why))?;
                Ok((Some(name.to_owned()), wasm))
            }
            None => bail!(
                "{0} is not in the plugin directory; name a version of it that was in force ({0}@VERSION, `wasmilter plugin status {0}` has them) or a file",
                self.plugin
            ),
        }
    }

    async fn table(&self, config: &Config, replay: &kit::Replay) -> anyhow::Result<Table> {
        let store = app::existing_store(config)?;
        let begin = since::time(self.since)?;
        let originals = {
            let _shown = Progress::waiting("looking for the messages that are still there");
            Originals::since(&store, begin).await?
        };
        let millis = |time: jiff::Timestamp| time.as_millisecond();
        let whole = millis(SystemClock.now()).saturating_sub(millis(begin));
        let progress = Progress::of(u64::try_from(whole).unwrap_or_default());
        let mut last = since::first(begin).as_str().to_owned();
        let mut table = Table::default();
        loop {
            let journals = store.journals_after(&last, AT_A_TIME).await?;
            let Some(end) = journals.last() else {
                return Ok(table.end());
            };
            last = end.id.as_str().to_owned();
            for journal in &journals {
                let at = journal.at.parse::<jiff::Timestamp>().map(millis);
                let done = at.unwrap_or_default().saturating_sub(millis(begin));
                progress.at(u64::try_from(done).unwrap_or_default(), || {
                    format!("{} transactions", table.transactions)
                });
                table.add(replay, &originals, &store, journal).await?;
            }
        }
    }
}

fn text(table: &Table) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "{} transactions, {} replayed: {} would be the same, {} not",
        table.transactions,
        table.replayed,
        table.same,
        table.replayed.saturating_sub(table.same)
    );
    let gone: u64 = table.gone.values().sum();
    if gone > 0 {
        let whys = table.gone.iter();
        let whys: Vec<_> = whys.map(|(why, count)| format!("{count} {why}")).collect();
        let _ = writeln!(
            out,
            "{gone} not replayed, for the message is not kept here any more: {}",
            whys.join(", ")
        );
    }
    if table.releases > 0 {
        let _ = writeln!(
            out,
            "{} not replayed, for they only go on with a message of the quarantine",
            table.releases
        );
    }
    if table.failed > 0 {
        let _ = writeln!(
            out,
            "{} in which it FAILS and the other had not",
            table.failed
        );
    }
    if table.unanswered > 0 {
        let _ = writeln!(
            out,
            "{} in which it asks DNS, HTTP or kv for what the journal does not have; that failed or was empty, and may be why they differ",
            table.unanswered
        );
    }
    for change in table.changes.iter().take(LINES) {
        let _ = writeln!(
            out,
            "{:>7}  {}: {} -> {}  (such as {})",
            change.count,
            change.what,
            change.was,
            change.would_be,
            change.samples.join(" ")
        );
    }
    if table.changes.len() > LINES {
        let _ = writeln!(
            out,
            "{} more kinds of change; --json has all",
            table.changes.len() - LINES
        );
    }
    out
}
