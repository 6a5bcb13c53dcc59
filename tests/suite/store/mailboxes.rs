//! The tree of mailboxes and subscriptions.

use super::{Backend, Place, assert_error, delivery, name};
use wasmilter::store::{
    AccountId, Copying, FlagChange, FlagOp, Flags, MailboxId, SpecialUse, StoreError,
};

async fn names<B: Backend>(place: &Place<B>) -> Vec<String> {
    let mailboxes = place.store.mailboxes(place.alice).await.unwrap();
    mailboxes
        .iter()
        .filter(|mailbox| mailbox.special_use.is_none())
        .map(|mailbox| mailbox.name.to_string())
        .collect()
}

async fn create<B: Backend>(place: &Place<B>, created: &[&str]) {
    for one in created {
        place.store.create(place.alice, &name(one)).await.unwrap();
    }
}

pub async fn creating_makes_the_levels_above<B: Backend>() {
    let place = Place::<B>::new().await;
    let made = place
        .store
        .create(place.alice, &name("a/b/c"))
        .await
        .unwrap();
    assert_eq!(
        (made.name.as_str(), made.uid_next, made.messages),
        ("a/b/c", 1, 0)
    );
    assert_eq!(names(&place).await, ["INBOX", "a", "a/b", "a/b/c"]);
    for existing in ["a/b", "a/b/c", "inbox", "Junk"] {
        let again = place.store.create(place.alice, &name(existing)).await;
        assert_error!(again, StoreError::AlreadyExists(_));
    }
    // Creating is not subscribing.
    let subscriptions = place.store.subscriptions(place.alice).await.unwrap();
    assert!(!subscriptions.contains(&name("a/b/c")));
}

pub async fn inbox_is_first_then_by_name<B: Backend>() {
    let place = Place::<B>::new().await;
    create(&place, &["b", "Z", "a", "INBOX/x", "A"]).await;
    assert_eq!(
        names(&place).await,
        ["INBOX", "A", "INBOX/x", "Z", "a", "b"]
    );
}

pub async fn inbox_cannot_be_deleted<B: Backend>() {
    let place = Place::<B>::new().await;
    let refused = place.store.delete(place.alice, &name("Inbox")).await;
    assert_error!(refused, StoreError::Refused(_));
    assert_error!(
        place.store.delete(place.alice, &name("none")).await,
        StoreError::NotFound(_)
    );
}

pub async fn deleting_leaves_what_is_below<B: Backend>() {
    let place = Place::<B>::new().await;
    create(&place, &["a/b"]).await;
    let above = place.mailbox("a").await;
    place.append(above.id, &[("x", "")]).await;
    place.store.delete(place.alice, &name("a")).await.unwrap();
    assert_eq!(names(&place).await, ["INBOX", "a/b"]);
    assert_error!(
        place.store.messages(above.id).await,
        StoreError::NotFound(_)
    );
}

pub async fn a_mailbox_made_again_has_another_uid_validity<B: Backend>() {
    let place = Place::<B>::new().await;
    let mut seen = std::collections::HashSet::new();
    for _ in 0..4 {
        let made = place.store.create(place.alice, &name("a")).await.unwrap();
        assert!(seen.insert((made.uid_validity, 0)) && seen.insert((0, made.id.0)));
        assert_eq!(place.append(made.id, &[("x", "")]).await, [1]);
        place.store.delete(place.alice, &name("a")).await.unwrap();
    }
}

pub async fn renaming_takes_along_what_is_below<B: Backend>() {
    let place = Place::<B>::new().await;
    create(&place, &["a/b/c", "ab", "a-b"]).await;
    let before = place.mailbox("a/b").await;
    place.append(before.id, &[("x", "\\Seen")]).await;
    place
        .store
        .rename(place.alice, &name("a"), &name("z/y"))
        .await
        .unwrap();
    assert_eq!(
        names(&place).await,
        ["INBOX", "a-b", "ab", "z", "z/y", "z/y/b", "z/y/b/c"]
    );
    let after = place.mailbox("z/y/b").await;
    assert_eq!(
        (after.id, after.uid_validity),
        (before.id, before.uid_validity)
    );
    assert_eq!(place.text(after.id, 1).await, "x");
}

/// RFC 3501 §6.3.5
pub async fn renaming_a_level_without_a_mailbox<B: Backend>() {
    let place = Place::<B>::new().await;
    create(&place, &["a/b/c", "ab"]).await;
    let below = place.mailbox("a/b").await;
    place.append(below.id, &[("x", "")]).await;
    place.store.delete(place.alice, &name("a")).await.unwrap();
    let rename = async |from, to| {
        place
            .store
            .rename(place.alice, &name(from), &name(to))
            .await
    };
    assert_error!(rename("a", "a/x").await, StoreError::Refused(_));
    assert_error!(rename("a", "ab").await, StoreError::AlreadyExists(_));
    rename("a", "z/y").await.unwrap();
    assert_eq!(
        names(&place).await,
        ["INBOX", "ab", "z", "z/y/b", "z/y/b/c"]
    );
    assert_eq!(place.text(below.id, 1).await, "x");
    assert_error!(rename("a", "b").await, StoreError::NotFound(_));
}

pub async fn renaming_to_what_cannot_be<B: Backend>() {
    let place = Place::<B>::new().await;
    create(&place, &["a/b", "c", "d/b"]).await;
    place.store.delete(place.alice, &name("d")).await.unwrap();
    let rename = async |from, to| {
        place
            .store
            .rename(place.alice, &name(from), &name(to))
            .await
    };
    assert_error!(rename("none", "x").await, StoreError::NotFound(_));
    assert_error!(rename("a", "c").await, StoreError::AlreadyExists(_));
    assert_error!(rename("a", "a").await, StoreError::AlreadyExists(_));
    assert_error!(rename("a", "inbox").await, StoreError::AlreadyExists(_));
    assert_error!(rename("a", "a/x").await, StoreError::Refused(_));
    // d/b is there although d is not.
    assert_error!(rename("a", "d").await, StoreError::AlreadyExists(_));
    let long = "x".repeat(254);
    assert_error!(rename("a", &long).await, StoreError::Refused(_));
    assert_eq!(names(&place).await, ["INBOX", "a", "a/b", "c", "d/b"]);
}

pub async fn renaming_inbox_moves_its_messages<B: Backend>() {
    let place = Place::<B>::new().await;
    create(&place, &["INBOX/below"]).await;
    let inbox = place.inbox().await;
    place
        .append(inbox.id, &[("one", "\\Seen key"), ("two", "")])
        .await;
    let dates = place.store.messages(inbox.id).await.unwrap();
    place
        .store
        .rename(place.alice, &name("INBOX"), &name("old/2025"))
        .await
        .unwrap();
    assert_eq!(
        names(&place).await,
        ["INBOX", "INBOX/below", "old", "old/2025"]
    );
    let (emptied, old) = (place.inbox().await, place.mailbox("old/2025").await);
    assert_eq!(
        (emptied.id, emptied.uid_validity),
        (inbox.id, inbox.uid_validity)
    );
    assert_eq!(
        (emptied.messages, emptied.unseen, emptied.uid_next),
        (0, 0, 3)
    );
    assert_eq!((old.messages, old.unseen), (2, 1));
    let moved = place.store.messages(old.id).await.unwrap();
    for (before, after) in dates.iter().zip(&moved) {
        assert_eq!(before.flags, after.flags);
        assert_eq!(before.internal_date, after.internal_date);
    }
    assert_eq!(place.text(old.id, moved[1].uid).await, "two");
    let changes = place.store.changes(inbox.id, 1).await.unwrap();
    assert_eq!((changes.changed.len(), changes.expunged), (0, vec![1, 2]));
}

pub async fn subscriptions_are_names<B: Backend>() {
    let place = Place::<B>::new().await;
    for (subscribed, on) in [
        ("zz/none", true),
        ("zz/none", true),
        ("Junk", false),
        ("Junk", false),
    ] {
        place
            .store
            .subscribe(place.alice, &name(subscribed), on)
            .await
            .unwrap();
    }
    let subscriptions = place.store.subscriptions(place.alice).await.unwrap();
    let found: Vec<_> = subscriptions.iter().map(|name| name.as_str()).collect();
    assert_eq!(
        found,
        ["Archive", "Drafts", "INBOX", "Sent", "Trash", "zz/none"]
    );
    // RFC 3501 §6.3.9: deleting does not unsubscribe.
    place
        .store
        .delete(place.alice, &name("Sent"))
        .await
        .unwrap();
    let subscriptions = place.store.subscriptions(place.alice).await.unwrap();
    assert!(subscriptions.contains(&name("Sent")));
}

pub async fn a_special_mailbox_made_again_is_special_again<B: Backend>() {
    let place = Place::<B>::new().await;
    place
        .store
        .delete(place.alice, &name("Junk"))
        .await
        .unwrap();
    place
        .store
        .deliver(delivery(1, place.alice, "Junk", "x"))
        .await
        .unwrap();
    assert_eq!(
        place.mailbox("Junk").await.special_use,
        Some(SpecialUse::Junk)
    );
    // The use goes with the mailbox; there is one of each.
    place
        .store
        .rename(place.alice, &name("Sent"), &name("Gesendet"))
        .await
        .unwrap();
    create(&place, &["Sent"]).await;
    assert_eq!(
        place.mailbox("Gesendet").await.special_use,
        Some(SpecialUse::Sent)
    );
    assert_eq!(place.mailbox("Sent").await.special_use, None);
}

pub async fn what_is_gone_is_not_found<B: Backend>() {
    let place = Place::<B>::new().await;
    let (store, inbox) = (&place.store, place.inbox().await.id);
    let (nobody, nowhere) = (AccountId(4711), MailboxId(4711));
    assert_error!(store.mailboxes(nobody).await, StoreError::NotFound(_));
    assert_error!(store.subscriptions(nobody).await, StoreError::NotFound(_));
    assert_error!(
        store.subscribe(nobody, &name("x"), true).await,
        StoreError::NotFound(_)
    );
    assert_error!(
        store.create(nobody, &name("x")).await,
        StoreError::NotFound(_)
    );
    assert_error!(
        store.mailbox(place.alice, &name("x")).await,
        StoreError::NotFound(_)
    );
    assert_error!(store.messages(nowhere).await, StoreError::NotFound(_));
    assert_error!(store.changes(nowhere, 1).await, StoreError::NotFound(_));
    assert_error!(store.content(nowhere, 1).await, StoreError::NotFound(_));
    assert_error!(store.content(inbox, 1).await, StoreError::NotFound(_));
    assert_error!(store.append(nowhere, vec![]).await, StoreError::NotFound(_));
    assert_error!(store.expunge(nowhere, None).await, StoreError::NotFound(_));
    let change = FlagChange {
        op: FlagOp::Add,
        flags: Flags::new(),
        unchanged_since: None,
    };
    assert_error!(
        store.store_flags(nowhere, &[1], change).await,
        StoreError::NotFound(_)
    );
    for (from, to) in [(nowhere, inbox), (inbox, nowhere)] {
        let copying = Copying {
            from,
            uids: &[1],
            to,
            r#move: false,
        };
        assert_error!(store.copy(copying).await, StoreError::NotFound(_));
    }
}
