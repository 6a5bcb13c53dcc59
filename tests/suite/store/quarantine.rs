//! The quarantine at rest: what it takes up, and when that goes.

use super::sqlite::{Sqlite, rows};
use super::{Place, address, delivery, time};
use jiff::Timestamp;
use rusqlite::Connection;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use wasmilter::accept::{Expiry, expire};
use wasmilter::mail::{
    Aside, Clock, Content, Entry, Envelope, Held, Hook, Recipient, Session, Stop, TransactionId,
};
use wasmilter::store::{AccountId, Delivery, SetAside};

const DAY: Duration = Duration::from_secs(86_400);

/// A message for this many recipients.
fn set_aside(number: u64, recipients: u32) -> Delivery {
    let recipients: Vec<_> = (0..recipients)
        .map(|one| address(&format!("recipient-{one}@example.test")))
        .collect();
    let text = format!("{number:08}").repeat(125);
    let mut delivery = delivery(number, AccountId(0), "INBOX", "");
    delivery.copies.clear();
    delivery.aside = vec![SetAside {
        dispositions: Vec::new(),
        entry: Entry {
            id: 0,
            transaction: TransactionId::new(1_763_873_000_000 + number, number),
            at: time(1_763_873_000 + number as i64),
            aside: Aside::Quarantine,
            filter: "guard".to_owned(),
            hook: Hook::Message,
            why: "it looks odd".to_owned(),
            sender: String::new(),
            recipients: recipients.clone(),
            from: None,
            subject: None,
            message_id: None,
            size: text.len() as u64,
            score: 0.0,
        },
        held: Held {
            session: Session::default(),
            envelope: Envelope {
                recipients: recipients.into_iter().map(Recipient::from).collect(),
                ..Envelope::default()
            },
            authentication: Vec::new(),
            turns: Vec::new(),
            stop: Stop {
                filter: "guard".to_owned(),
                version: "1.0.0".to_owned(),
                hook: Hook::Message,
                passed: vec!["guard".to_owned()],
            },
            unruled: true,
            filed: None,
            next_hop: None,
        },
        content: Content::from_bytes(text),
    }];
    delivery
}

#[tokio::test]
async fn recipients_count_for_the_size_of_the_quarantine() {
    let place = Place::<Sqlite>::new().await;
    for number in 0..40 {
        place.store.deliver(set_aside(number, 1000)).await.unwrap();
    }
    let taken = || -> i64 {
        let index = Connection::open(place.directory.path().join("index.sqlite")).unwrap();
        let sum = "SELECT sum(octet_length(octets) + octet_length(entry) + octet_length(held))
                   FROM quarantine JOIN blob ON blob.id = quarantine.blob";
        index.query_row(sum, [], |row| row.get(0)).unwrap()
    };
    assert!(taken() > 2_000_000, "{}", taken());
    let expiry = Expiry {
        age: Duration::MAX,
        size: 1_000_000,
    };
    assert!(
        expiry
            .sweep(&*place.store, time(2_000_000_000))
            .await
            .unwrap()
            > 0
    );
    assert!((500_000..=1_000_000).contains(&taken()), "{}", taken());
    let left = place.store.quarantined().await.unwrap().entries;
    assert!(left.iter().all(|entry| entry.size == 1000));
    assert_eq!(
        left[0].transaction,
        TransactionId::new(1_763_873_000_039, 39)
    );
}

/// Far ahead of all that is there.
struct Ahead;

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        time(4_000_000_000)
    }

    fn transaction_id(&self) -> TransactionId {
        TransactionId::new(4_000_000_000_000, 0)
    }
}

/// How many of 20 messages and of their journals are left when what is too large has gone, and, if `all` go, when they have.
async fn left_after(settled: Duration, all: bool) -> (usize, usize) {
    let place = Place::<Sqlite>::new().await;
    for number in 0..20 {
        place.store.deliver(set_aside(number, 1000)).await.unwrap();
    }
    let expiry = Expiry {
        age: DAY,
        size: 1_000_000,
    };
    let (store, stop) = (place.store.clone(), CancellationToken::new());
    let expiring = expire(expiry, DAY, settled, store, Arc::new(Ahead), stop.clone());
    let running = tokio::spawn(expiring);
    let left = async || {
        let messages = place.store.quarantined().await.unwrap().entries.len();
        (messages, rows(place.directory.path(), "journal") as usize)
    };
    while left().await.0 == 20 || (all && left().await != (0, 0)) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // A look that has begun ends.
    stop.cancel();
    running.await.unwrap();
    left().await
}

#[tokio::test]
async fn nothing_goes_for_its_age_just_after_a_start_with_the_clock_far_ahead() {
    let (messages, journals) = left_after(DAY, false).await;
    assert!(messages > 5, "{messages}");
    assert_eq!(journals, 20);
    assert_eq!(left_after(Duration::ZERO, true).await, (0, 0));
}
