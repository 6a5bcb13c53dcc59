//! `wasmilter plugin`: what is loaded, installing the first-party ones, running one on a message.

use super::ConfigFile;
use super::explain;
use crate::app;
use crate::mail::{Address, Content, Recipient, ReversePath, Turn};
use crate::plugin::embedded::{self, EmbeddedPlugin};
use crate::plugin::{self, Input, PluginState, PluginStatus, StatusFile, run_file};
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub enum Plugin {
    /// List what a running server has loaded, and why other files were kept out
    List(List),
    /// Put first-party plugins into the plugin directory; a running server takes them up at once
    Install(Install),
    /// Run one plugin on one message, without a server, and show what it does
    Run(Run),
}

#[derive(Debug, Args)]
pub struct List {
    /// As JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: ConfigFile,
}

#[derive(Debug, Args)]
pub struct Install {
    /// Which: spam-score, rewrite, folders
    #[arg(required = true, value_parser = embedded)]
    names: Vec<&'static EmbeddedPlugin>,
    /// Replace those that are there, their plugin.toml too
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    file: ConfigFile,
}

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

fn embedded(name: &str) -> Result<&'static EmbeddedPlugin, String> {
    EmbeddedPlugin::named(name).ok_or_else(|| {
        let names: Vec<_> = embedded::EMBEDDED
            .iter()
            .map(|plugin| plugin.name)
            .collect();
        format!(
            "there is no such first-party plugin; there are {}",
            names.join(", ")
        )
    })
}

fn sender(text: &str) -> Result<ReversePath, String> {
    ReversePath::try_from(text.to_owned()).map_err(|error| error.to_string())
}

fn recipient(text: &str) -> Result<Address, String> {
    Address::parse(text).map_err(|error| error.to_string())
}

impl Plugin {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(list) => list.run(),
            Self::Install(install) => install.run(),
            Self::Run(run) => run.run().await,
        }
    }
}

impl List {
    fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.file.load()?;
        let path = config.data_dir.join(app::PLUGIN_STATUS);
        let status = StatusFile::read(&path).with_context(|| {
            format!("no server has loaded plugins here yet ({})", path.display())
        })?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&status)?);
            return Ok(ExitCode::SUCCESS);
        }
        println!("generation {}", status.generation);
        for plugin in &status.plugins {
            print!("{}", describe(plugin));
        }
        if let Some(problem) = status.problem {
            println!("problem: {problem}");
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn describe(plugin: &PluginStatus) -> String {
    let state = match &plugin.state {
        PluginState::Active => "active".to_owned(),
        PluginState::KeptOut(why) => format!("KEPT OUT: {why}"),
        PluginState::Previous(why) => {
            format!("active, but what lies there now is KEPT OUT: {why}")
        }
    };
    let version = plugin.version.as_deref().unwrap_or("-");
    let mut out = format!("{} {version}  {state}\n", plugin.name);
    if !plugin.hooks.is_empty() {
        let hooks: Vec<_> = plugin.hooks.iter().map(|hook| hook.name()).collect();
        out.push_str(&format!(
            "    order {}, hooks {}, can use {}\n",
            plugin.order.unwrap_or_default(),
            hooks.join(" "),
            plugin.abilities.join(" ")
        ));
    }
    if let (Some(digest), Some(size)) = (&plugin.digest, plugin.size) {
        out.push_str(&format!("    {} KiB, sha256 {digest}\n", size / 1024));
    }
    if let Some(why) = &plugin.no_start_image {
        out.push_str(&format!("    on-load runs for each message: {why}\n"));
    }
    out
}

impl Install {
    fn run(self) -> anyhow::Result<ExitCode> {
        let config = self.file.load()?;
        let Some(directory) = config.plugins.directory else {
            bail!(
                "{} names no plugin directory; add\n[plugins]\ndirectory = \"plugins\"",
                config.source.path.display()
            );
        };
        for plugin in self.names {
            let target = directory.join(plugin.name);
            if target.exists() && !self.force {
                bail!(
                    "{} is there already; --force replaces it and its plugin.toml",
                    target.display()
                );
            }
            plugin
                .write_to(&directory)
                .with_context(|| format!("writing {}", target.display()))?;
            println!("installed {}", target.display());
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Run {
    async fn run(self) -> anyhow::Result<ExitCode> {
        let mut input = Input::from_message(message(&self.message)?)?;
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

/// With CRLF line ends, as a message has when it comes by SMTP.
fn message(path: &Path) -> anyhow::Result<Content> {
    let octets = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    let mut out = Vec::with_capacity(octets.len());
    for line in octets.split_inclusive(|octet| *octet == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        out.extend_from_slice(text);
        out.extend_from_slice(b"\r\n");
    }
    Ok(Content::from_bytes(out))
}
