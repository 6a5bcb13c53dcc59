//! The quarantine at rest: what it takes up.

use super::sqlite::Sqlite;
use super::{Place, address, delivery, time};
use rusqlite::Connection;
use wasmilter::accept::Expiry;
use wasmilter::mail::{
    Aside, Content, Entry, Envelope, Held, Hook, Recipient, Session, Stop, TransactionId,
};
use wasmilter::store::{Delivery, Quarantine, SetAside};

/// A message for this many recipients.
fn set_aside(number: u64, recipients: u32) -> Delivery {
    let recipients: Vec<_> = (0..recipients)
        .map(|one| address(&format!("recipient-{one}@example.test")))
        .collect();
    let text = format!("{number:08}").repeat(125);
    let mut delivery = delivery(number, wasmilter::store::AccountId(0), "INBOX", "");
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
        age: std::time::Duration::MAX,
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
