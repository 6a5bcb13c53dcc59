//! `wasmilter restored`: said once of a data directory that comes from a backup.

use crate::app;
use crate::config::Config;
use std::process::ExitCode;

pub async fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let store = app::idle_store(config)?;
    store.renew_uid_validity().await?;
    println!(
        "all mailboxes in {} have a new UIDVALIDITY: mail clients fetch their mail anew",
        config.data_dir.display()
    );
    Ok(ExitCode::SUCCESS)
}
