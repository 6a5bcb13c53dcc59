//! Deliveries per second into the SQLite store, beside what the disk can sync.
//! A plain loop: compares runs on one machine, not machines.
#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use wasmilter::mail::{
    Address, Content, Disposition, Envelope, Journal, Session, TransactionId, Verdict, Where,
};
use wasmilter::store::{
    AccountId, Config, Delivery, DeliveryCopy, Flags, MailboxName, SqliteStore, Store,
};

const SPAN: Duration = Duration::from_secs(5);
const SIZE: usize = 4096;

fn main() {
    // `cargo test` builds and runs benches too: only a call by `cargo bench` measures.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let directory = tempfile::tempdir_in(std::env::current_dir().unwrap()).unwrap();
    let profile = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    println!("profile: {profile}, message: {SIZE} octets");
    println!(
        "append and fdatasync of {SIZE} octets: {:.0}/s",
        syncs(directory.path())
    );
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for callers in [1, 10, 100] {
        let place = directory.path().join(callers.to_string());
        runtime.block_on(deliver(&place, callers));
    }
}

fn syncs(directory: &Path) -> f64 {
    let mut file = std::fs::File::create(directory.join("appended")).unwrap();
    let (begin, mut count) = (Instant::now(), 0);
    while begin.elapsed() < SPAN {
        file.write_all(&[b'x'; SIZE]).unwrap();
        file.sync_data().unwrap();
        count += 1;
    }
    f64::from(count) / begin.elapsed().as_secs_f64()
}

async fn deliver(directory: &Path, callers: u64) {
    let store = Arc::new(SqliteStore::open_exclusive(Config::new(directory)).unwrap());
    let mut accounts = Vec::new();
    for number in 0..20 {
        let login = Address::parse(&format!("user{number}@example.test")).unwrap();
        accounts.push(store.add_account(&login, "x").await.unwrap());
    }
    let before = store.stats();
    let delivered = Arc::new(AtomicU64::new(0));
    let begin = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for caller in 0..callers {
        let (store, delivered, accounts) = (store.clone(), delivered.clone(), accounts.clone());
        tasks.spawn(async move {
            let mut slowest = Duration::ZERO;
            while begin.elapsed() < SPAN {
                let number = delivered.fetch_add(1, Relaxed);
                let account = accounts.iter().cycle().nth((number % 20) as usize).unwrap();
                let sent = Instant::now();
                store
                    .deliver(message(caller, number, *account))
                    .await
                    .unwrap();
                slowest = slowest.max(sent.elapsed());
            }
            slowest
        });
    }
    let slowest = tasks.join_all().await.into_iter().max().unwrap();
    let rate = delivered.load(Relaxed) as f64 / begin.elapsed().as_secs_f64();
    let stats = store.stats();
    let commits = stats.commits - before.commits;
    let shared = (stats.changes - before.changes) as f64 / commits as f64;
    println!(
        "{callers:>3} callers: {rate:>6.0} deliveries/s, {shared:.1} in a commit, slowest {slowest:.0?}"
    );
}

fn message(caller: u64, number: u64, account: AccountId) -> Delivery {
    let to = Address::parse("user@example.test").unwrap();
    let subject = "How the weather was";
    let mut text =
        format!("Message-ID: <{number}.{caller}@example.test>\r\nSubject: {subject}\r\n\r\n");
    while text.len() < SIZE {
        text.push_str("It rained all day, and then some more.\r\n");
    }
    let content = Content::from_bytes(text);
    let received = "Received: from mail.example.test by mx.example.test with ESMTPS; Mon, 23 Nov 2026 05:00:00 +0000\r\n";
    let splice = wasmilter::mail::Splice {
        at: 0,
        remove: 0,
        insert: received.into(),
    };
    Delivery {
        received_at: jiff::Timestamp::now(),
        journal: Journal {
            id: TransactionId::new(number, caller),
            queue_id: None,
            at: "2026-11-23T05:00:00Z".into(),
            release: None,
            generation: 1,
            session: Session::default(),
            envelope: Envelope::default(),
            message_id: Some(format!("{number}.{caller}@example.test")),
            subject: Some(subject.into()),
            size: content.len(),
            authentication: vec![],
            turns: Vec::new(),
            score: 0.0,
            verdict: Verdict::Accept,
            dispositions: vec![Where {
                recipient: to,
                disposition: Disposition::Filed {
                    mailbox: String::new(),
                    uid: 0,
                    why: "no filter said otherwise".into(),
                },
            }],
            elapsed: Duration::ZERO,
        },
        aside: Vec::new(),
        copies: vec![DeliveryCopy {
            disposition: 0,
            account,
            mailbox: MailboxName::inbox(),
            flags: Flags::new(),
            content: content.with_splices(vec![splice]).unwrap(),
        }],
    }
}
