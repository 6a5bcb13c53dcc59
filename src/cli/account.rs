//! `wasmilter account`: who has mail here. Works beside a running server.

use super::ConfigFile;
use crate::app;
use crate::auth;
use crate::mail::{Address, domain_in_unicode};
use crate::store::Store;
use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use std::io::{BufRead, IsTerminal};
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub enum Account {
    /// Add an account; its password is read from standard input, one line
    Add(One),
    /// List the accounts
    List(ConfigFile),
    /// Change a password; the new one is read from standard input, one line
    Passwd(One),
    /// Remove an account with all its mail
    Remove(One),
}

#[derive(Debug, Args)]
pub struct One {
    /// The full mail address; it is the login too
    #[arg(value_parser = address)]
    address: Address,
    #[command(flatten)]
    file: ConfigFile,
}

fn address(text: &str) -> Result<Address, String> {
    Address::parse(text)
        .map(|address| address.in_unicode().into_owned())
        .map_err(|error| format!("{error}; write it as alice@example.test"))
}

impl Account {
    pub async fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Add(one) => {
                let config = one.file.load()?;
                let domain = one.address.domain();
                let mut ours = config.domains.iter();
                if !ours.any(|ours| domain_in_unicode(ours) == domain) {
                    bail!(
                        "mail for {domain} is not delivered here; add it to `domains` in {} first",
                        config.source.path.display()
                    );
                }
                let hash = auth::hash(&password()?)?;
                let store = app::open_store(&config)?;
                store.add_account(&one.address, &hash).await?;
                println!("added {}", one.address);
            }
            Self::List(file) => {
                let store = app::existing_store(&file.load()?)?;
                for account in store.accounts().await? {
                    println!("{}", account.login);
                }
            }
            Self::Passwd(one) => {
                let store = app::existing_store(&one.file.load()?)?;
                let hash = auth::hash(&password()?)?;
                store.set_password(&one.address, &hash).await?;
                println!("changed the password of {}", one.address);
            }
            Self::Remove(one) => {
                let store = app::existing_store(&one.file.load()?)?;
                store.remove_account(&one.address).await?;
                println!("removed {} and its mail", one.address);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn password() -> anyhow::Result<String> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        eprint!("Password (it will be seen): ");
    }
    let mut line = String::new();
    stdin
        .lock()
        .read_line(&mut line)
        .context("the password could not be read from standard input")?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        bail!(
            "no password on standard input; give one line, such as: echo secret | wasmilter account add …"
        );
    }
    Ok(password.to_owned())
}
