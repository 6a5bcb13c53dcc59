//! Mail that is removed in several commits: who waits for another one, and what is left when it is broken off.

use super::sqlite::{Sqlite, rows};
use super::{Place, address, assert_error, delivery, name, time};
use std::future::Future;
use std::path::Path;
use wasmilter::mail::Content;
use wasmilter::store::{Append, FlagOp, Flags, MailboxId, StoreError};

const MANY: u32 = 2_600;

async fn filled(place: &Place<Sqlite>, mailbox: &str) -> MailboxId {
    let id = match mailbox {
        "INBOX" => place.inbox().await.id,
        other => {
            place
                .store
                .create(place.alice, &name(other))
                .await
                .unwrap()
                .id
        }
    };
    let messages = (0..MANY).map(|number| Append {
        content: Content::from_bytes(number.to_string()),
        flags: Flags::new(),
        internal_date: time(1),
    });
    place.store.append(id, messages.collect()).await.unwrap();
    id
}

/// Drops it once some of the messages are gone, if that can be seen.
async fn broken_off(
    directory: &Path,
    removal: impl Future<Output = Result<(), StoreError>>,
) -> bool {
    let begun = async {
        while rows(directory, "message") == i64::from(MANY) {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        _ = removal => {}
        () = begun => {}
    }
    (1..i64::from(MANY)).contains(&rows(directory, "message"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_is_delivered_while_an_account_is_removed() {
    let place = Place::<Sqlite>::new().await;
    let directory = place.directory.path();
    let bob = address("bob@example.test");
    let bob = place.store.add_account(&bob, "x").await.unwrap();
    filled(&place, "INBOX").await;
    let store = place.store.clone();
    let removal =
        tokio::spawn(async move { store.remove_account(&address("alice@example.test")).await });
    // It is not there any more for anybody, but its mail still is.
    let mut between = false;
    let mut number = 0;
    while !between && !removal.is_finished() {
        number += 1;
        let delivery = delivery(number, bob, "INBOX", "text");
        place.store.deliver(delivery).await.unwrap();
        let left = rows(directory, "message") - number as i64;
        between = (1..i64::from(MANY)).contains(&left);
    }
    assert!(between, "no delivery between two commits of the removal");
    removal.await.unwrap().unwrap();
    assert_eq!(rows(directory, "message"), number as i64);
    assert_eq!(
        (rows(directory, "account"), rows(directory, "mailbox")),
        (1, 6)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_of_an_account_that_was_broken_off_is_done_again() {
    let place = Place::<Sqlite>::new().await;
    let (store, directory) = (&place.store, place.directory.path());
    let login = address("alice@example.test");
    let inbox = filled(&place, "INBOX").await;
    let mut changes = store.watch(place.alice);
    assert!(broken_off(directory, store.remove_account(&login)).await);
    // It is gone for everybody.
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    assert!(store.account(&login).await.unwrap().is_none());
    assert!(store.accounts().await.unwrap().is_empty());
    assert_error!(store.mailboxes(place.alice).await, StoreError::NotFound(_));
    assert_error!(store.messages(inbox).await, StoreError::NotFound(_));
    assert_error!(store.changes(inbox, 1).await, StoreError::NotFound(_));
    let late = delivery(1, place.alice, "INBOX", "text");
    assert_error!(store.deliver(late).await, StoreError::NotFound(_));

    store
        .remove_account(&address("ALICE@example.test"))
        .await
        .unwrap();
    for table in ["account", "mailbox", "message", "blob", "subscription"] {
        assert_eq!(rows(directory, table), 0, "{table}");
    }
    assert_error!(store.remove_account(&login).await, StoreError::NotFound(_));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_deleted_mailbox_has_left_is_cleared_away() {
    let place = Place::<Sqlite>::new().await;
    let (store, directory) = (&place.store, place.directory.path());
    let first = filled(&place, "lists").await;
    assert!(broken_off(directory, store.delete(place.alice, &name("lists"))).await);
    assert_error!(store.messages(first).await, StoreError::NotFound(_));
    // Another one of the same name has nothing to do with it, nor has somebody of the same login.
    let second = store.create(place.alice, &name("lists")).await.unwrap();
    place.append(second.id, &[("new", "")]).await;
    store.clear_removed().await.unwrap();
    assert_eq!(
        (rows(directory, "message"), rows(directory, "account")),
        (1, 1)
    );
    assert_eq!(place.text(second.id, 1).await, "new");
    // One that nothing breaks off is gone with all that was in it.
    store.delete(place.alice, &name("lists")).await.unwrap();
    assert_eq!(
        (rows(directory, "message"), rows(directory, "blob")),
        (0, 0)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_messages_are_expunged_in_several_commits() {
    let place = Place::<Sqlite>::new().await;
    let inbox = filled(&place, "INBOX").await;
    let all: Vec<_> = (1..=MANY).collect();
    place
        .change_flags(inbox, &all, FlagOp::Add, "\\Deleted")
        .await;
    place
        .change_flags(inbox, &[7], FlagOp::Remove, "\\Deleted")
        .await;
    let before = place.inbox().await.highest_modseq;
    let gone = place.store.expunge(inbox, None).await.unwrap();
    assert_eq!(gone.len() as u32, MANY - 1);
    assert_eq!(place.uids(inbox).await, [7]);
    let after = place.inbox().await;
    assert!(after.highest_modseq - before > 1);
    assert_eq!((after.messages, after.unseen), (1, 1));
    let changes = place.store.changes(inbox, before).await.unwrap();
    assert_eq!(changes.expunged, gone);
}
