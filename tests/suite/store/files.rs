//! Octets outside of SQLite's file: stored once, shared or alone, and gone with the last message that has them.

use super::sqlite::{Sqlite, files, rows, staged};
use super::{Backend, Place, address, assert_error, delivery, journal, name, splice, time};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use wasmilter::mail::Content;
use wasmilter::store::{
    Append, Config, Copying, Delivery, DeliveryCopy, FlagOp, Flags, SqliteStore, StoreError,
};

/// What is not needed any more is removed after the commit, beside it.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("{what}: not after 10 seconds");
}

#[tokio::test]
async fn octets_are_stored_once_and_go_with_the_last_message() {
    for in_file in [false, true] {
        let place = Place::<Sqlite>::new().await;
        let directory = place.directory.path();
        let stored = || (rows(directory, "blob"), files(directory));
        let one = (1, usize::from(in_file));
        let content = match in_file {
            true => staged(directory, "0123456789"),
            false => Content::from_bytes("0123456789"),
        };
        let copies = (0..50).map(|at| DeliveryCopy {
            disposition: at,
            account: place.alice,
            mailbox: name(if at % 2 == 0 { "INBOX" } else { "other" }),
            flags: Flags::new(),
            content: content
                .with_splices(vec![splice(0, 0, &format!("{}\r\n", at % 3))])
                .unwrap(),
        });
        let delivery = Delivery {
            received_at: time(1),
            journal: journal(1, &["alice@example.test"; 50]),
            copies: copies.collect(),
            aside: Vec::new(),
        };
        place.store.deliver(delivery).await.unwrap();
        drop(content);
        assert_eq!(
            std::fs::read_dir(directory.join("staging"))
                .unwrap()
                .count(),
            0
        );
        assert_eq!(stored(), one);
        let beside = rows(directory, "blob WHERE splices IS NOT NULL");
        assert_eq!((rows(directory, "splices"), beside), (2, 1));
        let inbox = place.inbox().await.id;
        assert_eq!(place.text(inbox, 2).await, "2\r\n0123456789");
        let trash = place.mailbox("Trash").await.id;
        let copying = Copying {
            from: inbox,
            uids: &[1],
            to: trash,
            r#move: false,
        };
        place.store.copy(copying).await.unwrap();
        let uids: Vec<_> = (1..=25).collect();
        place
            .change_flags(inbox, &uids, FlagOp::Add, "\\Deleted")
            .await;
        place.store.expunge(inbox, None).await.unwrap();
        assert_eq!(stored(), one);
        place
            .store
            .delete(place.alice, &name("other"))
            .await
            .unwrap();
        assert_eq!(stored(), one);
        // Who is reading goes on reading.
        let reading = place.store.content(trash, 1).await.unwrap();
        place
            .change_flags(trash, &[1], FlagOp::Add, "\\Deleted")
            .await;
        place.store.expunge(trash, None).await.unwrap();
        assert_eq!(
            (rows(directory, "blob"), rows(directory, "splices")),
            (0, 0)
        );
        until("no file", || files(directory) == 0).await;
        assert_eq!(&reading.bytes().unwrap()[..], b"0\r\n0123456789");
    }
}

#[tokio::test]
async fn long_inserts_are_stored_once_and_go_with_the_last_message() {
    // In the index, in a file that others may share, and in one of their own.
    for (times, while_needed, after) in [(10_000, 0, 0), (100_000, 1, 1), (1_000_000, 1, 0)] {
        let place = Place::<Sqlite>::new().await;
        let directory = place.directory.path();
        let long: bytes::Bytes = "ab".repeat(times).into();
        let received = Content::from_bytes("A: 1\r\n\r\nbody");
        let copies = (0..20).map(|at| {
            let trace = splice(0, 0, &format!("X: {at}\r\n"));
            let body = wasmilter::mail::Splice {
                at: 8,
                remove: 4,
                insert: long.clone().into(),
            };
            DeliveryCopy {
                disposition: at,
                account: place.alice,
                mailbox: name("INBOX"),
                flags: Flags::new(),
                content: received.with_splices(vec![trace, body]).unwrap(),
            }
        });
        let delivery = Delivery {
            received_at: time(1),
            journal: journal(1, &["alice@example.test"; 20]),
            copies: copies.collect(),
            aside: Vec::new(),
        };
        place.store.deliver(delivery).await.unwrap();
        assert_eq!(rows(directory, "blob"), 2);
        assert_eq!(files(directory), while_needed);
        let inbox = place.inbox().await.id;
        let size = place.store.messages(inbox).await.unwrap()[4].size;
        let text = place.text(inbox, 5).await;
        assert!(text == format!("X: 4\r\nA: 1\r\n\r\n{}", "ab".repeat(times)));
        assert_eq!(size, text.len() as u64);
        let reading = place.store.content(inbox, 5).await.unwrap();
        assert_eq!(&reading.read(14, 4).unwrap()[..], b"abab");
        let uids: Vec<_> = (1..=20).collect();
        place
            .change_flags(inbox, &uids, FlagOp::Add, "\\Deleted")
            .await;
        place.store.expunge(inbox, None).await.unwrap();
        assert_eq!(rows(directory, "blob"), 0);
        until("files", || files(directory) == after).await;
        assert_eq!(reading.len(), size);
    }
}

/// Octets that the files take up on the disk.
fn room(directory: &Path) -> u64 {
    let shelves = std::fs::read_dir(directory.join("blobs")).unwrap();
    let files = shelves.flat_map(|shelf| std::fs::read_dir(shelf.unwrap().path()).unwrap());
    files
        .map(|file| file.unwrap().metadata().unwrap().blocks() * 512)
        .sum()
}

#[tokio::test]
async fn messages_share_a_file_and_each_gives_its_room_back() {
    let place = Place::<Sqlite>::new().await;
    let directory = place.directory.path();
    // Some end in the middle of a block, some with it.
    let text =
        |number: u64| format!("{number:08}").repeat(5_120 + usize::from(number.is_multiple_of(3)));
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..20 {
        let (store, delivery) = (
            place.store.clone(),
            delivery(number, place.alice, "INBOX", &text(number)),
        );
        tasks.spawn(async move {
            let journal = store.deliver(delivery).await.unwrap();
            (super::filed(&journal)[0].1, number)
        });
    }
    let mut uids = tasks.join_all().await;
    uids.sort_unstable();
    assert_eq!((files(directory), rows(directory, "blob")), (1, 20));
    let all = room(directory);
    assert!(all >= 20 * 40_960, "{all}");
    let inbox = place.inbox().await.id;
    let (gone, left): (Vec<_>, Vec<_>) = uids.into_iter().partition(|(uid, _)| uid % 2 == 0);
    let expunge = async |of: &[(u32, u64)]| {
        let uids: Vec<_> = of.iter().map(|(uid, _)| *uid).collect();
        place
            .change_flags(inbox, &uids, FlagOp::Add, "\\Deleted")
            .await;
        place.store.expunge(inbox, None).await.unwrap();
    };
    expunge(&gone).await;
    for (uid, number) in &left {
        assert!(place.text(inbox, *uid).await == text(*number), "{number}");
    }
    // Elsewhere the room comes back with the whole file.
    let has_room = |most| !cfg!(target_os = "linux") || room(directory) <= most;
    until("half of the room", || has_room(all / 2 + 65_536)).await;
    expunge(&left).await;
    until("the room", || has_room(65_536)).await;
    // Nobody needs the file any more, nor appends to it.
    let directory = directory.to_owned();
    let _place = place.reopened();
    assert_eq!(files(&directory), 0);
}

#[tokio::test]
async fn of_a_file_that_was_cut_off_one_message_is_lost() {
    let place = Place::<Sqlite>::new().await;
    let text = "0123456789".repeat(5_000);
    for number in 1..=2 {
        let delivery = delivery(number, place.alice, "INBOX", &text);
        place.store.deliver(delivery).await.unwrap();
    }
    let shelf = std::fs::read_dir(place.directory.path().join("blobs"))
        .unwrap()
        .next();
    let shelf = std::fs::read_dir(shelf.unwrap().unwrap().path()).unwrap();
    for file in shelf {
        let file = std::fs::File::options()
            .write(true)
            .open(file.unwrap().path());
        file.unwrap().set_len(60_000).unwrap();
    }
    let inbox = place.inbox().await.id;
    assert!(place.text(inbox, 1).await == text);
    assert_error!(place.store.content(inbox, 2).await, StoreError::Failed(_));
}

#[tokio::test]
async fn removing_an_account_removes_the_octets() {
    let place = Place::<Sqlite>::new().await;
    let directory = place.directory.path();
    let inbox = place.inbox().await.id;
    let append = |content| Append {
        content,
        flags: Flags::new(),
        internal_date: time(1),
    };
    let messages = vec![
        append(staged(directory, "012345")),
        append(Content::from_bytes("x")),
    ];
    place.store.append(inbox, messages).await.unwrap();
    assert_eq!((rows(directory, "blob"), files(directory)), (2, 1));
    place
        .store
        .remove_account(&address("alice@example.test"))
        .await
        .unwrap();
    for table in ["blob", "message", "mailbox", "subscription", "splices"] {
        assert_eq!(rows(directory, table), 0, "{table}");
    }
    until("no file", || files(directory) == 0).await;
}

#[tokio::test]
async fn a_refused_delivery_leaves_no_file() {
    let place = Place::<Sqlite>::new().await;
    place
        .store
        .remove_account(&address("alice@example.test"))
        .await
        .unwrap();
    let mut late = delivery(1, place.alice, "INBOX", "");
    late.copies[0].content = staged(place.directory.path(), "0123456789");
    assert_error!(place.store.deliver(late).await, StoreError::NotFound(_));
    assert_eq!(files(place.directory.path()), 0);
}

#[tokio::test]
async fn a_file_of_somebody_else_is_copied() {
    let place = Place::<Sqlite>::new().await;
    let theirs = place.directory.path().join("theirs.eml");
    std::fs::write(&theirs, "as it was").unwrap();
    let mut delivery = delivery(1, place.alice, "INBOX", "");
    delivery.copies[0].content = Content::open(&theirs).unwrap();
    place.store.deliver(delivery).await.unwrap();
    std::fs::write(&theirs, "something else").unwrap();
    let inbox = place.inbox().await.id;
    assert_eq!(place.text(inbox, 1).await, "as it was");
}

#[tokio::test]
async fn a_lost_index_costs_no_file() {
    let place = Place::<Sqlite>::new().await;
    let text = "0123456789".repeat(10_000);
    let delivery = delivery(1, place.alice, "INBOX", &text);
    place.store.deliver(delivery).await.unwrap();
    let Place {
        store, directory, ..
    } = place;
    drop(store);
    let index = directory.path().join("index.sqlite");
    let aside = directory.path().join("aside");
    std::fs::rename(&index, &aside).unwrap();
    // What a server that was killed leaves.
    let log = directory.path().join("index.sqlite-wal");
    std::fs::write(&log, "the last commits").unwrap();
    for emptied in [false, true] {
        if emptied {
            std::fs::write(&index, "").unwrap();
        }
        let config = || Config::new(directory.path());
        // A server that is started again and again too.
        for _ in 0..2 {
            for opened in [
                SqliteStore::open_exclusive(config()),
                SqliteStore::open(config()),
            ] {
                let error = opened.map(drop).unwrap_err().to_string();
                assert!(error.contains("(files: 1)"), "{error}");
            }
        }
        assert_eq!((index.exists(), files(directory.path())), (emptied, 1));
        assert!(log.exists());
    }
    std::fs::remove_file(&log).unwrap();
    std::fs::rename(&aside, &index).unwrap();
    let store = Sqlite::open(directory.path());
    let inbox = store.mailbox(place.alice, &name("INBOX")).await.unwrap();
    let content = store.content(inbox.id, 1).await.unwrap();
    assert_eq!(content.len(), 100_000);
}
