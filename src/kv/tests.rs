use super::*;
use crate::mail::{Clock, TransactionId};
use jiff::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Time stands still until a test moves it.
#[derive(Default)]
struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::SeqCst)).unwrap()
    }

    fn transaction_id(&self) -> TransactionId {
        TransactionId::new(0, 0)
    }
}

fn seconds(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

#[test]
fn spaces_are_apart_and_values_are_octets() {
    let kv = Database::in_memory();
    kv.set("a", "k", b"\0\xff", None).unwrap();
    assert_eq!(kv.get("a", "k").unwrap().as_deref(), Some(&b"\0\xff"[..]));
    assert_eq!(kv.get("b", "k").unwrap(), None);
    assert!(!kv.delete("b", "k").unwrap());
    assert!(kv.delete("a", "k").unwrap());
    assert!(!kv.delete("a", "k").unwrap());
}

#[test]
fn it_survives_being_closed() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("plugins.db");
    for n in 1..=3 {
        let kv = Database::open(&path).unwrap();
        assert_eq!(kv.increment("a", "opened", 1, None).unwrap(), n);
        kv.set("a", &format!("at {n}"), &vec![1; 1000], None)
            .unwrap();
    }
    let kv = Database::open(&path).unwrap();
    assert_eq!(kv.scan("a", "at ", None, 10).unwrap().len(), 3);
}

#[test]
fn what_was_committed_is_there_after_a_crash() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("plugins.db");
    let kv = Database::open(&path).unwrap();
    kv.set("a", "k", b"v", None).unwrap();
    // Another connection sees what is committed, and nothing else.
    let other = rusqlite::Connection::open(&path).unwrap();
    let count = || -> i64 {
        other
            .query_row("SELECT count(*) FROM entry", [], |row| row.get(0))
            .unwrap()
    };
    while count() == 0 {
        std::thread::yield_now();
    }
    // As a crash leaves it: nobody closes anything.
    let copy = home.path().join("copy.db");
    std::fs::copy(&path, &copy).unwrap();
    std::fs::copy(
        home.path().join("plugins.db-wal"),
        home.path().join("copy.db-wal"),
    )
    .unwrap();
    let after = Database::open(&copy).unwrap();
    assert_eq!(after.get("a", "k").unwrap().as_deref(), Some(&b"v"[..]));
}

#[test]
fn keys_expire() {
    let clock = Arc::new(Hands::default());
    let kv = Database::with_clock(None, clock.clone()).unwrap();
    kv.set("a", "short", b"1", seconds(10)).unwrap();
    kv.set("a", "long", b"1", None).unwrap();
    assert_eq!(kv.increment("a", "n", 2, seconds(10)).unwrap(), 2);
    clock.0.store(9_999, Ordering::SeqCst);
    // The time counts from the first one.
    assert_eq!(kv.increment("a", "n", 2, seconds(10)).unwrap(), 4);
    assert!(kv.get("a", "short").unwrap().is_some());
    clock.0.store(10_000, Ordering::SeqCst);
    assert_eq!(kv.get("a", "short").unwrap(), None);
    assert!(!kv.delete("a", "short").unwrap());
    assert_eq!(kv.increment("a", "n", 1, seconds(10)).unwrap(), 1);
    assert!(kv.compare_and_set("a", "short", None, b"2", None).unwrap());
    let keys: Vec<_> = kv.scan("a", "", None, 10).unwrap();
    let keys: Vec<_> = keys.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["long", "n", "short"]);
    clock.0.store(100_000, Ordering::SeqCst);
    kv.sweep();
    assert_eq!(kv.scan("a", "", None, 10).unwrap().len(), 2);
}

#[test]
fn compare_and_set_wants_just_that() {
    let kv = Database::in_memory();
    assert!(
        !kv.compare_and_set("a", "k", Some(b"x"), b"1", None)
            .unwrap()
    );
    assert!(kv.compare_and_set("a", "k", None, b"1", None).unwrap());
    assert!(!kv.compare_and_set("a", "k", None, b"2", None).unwrap());
    assert!(
        kv.compare_and_set("a", "k", Some(b"1"), b"2", None)
            .unwrap()
    );
    assert_eq!(kv.get("a", "k").unwrap().as_deref(), Some(&b"2"[..]));
}

#[test]
fn scans_go_by_octets_and_can_be_continued() {
    let kv = Database::in_memory();
    for key in ["b", "a/2", "a/1", "a/ä", "a", "a0"] {
        kv.set("s", key, key.as_bytes(), None).unwrap();
    }
    let scan = |prefix: &str, after: Option<&str>, most| -> Vec<String> {
        let found = kv.scan("s", prefix, after, most).unwrap();
        found.into_iter().map(|(key, _)| key).collect()
    };
    assert_eq!(scan("a/", None, 10), ["a/1", "a/2", "a/ä"]);
    assert_eq!(scan("a/", None, 2), ["a/1", "a/2"]);
    assert_eq!(scan("a/", Some("a/2"), 2), ["a/ä"]);
    assert_eq!(scan("", None, 10).len(), 6);
    assert!(scan("c", None, 10).is_empty());
    // 64 KiB each: a scan gives 1 MiB at the most.
    for n in 0..20 {
        kv.set("large", &format!("{n:02}"), &vec![0; MAX_VALUE], None)
            .unwrap();
    }
    assert_eq!(kv.scan("large", "", None, 1000).unwrap().len(), 15);
}

#[test]
fn bounds() {
    let kv = Database::in_memory();
    let long = "k".repeat(MAX_KEY + 1);
    assert!(matches!(
        kv.set("a", &long, b"", None),
        Err(KvError::TooMuch(_))
    ));
    assert!(kv.set("a", long.split_at(1).1, b"", None).is_ok());
    assert!(matches!(
        kv.set("a", "", b"", None),
        Err(KvError::BadValue(_))
    ));
    let large = vec![0; MAX_VALUE + 1];
    assert!(matches!(
        kv.set("a", "k", &large, None),
        Err(KvError::TooMuch(_))
    ));
    kv.set("a", "word", b"x", None).unwrap();
    assert!(matches!(
        kv.increment("a", "word", 1, None),
        Err(KvError::BadValue(_))
    ));
    kv.set("a", "most", b"9223372036854775807", None).unwrap();
    assert!(matches!(
        kv.increment("a", "most", 1, None),
        Err(KvError::TooMuch(_))
    ));
}

#[test]
fn a_full_space_says_so_and_what_has_expired_makes_room() {
    let clock = Arc::new(Hands::default());
    let kv = Database::with_clock(None, clock.clone()).unwrap();
    let value = vec![0; MAX_VALUE];
    let mut kept = 0;
    let full = loop {
        match kv.set("a", &format!("{kept}"), &value, seconds(60)) {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, KvError::TooMuch(_)), "{full}");
    assert_eq!(kept, 1022);
    // Others have their own; what is there can be replaced by the same or less.
    kv.set("b", "k", &value, None).unwrap();
    kv.set("a", "0", b"", seconds(60)).unwrap();
    kv.set("a", "0", &value, seconds(60)).unwrap();
    assert!(kv.delete("a", "0").unwrap());
    kv.set("a", "new", &value, seconds(60)).unwrap();
    clock.0.store(60_000, Ordering::SeqCst);
    kv.set("a", "later", &value, None).unwrap();
    assert_eq!(kv.scan("a", "", None, 10).unwrap().len(), 1);
}

#[test]
fn increments_of_many_threads_sum_up() {
    let home = tempfile::tempdir().unwrap();
    let kv = Database::open(&home.path().join("plugins.db")).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..500 {
                    kv.increment("a", "n", 1, None).unwrap();
                }
            });
        }
    });
    assert_eq!(kv.get("a", "n").unwrap().as_deref(), Some(&b"4000"[..]));
}

#[test]
fn expired_keys_in_great_number_hold_up_no_scan() {
    let clock = Arc::new(Hands::default());
    let kv = Database::with_clock(None, clock.clone()).unwrap();
    for n in 0..1000 {
        kv.set("a", &format!("{n:04}"), b"", seconds(1)).unwrap();
    }
    kv.set("a", "last", b"", None).unwrap();
    clock.0.store(1_000, Ordering::SeqCst);
    let found = kv.scan("a", "", None, 10).unwrap();
    assert_eq!(found, [("last".to_owned(), Vec::new())]);
}
