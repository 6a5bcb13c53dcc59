//! What only the SQLite store can show: its files, its limits, its process being killed.

use super::{Backend, Place, address, assert_error, delivery, journal, name, splice, time};
use rusqlite::Connection;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use wasmilter::mail::{Content, ContentBuilder};
use wasmilter::store::{Append, Config, Copying, FlagOp, Flags, SqliteStore, Store, StoreError};

pub struct Sqlite;

impl Backend for Sqlite {
    fn open(directory: &Path) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open_exclusive(Config::new(directory)).unwrap())
    }
}

pub fn files(directory: &Path) -> usize {
    let shelves = std::fs::read_dir(directory.join("blobs")).unwrap();
    let count = |shelf: std::fs::DirEntry| std::fs::read_dir(shelf.path()).unwrap().count();
    shelves.map(|shelf| count(shelf.unwrap())).sum()
}

pub fn rows(directory: &Path, table: &str) -> i64 {
    let index = Connection::open(directory.join("index.sqlite")).unwrap();
    index
        .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
            row.get(0)
        })
        .unwrap()
}

pub fn staged(directory: &Path, text: &str) -> Content {
    let mut builder = ContentBuilder::new(&directory.join("staging"), 4);
    builder.push(text.as_bytes()).unwrap();
    builder.finish().unwrap()
}

#[tokio::test]
async fn what_another_program_does_to_an_account_counts_at_once() {
    let place = Place::<Sqlite>::new().await;
    let login = address("alice@example.test");
    let tool = SqliteStore::open(Config::new(place.directory.path())).unwrap();
    for password in ["$first", "$second"] {
        assert!(place.store.account(&login).await.unwrap().is_some());
        tool.set_password(&login, password).await.unwrap();
        let found = place.store.account(&login).await.unwrap().unwrap();
        assert_eq!(found.password, password);
    }
    tool.remove_account(&login).await.unwrap();
    assert!(place.store.account(&login).await.unwrap().is_none());
    let again = tool.add_account(&login, "$third").await.unwrap();
    let found = place.store.account(&login).await.unwrap().unwrap();
    assert_eq!((found.id, found.password.as_str()), (again, "$third"));
}

#[tokio::test]
async fn journals_that_nobody_waits_for_share_a_commit() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open_exclusive(Config::new(directory.path())).unwrap();
    let store = Arc::new(store);
    let before = store.stats();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..50 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { store.record_later(journal(number, &[])).await.unwrap() });
    }
    tasks.join_all().await;
    let after = store.stats();
    assert_eq!(after.changes - before.changes, 50);
    assert!(after.commits - before.commits < 25, "{after:?}");
    // Those that still wait when the store is closed are not lost.
    let id = journal(99, &[]).id;
    {
        let waiting = store.record_later(journal(99, &[]));
        tokio::pin!(waiting);
        tokio::select! {
            biased;
            _ = &mut waiting => {}
            () = std::future::ready(()) => {}
        }
    }
    drop(store);
    let store = SqliteStore::open_exclusive(Config::new(directory.path())).unwrap();
    assert!(store.journal(id.as_str()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_full_disk_is_temporary() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config {
        max_bytes: Some(2 << 20),
        ..Config::new(directory.path())
    };
    let store = Arc::new(SqliteStore::open_exclusive(config).unwrap());
    let alice = store
        .add_account(&address("alice@example.test"), "x")
        .await
        .unwrap();
    let text = "x".repeat(8000);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..400 {
        let (store, text) = (store.clone(), text.clone());
        tasks.spawn(async move {
            let outcome = store.deliver(delivery(number, alice, "old", &text)).await;
            (number, outcome)
        });
    }
    let outcomes = tasks.join_all().await;
    let mut delivered = 0;
    for (number, outcome) in &outcomes {
        let known = store
            .journal(journal(*number, &[]).id.as_str())
            .await
            .unwrap();
        match outcome {
            Ok(_) => delivered += 1,
            Err(error) => assert!(matches!(error, StoreError::Full), "{error}"),
        }
        assert_eq!(known.is_some(), outcome.is_ok());
    }
    assert!((50..400).contains(&delivered), "{delivered}");
    assert!(store.stats().given_up > 0);
    let old = store.mailbox(alice, &name("old")).await.unwrap();
    assert_eq!(old.messages, delivered);
    // What is smaller than what is left still goes in, what makes room does too, beside what does not.
    let too_large = || Content::from_bytes(text.repeat(4));
    let large = Append {
        content: too_large(),
        flags: Flags::new(),
        internal_date: time(1),
    };
    let (large, removal) = tokio::join!(store.append(old.id, vec![large]), async {
        store.delete(alice, &name("Sent")).await
    });
    assert_error!(large, StoreError::Full);
    removal.unwrap();
    store.delete(alice, &name("old")).await.unwrap();
    store
        .deliver(delivery(1000, alice, "INBOX", &text))
        .await
        .unwrap();
    drop(store);
    let store = SqliteStore::open(Config::new(directory.path())).unwrap();
    let inbox = store.mailbox(alice, &name("INBOX")).await.unwrap();
    assert_eq!(inbox.messages, 1);
}

#[tokio::test]
async fn one_server_and_any_number_of_tools() {
    let place = Place::<Sqlite>::new().await;
    let directory = place.directory.path();
    let second = SqliteStore::open_exclusive(Config::new(directory)).map(drop);
    assert_error!(second, StoreError::Refused(_));
    let tool = SqliteStore::open(Config::new(directory)).unwrap();
    let bob = tool
        .add_account(&address("bob@example.test"), "x")
        .await
        .unwrap();
    assert!(
        place
            .store
            .account(&address("bob@example.test"))
            .await
            .unwrap()
            .is_some()
    );
    place
        .store
        .deliver(delivery(1, bob, "INBOX", "x"))
        .await
        .unwrap();
    assert_eq!(tool.mailbox(bob, &name("INBOX")).await.unwrap().messages, 1);
    // Both write at the same time.
    let (tool, server) = (Arc::new(tool), &place.store);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..40 {
        let store: Arc<dyn Store> = if number % 2 == 0 {
            tool.clone()
        } else {
            server.clone()
        };
        tasks.spawn(async move {
            store
                .deliver(delivery(number, bob, "INBOX", "x"))
                .await
                .unwrap()
        });
    }
    tasks.join_all().await;
    assert_eq!(
        server.mailbox(bob, &name("INBOX")).await.unwrap().messages,
        41
    );
}

#[tokio::test]
async fn a_server_clears_away_what_was_interrupted() {
    let place = Place::<Sqlite>::new().await;
    let directory = place.directory.path().to_owned();
    let mut large = delivery(1, place.alice, "INBOX", "");
    large.copies[0].content = staged(&directory, "0123456789");
    place.store.deliver(large).await.unwrap();
    std::fs::create_dir_all(directory.join("blobs/ff")).unwrap();
    std::fs::write(directory.join("blobs/ff/ff00"), "orphan").unwrap();
    std::fs::write(directory.join("staging/staged-x"), "half").unwrap();
    drop(SqliteStore::open(Config::new(&directory)).unwrap());
    assert_eq!(files(&directory), 2);
    let place = place.reopened();
    assert_eq!(files(&directory), 1);
    assert_eq!(
        std::fs::read_dir(directory.join("staging"))
            .unwrap()
            .count(),
        0
    );
    let inbox = place.inbox().await.id;
    assert_eq!(place.text(inbox, 1).await, "0123456789");
}

#[tokio::test]
async fn an_index_of_a_newer_version_is_refused() {
    let place = Place::<Sqlite>::new().await;
    let index = Connection::open(place.directory.path().join("index.sqlite")).unwrap();
    index.pragma_update(None, "user_version", 99).unwrap();
    drop(place.store);
    let error = SqliteStore::open(Config::new(place.directory.path()))
        .map(drop)
        .unwrap_err();
    assert!(error.to_string().contains("newer wasmilter"), "{error}");
}

#[test]
fn sqlite_is_compiled_as_the_configuration_of_cargo_says() {
    let memory = Connection::open_in_memory().unwrap();
    let mut listed = memory.prepare("PRAGMA compile_options").unwrap();
    let options = listed.query_map([], |row| row.get(0)).unwrap();
    let options: Vec<String> = options.map(Result::unwrap).collect();
    assert!(
        options.contains(&"DEFAULT_MEMSTATUS=0".to_owned()),
        "{options:?}"
    );
    assert!(!options.contains(&"ENABLE_API_ARMOR".to_owned()));
}

/// What makes an index of the fourth version of one of now.
const FOURTH_VERSION: &str = "
    DROP INDEX blob_file;
    ALTER TABLE blob DROP COLUMN start;
    ALTER TABLE blob DROP COLUMN length;
    CREATE UNIQUE INDEX blob_file ON blob (file) WHERE file IS NOT NULL;
    INSERT INTO splices (blob, version, splices) SELECT id, 1, splices FROM blob WHERE splices IS NOT NULL;
    ALTER TABLE blob DROP COLUMN splices;
    DROP INDEX message_changed;
    ALTER TABLE message DROP COLUMN arrived;
    CREATE INDEX message_modseq ON message (mailbox, modseq);
    DROP INDEX journal_message;
    CREATE INDEX journal_message ON journal (message_key) WHERE message_key IS NOT NULL;
    PRAGMA user_version = 4;
";

#[tokio::test]
async fn an_index_of_an_older_version_is_brought_up_to_date() {
    let place = Place::<Sqlite>::new().await;
    let deliver = async |store: &Arc<dyn Store>, number: u64| {
        let mut delivery = delivery(number, place.alice, "INBOX", "0123456789");
        let content = Content::from_bytes("0123456789");
        let spliced = content.with_splices(vec![splice(2, 3, &format!("<{number}>"))]);
        delivery.copies[0].content = spliced.unwrap();
        store.deliver(delivery).await.unwrap();
    };
    deliver(&place.store, 1).await;
    let since = place.inbox().await.highest_modseq;
    deliver(&place.store, 2).await;
    deliver(&place.store, 3).await;
    let mut large = delivery(5, place.alice, "large", "");
    large.copies[0].content = staged(place.directory.path(), "in a file");
    place.store.deliver(large).await.unwrap();
    let inbox = place.inbox().await.id;
    place.change_flags(inbox, &[1], FlagOp::Add, "\\Seen").await;
    drop(place.store);
    let index = Connection::open(place.directory.path().join("index.sqlite")).unwrap();
    index.execute_batch(FOURTH_VERSION).unwrap();
    drop(index);
    let store = Sqlite::open(place.directory.path());
    deliver(&store, 4).await;
    let place = Place { store, ..place };
    let changed = place.store.changes(inbox, since).await.unwrap().changed;
    let uids: Vec<_> = changed.iter().map(|message| message.uid).collect();
    assert_eq!(uids, [1, 2, 3, 4]);
    for number in 1..5 {
        let text = place.text(inbox, number).await;
        assert_eq!(text, format!("01<{number}>56789"));
        let key = format!("<{number}@example.test>");
        let journal = place.store.journal(&key).await.unwrap().unwrap();
        assert_eq!(super::filed(&journal)[0].1, number);
    }
    let large = place.mailbox("large").await.id;
    assert_eq!(place.text(large, 1).await, "in a file");
}

#[tokio::test]
async fn a_command_of_a_newer_version_leaves_the_index_to_the_server_that_runs() {
    let place = Place::<Sqlite>::new().await;
    let index = Connection::open(place.directory.path().join("index.sqlite")).unwrap();
    index.execute_batch(FOURTH_VERSION).unwrap();
    let version = || -> i64 {
        let version = index.pragma_query_value(None, "user_version", |row| row.get(0));
        version.unwrap()
    };
    let command = || SqliteStore::open_existing(Config::new(place.directory.path())).map(drop);
    let error = command().unwrap_err();
    assert!(
        error
            .to_string()
            .contains("restart the running server first"),
        "{error}"
    );
    assert_eq!(version(), 4);
    drop(place.store);
    command().unwrap();
    assert!(version() > 4);
}

#[tokio::test]
async fn a_mailbox_that_has_used_up_its_uids_takes_no_more_and_is_still_listed() {
    let place = Place::<Sqlite>::new().await;
    let inbox = place.inbox().await.id;
    let index = Connection::open(place.directory.path().join("index.sqlite")).unwrap();
    let last_but_one = "UPDATE mailbox SET uid_next = 4294967294 WHERE name = 'INBOX'";
    index.execute(last_but_one, []).unwrap();
    assert_eq!(place.append(inbox, &[("x", "")]).await, [4_294_967_294]);
    let message = Append {
        content: Content::from_bytes("x"),
        flags: Flags::new(),
        internal_date: time(1),
    };
    let appended = place.store.append(inbox, vec![message]).await;
    assert_error!(appended, StoreError::Refused(_));
    let delivered = place.store.deliver(delivery(1, place.alice, "INBOX", "x"));
    assert_error!(delivered.await, StoreError::Refused(_));
    let mailboxes = place.store.mailboxes(place.alice).await.unwrap();
    assert_eq!(
        (mailboxes[0].uid_next, mailboxes[0].messages),
        (u32::MAX, 1)
    );
    // What is in it can go on.
    let copying = Copying {
        from: inbox,
        uids: &[4_294_967_294],
        to: place.mailbox("Archive").await.id,
        r#move: true,
    };
    place.store.copy(copying).await.unwrap();
}

#[tokio::test]
async fn waiting_changes_share_commits_and_the_log_stays_short() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open_exclusive(Config::new(directory.path())).unwrap());
    let alice = store
        .add_account(&address("alice@example.test"), "x")
        .await
        .unwrap();
    let text = "x".repeat(20_000);
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..100 {
        let (store, text) = (store.clone(), text.clone());
        tasks.spawn(async move {
            for number in 0..50 {
                let delivery = delivery(task * 100 + number, alice, "INBOX", &text);
                store.deliver(delivery).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    let stats = store.stats();
    assert_eq!((stats.changes, stats.failed), (5001, 0));
    assert!(
        stats.commits < 2000 && stats.largest_commit > 10,
        "{stats:?}"
    );
    // More than 100 MB went through it.
    let log = std::fs::metadata(directory.path().join("index.sqlite-wal"))
        .unwrap()
        .len();
    assert!(log < 100 << 20, "{log}");
}

const CHILD: &str = "WASMILTER_TEST_DELIVER_INTO";

/// Every second one is too long for the index.
fn numbered(number: u64) -> String {
    format!("message {number}\r\n").repeat(if number.is_multiple_of(2) { 2_000 } else { 1 })
}

/// Not a test: the process that the next one kills.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by acknowledged_messages_outlive_sigkill"]
async fn child_that_delivers() {
    let Some(directory) = std::env::var_os(CHILD) else {
        return;
    };
    let store = Sqlite::open(Path::new(&directory));
    let round = std::process::id() as u64 * 1_000_000;
    let alice = store
        .account(&address("alice@example.test"))
        .await
        .unwrap()
        .unwrap()
        .id;
    for task in 0..20 {
        let (store, directory) = (store.clone(), directory.clone());
        tokio::spawn(async move {
            for number in 0.. {
                let number = round + task * 10_000 + number;
                let text = numbered(number);
                let mut delivery = delivery(number, alice, "INBOX", &text);
                if number.is_multiple_of(3) {
                    delivery.copies[0].content = staged(Path::new(&directory), &text);
                }
                let journal = store.deliver(delivery).await.unwrap();
                println!("\nack {} {}", journal.id, super::filed(&journal)[0].1);
            }
        });
    }
    std::future::pending().await
}

#[tokio::test]
async fn acknowledged_messages_outlive_sigkill() {
    let mut place = Place::<Sqlite>::new().await;
    let mut acknowledged = Vec::new();
    for round in 1..=3 {
        let directory = place.directory.path().to_owned();
        drop(place.store);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "store::sqlite::child_that_delivers",
                "--ignored",
                "--nocapture",
            ])
            .env(CHILD, &directory)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let acks = lines.map_while(Result::ok).filter_map(|line| {
            let (id, uid) = line.strip_prefix("ack ")?.split_once(' ')?;
            Some((id.to_owned(), uid.parse::<u32>().ok()?))
        });
        for (count, ack) in acks.enumerate() {
            acknowledged.push(ack);
            if count == 300 * round {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        place.store = Sqlite::open(&directory);
    }
    assert!(acknowledged.len() > 1800, "{}", acknowledged.len());
    let inbox = place.inbox().await;
    for (id, uid) in &acknowledged {
        let journal = place.store.journal(id).await.unwrap().unwrap();
        assert_eq!(super::filed(&journal)[0].1, *uid);
        let text = place.text(inbox.id, *uid).await;
        let number = journal.message_id.unwrap();
        let number = number.strip_suffix("@example.test").unwrap();
        assert!(text == numbered(number.parse().unwrap()), "{number}");
    }
    let messages = place.store.messages(inbox.id).await.unwrap();
    assert_eq!(messages.len(), inbox.messages as usize);
    // Files are those of messages, no more.
    let in_files = rows(
        place.directory.path(),
        "(SELECT DISTINCT file FROM blob WHERE file IS NOT NULL)",
    );
    assert_eq!(files(place.directory.path()) as i64, in_files);
    let index = Connection::open(place.directory.path().join("index.sqlite")).unwrap();
    let check: String = index
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(check, "ok");
}
