//! `wasmilter plugin`: one file for each of its commands.

#![deny(clippy::print_stdout)]

/// As `print!`. What is said of a plugin is its own words and those of mail: nothing in them controls the terminal.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::cli::terminal::print(&format!($($text)*))
    };
}

/// As `println!`.
macro_rules! sayln {
    () => {
        $crate::cli::terminal::print("\n")
    };
    ($($text:tt)*) => {
        $crate::cli::terminal::print(&(format!($($text)*) + "\n"))
    };
}

mod bench;
mod build;
mod check;
mod diff;
mod grant;
mod hold;
mod inspect;
mod install;
mod list;
mod new;
mod replay;
mod run;
mod since;
mod status;
mod summary;
mod test;

use crate::mail::Mode;
use crate::plugin::{PluginState, PluginStatus};
use clap::Subcommand;
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub enum Plugin {
    /// List what a running server has loaded, and why other files were kept out
    List(list::List),
    /// Say how the plugins of a running server fare: breaker, calls, failures, times, versions that it can go back to
    Status(status::Status),
    /// Have a running server look at its plugin directory now
    Reload(hold::Reload),
    /// Go back to the version of a plugin that was in force before, and hold it there
    Rollback(hold::Rollback),
    /// Hold a plugin to a version, whatever lies in the plugin directory
    Pin(hold::PinTo),
    /// Let a plugin be what lies in the plugin directory again
    Unpin(hold::Unpin),
    /// Compare a shadow or canary with the active version, by the journals
    Diff(diff::Diff),
    /// Put plugins into the plugin directory; a running server takes them up at once
    Install(install::Install),
    /// Grant a plugin of the directory what it asks for; a running server puts it into force at once
    Grant(grant::Grant),
    /// Make a folder with a filter that builds, passes its cases and can be loaded as it is
    New(new::New),
    /// Compile a plugin's folder to a component beside its plugin.toml, and check it
    Build(build::Build),
    /// Say what a component asks for and offers; nothing of it is run
    Inspect(inspect::Inspect),
    /// Say whether a server would load it, and what to change if not
    Check(check::Check),
    /// Run a plugin's cases: messages, each with what is expected to come of it
    Test(test::Test),
    /// Run a plugin on messages, without a server, and show what it does
    Run(run::Run),
    /// Show what another version of a plugin would have done to the messages in the journal
    Replay(replay::Replay),
    /// Measure what a plugin costs on a message: making an instance, and each hook
    Bench(bench::Bench),
}

impl Plugin {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::List(list) => list.run(),
            Self::Status(status) => status.run().await,
            Self::Reload(reload) => reload.run().await,
            Self::Rollback(rollback) => rollback.run().await,
            Self::Pin(pin) => pin.run().await,
            Self::Unpin(unpin) => unpin.run().await,
            Self::Diff(diff) => diff.run().await,
            Self::Install(install) => install.run(),
            Self::Grant(grant) => grant.run(),
            Self::New(new) => new.run(),
            Self::Build(build) => build.run().await,
            Self::Inspect(inspect) => inspect.run(),
            Self::Check(check) => check.run().await,
            Self::Test(test) => test.run().await,
            Self::Run(run) => run.run().await,
            Self::Replay(replay) => replay.run().await,
            Self::Bench(bench) => bench.run().await,
        }
    }
}

fn describe(plugin: &PluginStatus) -> String {
    let state = match &plugin.state {
        PluginState::Active => match plugin.mode {
            Mode::Active => "active".to_owned(),
            Mode::Shadow => "shadow".to_owned(),
            Mode::Canary => "canary".to_owned(),
        },
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
            plugin.capabilities.join(", ")
        ));
    }
    if let (Some(digest), Some(size)) = (&plugin.digest, plugin.size) {
        out.push_str(&format!("    {} KiB, sha256 {digest}\n", size / 1024));
    }
    if let Some(why) = &plugin.pinned {
        out.push_str(&format!("    pinned: {why}\n"));
    }
    if let Some(why) = &plugin.no_start_image {
        out.push_str(&format!("    on-load runs for each message: {why}\n"));
    }
    out
}
