//! `wasmilter plugin run`: one plugin on a message, or on many, without a server.

use super::describe;
use super::summary::Summary;
use crate::cli::explain;
use crate::cli::progress::Progress;
use crate::kit::{self, Done, Play};
use crate::mail::{Address, Content, Recipient, ReversePath};
use crate::plugin::{self, Input, Loaded, load_path};
use anyhow::{Context, bail};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

#[derive(Debug, Args)]
pub struct Run {
    /// The plugin; a plugin.toml beside it counts
    plugin: PathBuf,
    /// Files with a message (line ends may be LF), mboxes, maildirs, folders of messages; for more than one message, a summary
    #[arg(required = true)]
    messages: Vec<PathBuf>,
    /// The reverse-path of the envelope; default: Return-Path or From
    #[arg(long, value_parser = sender)]
    from: Option<ReversePath>,
    /// A recipient of the envelope, more than once for more; default: Delivered-To, To and Cc
    #[arg(long, value_parser = recipient)]
    to: Vec<Address>,
    /// The message as the plugin left it, in place of the report; for one message only
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
        let mut messages = kit::Messages::of(&self.messages)?;
        let Some(first) = messages.next() else {
            bail!("there is no message in what was named");
        };
        let first = first?;
        let plugin = load_path(&plugin::Config::new("."), &self.plugin).await?;
        match messages.next() {
            None => self.one(&plugin, first.1).await,
            Some(_) if self.rendered => bail!("--rendered is for one message"),
            Some(second) => self.many(&plugin, [Ok(first), second], messages).await,
        }
    }

    async fn play(&self, plugin: &Loaded, message: Content) -> anyhow::Result<Done> {
        let mut input = Input::from_message(message)?;
        if let Some(sender) = &self.from {
            input.envelope.sender = sender.clone();
        }
        if !self.to.is_empty() {
            input.envelope.recipients = self.to.iter().cloned().map(Recipient::from).collect();
        }
        let filters = [Arc::clone(&plugin.filter)];
        Ok(kit::play(&filters, Play::from(input)).await?)
    }

    async fn one(&self, plugin: &Loaded, message: Content) -> anyhow::Result<ExitCode> {
        let done = self.play(plugin, message).await?;
        if self.rendered {
            use std::io::Write;
            std::io::stdout().write_all(&done.draft.message().render()?.bytes()?)?;
            return Ok(ExitCode::SUCCESS);
        }
        say!("{}", describe(&plugin.plugin));
        let body = kit::body_diff(done.draft.message())?;
        let turns: Vec<_> = done.turns().cloned().collect();
        let failed = turns.iter().any(|turn| turn.result.is_err());
        say!("\n{}", explain::turns(&turns));
        if !body.is_empty() {
            sayln!("\nBody, received (-) and as the plugin left it for everybody (+)");
            say!("{body}");
        }
        Ok(status(failed))
    }

    async fn many(
        &self,
        plugin: &Loaded,
        before: [std::io::Result<(String, Content)>; 2],
        mut messages: kit::Messages,
    ) -> anyhow::Result<ExitCode> {
        let progress = Progress::of(messages.octets());
        let mut summary = Summary::default();
        let mut before = before.into_iter();
        while let Some(message) = before.next().or_else(|| messages.next()) {
            let (name, content) = message?;
            let done = self.play(plugin, content).await;
            if let Some(line) = summary.count(&name, &done.with_context(|| name.clone())?) {
                progress.print(&line);
            }
            progress.at(messages.done(), || summary.progress());
        }
        drop(progress);
        say!("{}", summary.text());
        Ok(status(summary.failed() > 0))
    }
}

fn status(failed: bool) -> ExitCode {
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
