//! A plugin is replaced while mail flows: was any message lost, or treated by half of each version?

use super::client::Client;
use super::samples;
use super::stage::Stage;
use crate::mail::{Edit, HeaderEdit, Journal};
use crate::plugin::embedded::EmbeddedPlugin;
use crate::store::Store;
use anyhow::Context;
use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const PLUGIN: &str = "rewrite";
const SENDERS: usize = 4;
/// Messages that each sender still sends once the new version is in force.
const AFTER: usize = 50;
const PATIENCE: Duration = Duration::from_secs(60);

/// What the two editions of the plugin did to the messages sent meanwhile.
#[derive(Debug, Default)]
pub struct Swap {
    acknowledged: usize,
    refused: usize,
    lost: usize,
    by_first: usize,
    by_second: usize,
    by_neither: usize,
    mixed: usize,
    generations: (u64, u64),
}

impl Swap {
    pub fn is_right(&self) -> bool {
        let bad = self.refused + self.lost + self.by_neither + self.mixed;
        bad == 0 && self.by_first > 0 && self.by_second > 0
    }
}

impl fmt::Display for Swap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Replaced plugin {PLUGIN} in the watched directory while mail was flowing (generation {} to {}):\n  \
             {} messages acknowledged, {} treated by edition 1, {} by edition 2 of the plugin;\n  \
             {} lost, {} refused, {} treated by half of each, {} by neither",
            self.generations.0,
            self.generations.1,
            self.acknowledged,
            self.by_first,
            self.by_second,
            self.lost,
            self.refused,
            self.mixed,
            self.by_neither
        )
    }
}

pub async fn run(stage: &Stage) -> anyhow::Result<Swap> {
    let plugin = EmbeddedPlugin::named(PLUGIN).context("the rewrite plugin is not embedded")?;
    let mut generation = stage.app.generations();
    let mut swap = Swap::default();
    replace(plugin, 1, &stage.plugins)?;
    swap.generations.0 = next(&mut generation).await?;

    let done = Arc::new(AtomicBool::new(false));
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..SENDERS {
        senders.spawn(send(stage.smtp, Arc::clone(&done)));
    }
    // Some are on their way before it changes.
    tokio::time::sleep(Duration::from_millis(300)).await;
    replace(plugin, 2, &stage.plugins)?;
    swap.generations.1 = next(&mut generation).await?;
    done.store(true, Ordering::Relaxed);

    let mut ids = Vec::new();
    while let Some(sent) = senders.join_next().await {
        let (acknowledged, refused) = sent??;
        swap.refused += refused;
        ids.extend(acknowledged);
    }
    swap.acknowledged = ids.len();
    for id in ids {
        match stage.app.store().journal(&id).await? {
            None => swap.lost += 1,
            Some(journal) => match editions(&journal).as_slice() {
                [a, b] if a == b && a == "1" => swap.by_first += 1,
                [a, b] if a == b && a == "2" => swap.by_second += 1,
                [] => swap.by_neither += 1,
                _ => swap.mixed += 1,
            },
        }
    }
    Ok(swap)
}

/// Puts an edition of the plugin in the directory: another file by its digest, with rules of its own. Each edition marks the start and the
/// end of what it does.
fn replace(plugin: &EmbeddedPlugin, edition: u32, directory: &Path) -> anyhow::Result<()> {
    let directory = directory.join(plugin.name);
    let mut wasm = plugin.bytes.to_vec();
    // A custom section (core specification §5.5.3): name and content, no effect on the code.
    wasm.extend_from_slice(&[0, 9, 7]);
    wasm.extend_from_slice(b"edition");
    wasm.push(u8::try_from(edition)?);
    let manifest = format!(
        r#"version = "edition-{edition}"
order = 20

[capabilities]
unused = ["body", "body-edit"]

[config]
rules = [
    {{ add = {{ "X-Edition-First" = "{edition}" }} }},
    {{ add = {{ "X-Edition-Last" = "{edition}" }} }},
]
"#
    );
    for (name, octets) in [
        (format!("{}.wasm", plugin.name), wasm.as_slice()),
        ("plugin.toml".to_owned(), manifest.as_bytes()),
    ] {
        let new = directory.join(format!(".{name}.new"));
        fs::write(&new, octets)?;
        fs::rename(&new, directory.join(name))?;
    }
    Ok(())
}

async fn next(generation: &mut tokio::sync::watch::Receiver<u64>) -> anyhow::Result<u64> {
    tokio::time::timeout(PATIENCE, generation.changed())
        .await
        .context("the new version of the plugin was not taken up within a minute")??;
    Ok(*generation.borrow_and_update())
}

/// Sends messages until told that it is done, then some more; the ids of those acknowledged and the number refused.
async fn send(
    smtp: std::net::SocketAddr,
    done: Arc<AtomicBool>,
) -> anyhow::Result<(Vec<String>, usize)> {
    let samples = samples::all()?;
    let sample = samples.first().context("no sample")?;
    let mut client = Client::connect(smtp).await?;
    let (mut acknowledged, mut refused, mut after) = (Vec::new(), 0, 0);
    while after < AFTER {
        if done.load(Ordering::Relaxed) {
            after += 1;
        }
        let answer = client
            .send(&sample.sender, &sample.recipients, sample.octets)
            .await?;
        match super::transaction_of(&answer.text) {
            Some(id) if answer.code == 250 => acknowledged.push(id.to_owned()),
            _ => refused += 1,
        }
    }
    Ok((acknowledged, refused))
}

/// The marks that the plugin left, in order.
fn editions(journal: &Journal) -> Vec<String> {
    let edits = journal.counted().flat_map(|turn| &turn.edits);
    edits
        .filter_map(|scoped| match &scoped.edit {
            Edit::Header(HeaderEdit::Add { name, value })
                if name.as_str().starts_with("X-Edition-") =>
            {
                Some(value.text().into_owned())
            }
            _ => None,
        })
        .collect()
}
