//! Many callers at once, callers that go away, callers that wait for changes.

use super::{Backend, Place, address, assert_error, delivery, filed, journal, name};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::task::JoinSet;
use wasmilter::store::{Copying, DeliveryCopy, FlagOp, Flags, StoreError};

pub async fn a_hundred_deliveries_at_once<B: Backend>() {
    let place = Place::<B>::new().await;
    let mut tasks = JoinSet::new();
    for task in 0..100 {
        let (store, account) = (place.store.clone(), place.alice);
        tasks.spawn(async move {
            let mut uids = Vec::new();
            for number in 0..5 {
                let number = task * 5 + number;
                let text = format!("message {number}");
                let done = store
                    .deliver(delivery(number, account, "INBOX", &text))
                    .await
                    .unwrap();
                uids.push((filed(&done)[0].1, text));
            }
            // Each caller's own are ascending.
            assert!(uids.is_sorted());
            uids
        });
    }
    let all = tasks.join_all().await.concat();
    let distinct: BTreeSet<_> = all.iter().map(|(uid, _)| *uid).collect();
    assert_eq!(distinct, (1..=500).collect());
    let inbox = place.inbox().await;
    assert_eq!(
        (inbox.messages, inbox.unseen, inbox.uid_next),
        (500, 500, 501)
    );
    let messages = place.store.messages(inbox.id).await.unwrap();
    assert!(messages.is_sorted_by(|a, b| a.uid < b.uid && a.modseq < b.modseq));
    for (uid, text) in all.iter().step_by(7) {
        assert_eq!(place.text(inbox.id, *uid).await, *text);
    }
}

pub async fn a_change_that_fails_takes_nothing_of_the_others_along<B: Backend>() {
    let place = Place::<B>::new().await;
    let login = address("bob@example.test");
    let gone = place.store.add_account(&login, "x").await.unwrap();
    place.store.remove_account(&login).await.unwrap();
    let mut tasks = JoinSet::new();
    for number in 0..100 {
        let (store, account) = (place.store.clone(), place.alice);
        tasks.spawn(async move {
            let mut delivery = delivery(number, account, "INBOX", &format!("message {number}"));
            // Every fifth fails when its first copy is in already.
            let fails = number % 5 == 0;
            if fails {
                delivery.journal = journal(number, &["alice@example.test", "bob@example.test"]);
                delivery.copies.push(DeliveryCopy {
                    disposition: 1,
                    account: gone,
                    mailbox: name("INBOX"),
                    flags: Flags::new(),
                    content: delivery.copies[0].content.clone(),
                });
            }
            let id = delivery.journal.id.clone();
            let done = store.deliver(delivery).await;
            assert_eq!(done.is_err(), fails, "{number}");
            let stored = store.journal(id.as_str()).await.unwrap();
            assert_eq!(stored.is_none(), fails, "{number}");
            // A failure that changes nothing, in between.
            assert_error!(store.mailboxes(gone).await, StoreError::NotFound(_));
            assert_error!(
                store.create(account, &name("Junk")).await,
                StoreError::AlreadyExists(_)
            );
        });
    }
    tasks.join_all().await;
    let inbox = place.inbox().await;
    assert_eq!((inbox.messages, inbox.unseen, inbox.uid_next), (80, 80, 81));
    for uid in place.uids(inbox.id).await {
        let text = place.text(inbox.id, uid).await;
        let number: u64 = text["message ".len()..].parse().unwrap();
        assert_ne!(number % 5, 0);
    }
}

pub async fn changes_of_all_kinds_at_once<B: Backend>() {
    let place = std::sync::Arc::new(Place::<B>::new().await);
    let (inbox, junk) = (place.inbox().await.id, place.mailbox("Junk").await.id);
    let mut tasks = JoinSet::new();
    for _ in 0..20 {
        let (store, place) = (place.store.clone(), place.clone());
        tasks.spawn(async move {
            let uids = place
                .append(inbox, &[("a", ""), ("b", ""), ("c", "")])
                .await;
            place
                .change_flags(inbox, &uids[..1], FlagOp::Add, "\\Seen \\Deleted")
                .await;
            let copying = Copying {
                from: inbox,
                uids: &uids[1..2],
                to: junk,
                r#move: true,
            };
            store.copy(copying).await.unwrap();
            assert_eq!(store.expunge(inbox, Some(&uids)).await.unwrap(), uids[..1]);
            place
                .change_flags(inbox, &uids[2..], FlagOp::Add, "\\Seen")
                .await;
            uids[2]
        });
    }
    let kept: BTreeSet<u32> = tasks.join_all().await.into_iter().collect();
    assert_eq!(
        place.uids(inbox).await,
        kept.iter().copied().collect::<Vec<_>>()
    );
    let (inbox, junk) = (place.inbox().await, place.mailbox("Junk").await);
    assert_eq!((inbox.messages, inbox.unseen, inbox.uid_next), (20, 0, 61));
    assert_eq!((junk.messages, junk.unseen, junk.uid_next), (20, 20, 21));
    let gone = place.store.changes(inbox.id, 1).await.unwrap().expunged;
    assert_eq!(
        gone,
        (1..=60)
            .filter(|uid| !kept.contains(uid))
            .collect::<Vec<_>>()
    );
}

pub async fn a_dropped_call_is_done_whole_or_not_at_all<B: Backend>() {
    let place = Place::<B>::new().await;
    for number in 0..40 {
        let (store, account) = (place.store.clone(), place.alice);
        let text = format!("message {number}");
        let call = tokio::spawn(async move {
            store
                .deliver(delivery(number, account, "INBOX", &text))
                .await
        });
        for _ in 0..number % 4 {
            tokio::task::yield_now().await;
        }
        call.abort();
        let _ = call.await;
    }
    // The next one is behind them all.
    place
        .store
        .deliver(delivery(99, place.alice, "INBOX", "last"))
        .await
        .unwrap();
    let inbox = place.inbox().await;
    let messages = place.store.messages(inbox.id).await.unwrap();
    assert_eq!(messages.len(), inbox.messages as usize);
    let mut journals = 0;
    for number in (0..40).chain([99]) {
        let id = super::journal(number, &[]).id;
        if let Some(journal) = place.store.journal(id.as_str()).await.unwrap() {
            journals += 1;
            let text = place.text(inbox.id, filed(&journal)[0].1).await;
            assert!(text == "last" || text == format!("message {number}"));
        }
    }
    assert_eq!(journals, messages.len());
}

pub async fn watchers_are_told_after_the_commit<B: Backend>() {
    let place = Place::<B>::new().await;
    let other = place
        .store
        .add_account(&super::address("bob@example.test"), "x")
        .await
        .unwrap();
    let inbox = place.inbox().await.id;
    let mut watching = place.store.watch(place.alice);
    let mut elsewhere = place.store.watch(other);
    watching.mark_unchanged();
    elsewhere.mark_unchanged();
    let store = place.store.clone();
    let waiting = tokio::spawn(async move {
        watching.changed().await.unwrap();
        // What was told of can be read.
        let uids = store.messages(inbox).await.unwrap().len();
        (uids, watching)
    });
    place
        .store
        .deliver(delivery(1, place.alice, "INBOX", "x"))
        .await
        .unwrap();
    let told = tokio::time::timeout(Duration::from_secs(30), waiting).await;
    let (uids, mut watching) = told.unwrap().unwrap();
    assert_eq!(uids, 1);
    for _ in 0..3 {
        place.change_flags(inbox, &[1], FlagOp::Add, "\\Seen").await;
        place
            .change_flags(inbox, &[1], FlagOp::Remove, "\\Seen")
            .await;
        assert!(watching.has_changed().unwrap());
        watching.mark_unchanged();
    }
    place
        .change_flags(inbox, &[1], FlagOp::Add, "\\Deleted")
        .await;
    watching.mark_unchanged();
    place.store.expunge(inbox, None).await.unwrap();
    assert!(watching.has_changed().unwrap());
    assert!(!elsewhere.has_changed().unwrap());
    // Reading changes nothing.
    watching.mark_unchanged();
    place.store.messages(inbox).await.unwrap();
    assert!(!watching.has_changed().unwrap());
}
