//! The server is killed under load: what it acknowledged is there afterwards, whole.

use crate::support::process::{Process, Sender};
use crate::support::{self, ALICE};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use wasmilter::app;
use wasmilter::config::Config;
use wasmilter::mail::{Address, Disposition};
use wasmilter::store::{MailboxName, Store};

const SENDERS: usize = 8;
/// Kills in one run of the test; WASMILTER_KILLS asks for another number.
const KILLS: usize = 3;

fn message(id: &str) -> String {
    // Some are small and go into the index, some are large and go into a file of their own.
    let lines = if id.ends_with('0') { 4_000 } else { 40 };
    let line = "All that was acknowledged must be there afterwards.\r\n";
    format!(
        "Message-ID: <{id}>\r\nSubject: {id}\r\n\r\n{}end of {id}",
        line.repeat(lines)
    )
}

/// Sends from several connections until the server is gone; the ids of what it acknowledged.
fn load(server: Process, round: usize) -> Vec<String> {
    let acknowledged = Arc::new(Mutex::new(Vec::new()));
    let count = Arc::new(AtomicUsize::new(0));
    let address = server.address("smtp");
    let senders: Vec<_> = (0..SENDERS)
        .map(|sender| {
            let acknowledged = Arc::clone(&acknowledged);
            let count = Arc::clone(&count);
            std::thread::spawn(move || {
                let Ok(mut client) = Sender::connect(address) else {
                    return;
                };
                for number in 0.. {
                    let id = format!("{round}.{sender}.{number}");
                    match client.send(ALICE, &message(&id)) {
                        Ok(250) => acknowledged.lock().unwrap().push(id),
                        Ok(code) => panic!("{code}"),
                        Err(_) => return,
                    }
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    // In the middle of it, at another point each round.
    while count.load(Ordering::Relaxed) < 40 + 37 * (round % 5) {
        std::thread::yield_now();
    }
    server.kill();
    for sender in senders {
        sender.join().unwrap();
    }
    Arc::into_inner(acknowledged).unwrap().into_inner().unwrap()
}

async fn find(home: &Path, config: &Config, id: &str) {
    let store = app::open_store(config).unwrap();
    let account = store
        .account(&Address::parse(ALICE).unwrap())
        .await
        .unwrap()
        .unwrap();
    let inbox = store
        .mailbox(account.id, &MailboxName::inbox())
        .await
        .unwrap();
    let journal = store.journal(id).await.unwrap();
    let journal =
        journal.unwrap_or_else(|| panic!("{id} was acknowledged and is lost ({})", home.display()));
    let Disposition::Filed { uid, .. } = journal.dispositions[0].disposition else {
        panic!("{id} was not filed");
    };
    let content = store.content(inbox.id, uid).await.unwrap().bytes().unwrap();
    let expected = format!("{}\r\n", message(id));
    assert!(
        content.ends_with(expected.as_bytes()),
        "{id} is not what was sent"
    );
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_by_sigkill() {
    let home = tempfile::tempdir().unwrap();
    let config = support::config(home.path(), "");
    support::accounts(&config).await;
    let kills = std::env::var("WASMILTER_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let mut acknowledged = Vec::new();
    for round in 0..kills {
        let server = Process::serve(&home.path().join("wasmilter.toml"), 3);
        acknowledged.extend(load(server, round));
    }
    assert!(acknowledged.len() >= 40 * kills);
    // It starts again by itself and serves.
    let server = Process::serve(&home.path().join("wasmilter.toml"), 3);
    for id in &acknowledged {
        find(home.path(), &config, id).await;
    }
    let mut sender = Sender::connect(server.address("smtp")).unwrap();
    assert_eq!(sender.send(ALICE, &message("after")).unwrap(), 250);
    assert!(server.terminate().success());
    eprintln!(
        "{} messages acknowledged, {kills} kills, none lost",
        acknowledged.len()
    );
}

#[tokio::test]
async fn sigterm_ends_what_is_in_flight_first() {
    let home = tempfile::tempdir().unwrap();
    let config = support::config(home.path(), "");
    support::accounts(&config).await;
    let server = Process::serve(&home.path().join("wasmilter.toml"), 3);
    let mut sender = Sender::connect(server.address("smtp")).unwrap();
    assert_eq!(sender.command("MAIL FROM:<a@client.example>").unwrap(), 250);
    assert_eq!(sender.command(&format!("RCPT TO:<{ALICE}>")).unwrap(), 250);
    assert_eq!(sender.command("DATA").unwrap(), 354);
    let ending = std::thread::spawn(move || server.terminate());
    assert_eq!(
        sender
            .command(&format!("{}\r\n.", message("last")))
            .unwrap(),
        250
    );
    assert!(ending.join().unwrap().success());
    find(home.path(), &config, "last").await;
}
