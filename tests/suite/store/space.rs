//! What removed mail leaves in the index, where the disk has little room.

use super::{address, delivery, flags, journal, name};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use wasmilter::mail::Journal;
use wasmilter::net::Peer;
use wasmilter::net::guard::{self, Guard, Resources, Room};
use wasmilter::store::{Config, FlagChange, FlagOp, SqliteStore, Store};

const MIB: u64 = 1 << 20;

/// A disk on which there is always as much free.
struct Disk {
    free: Arc<AtomicU64>,
    store: Arc<SqliteStore>,
}

impl Resources for Disk {
    fn resident(&self) -> Option<u64> {
        None
    }

    fn free(&self) -> Option<u64> {
        Some(self.free.load(Relaxed))
    }

    fn reclaim(&self) -> u64 {
        self.store.reclaim()
    }
}

fn log_size(directory: &Path) -> u64 {
    let log = std::fs::metadata(directory.join("index.sqlite-wal"));
    log.unwrap().len()
}

#[tokio::test]
async fn removed_mail_makes_room_for_new_on_a_disk_that_stays_short() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open_exclusive(Config::new(directory.path())).unwrap();
    let store = Arc::new(store);
    let free = Arc::new(AtomicU64::new(4 * MIB));
    let disk = Disk {
        free: free.clone(),
        store: store.clone(),
    };
    let limits = guard::Config {
        room: Room {
            memory: 0,
            disk_free: 4 * MIB,
        },
        ..guard::Config::default()
    };
    let seconds = AtomicU64::new(0);
    let ticks = move || Duration::from_secs(seconds.fetch_add(1, Relaxed));
    let guard = Guard::with_ticks(limits, Some(Box::new(disk)), Arc::new(ticks));
    let ticket = Arc::new(guard).connect(Peer::Unix).unwrap();

    let login = address("alice@example.test");
    let alice = store.add_account(&login, "x").await.unwrap();
    let text = "x".repeat(20_000);
    for number in 0..400 {
        assert!(ticket.mail().is_ok());
        let delivery = delivery(number, alice, "INBOX", &text);
        store.deliver(delivery).await.unwrap();
    }
    assert!(log_size(directory.path()) > 4 * MIB);
    free.store(2 * MIB, Relaxed);
    assert_eq!(ticket.mail().unwrap_err().code, 452);
    // It takes no room from then on.
    while log_size(directory.path()) > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(!ticket.has_disk());

    let inbox = store.mailbox(alice, &name("INBOX")).await.unwrap().id;
    let deleted = FlagChange {
        op: FlagOp::Add,
        flags: flags("\\Deleted"),
        unchanged_since: None,
    };
    let uids: Vec<_> = (1..=400).collect();
    store.store_flags(inbox, &uids, deleted).await.unwrap();
    store.expunge(inbox, None).await.unwrap();
    assert!(ticket.mail().is_ok() && ticket.has_disk());
    // What is written goes through a log, so the disk itself must have some.
    free.store(MIB - 1, Relaxed);
    assert_eq!(ticket.mail().unwrap_err().code, 452);

    free.store(2 * MIB, Relaxed);
    let mut taken = 0;
    while ticket.mail().is_ok() {
        let delivery = delivery(1000 + taken, alice, "INBOX", &text);
        store.deliver(delivery).await.unwrap();
        taken += 1;
    }
    assert!((200..400).contains(&taken), "{taken}");
}

#[tokio::test]
async fn a_few_long_rows_do_not_stay_in_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open_exclusive(Config::new(directory.path())).unwrap();
    let subject = "x".repeat(2 << 20);
    for number in 0..100 {
        let journal = Journal {
            subject: Some(subject.clone()),
            ..journal(number, &[])
        };
        store.record(&journal).await.unwrap();
    }
    assert!(log_size(directory.path()) < 100 * MIB);
}
