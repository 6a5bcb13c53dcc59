//! Accounts.

use super::{Backend, Place, address, assert_error, delivery};
use wasmilter::store::{SpecialUse, StoreError};

pub async fn an_account_has_inbox_and_the_special_mailboxes<B: Backend>() {
    let place = Place::<B>::new().await;
    let mailboxes = place.store.mailboxes(place.alice).await.unwrap();
    let names: Vec<_> = mailboxes
        .iter()
        .map(|mailbox| mailbox.name.as_str())
        .collect();
    assert_eq!(
        names,
        ["INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash"]
    );
    for mailbox in &mailboxes {
        let name = mailbox.name.as_str();
        assert_eq!(mailbox.special_use.map_or("INBOX", SpecialUse::name), name);
        assert!(mailbox.uid_validity > 0 && mailbox.highest_modseq >= 1);
        assert_eq!(
            (mailbox.uid_next, mailbox.messages, mailbox.unseen),
            (1, 0, 0)
        );
    }
    let subscriptions = place.store.subscriptions(place.alice).await.unwrap();
    let mut subscribed: Vec<_> = subscriptions.iter().map(|name| name.as_str()).collect();
    subscribed.sort_unstable();
    assert_eq!(
        subscribed,
        ["Archive", "Drafts", "INBOX", "Junk", "Sent", "Trash"]
    );
}

pub async fn logins_are_compared_without_case<B: Backend>() {
    let place = Place::<B>::new().await;
    let store = &place.store;
    let found = store
        .account(&address("ALICE@Example.Test"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (found.id, found.login.to_string().as_str()),
        (place.alice, "alice@example.test")
    );
    assert_eq!(found.password, "$argon2id$alice");
    let again = store.add_account(&address("Alice@example.test"), "x").await;
    assert_error!(again, StoreError::AlreadyExists(_));
    store
        .add_account(&address("Юлия@пример.test"), "x")
        .await
        .unwrap();
    assert!(
        store
            .account(&address("юлия@пример.test"))
            .await
            .unwrap()
            .is_some()
    );
    assert!(
        store
            .account(&address("bob@example.test"))
            .await
            .unwrap()
            .is_none()
    );
    store
        .add_account(&address("Aaron@example.test"), "x")
        .await
        .unwrap();
    let logins = store.accounts().await.unwrap();
    let logins: Vec<_> = logins
        .iter()
        .map(|account| account.login.to_string())
        .collect();
    assert_eq!(
        logins,
        [
            "Aaron@example.test",
            "alice@example.test",
            "Юлия@пример.test"
        ]
    );
}

pub async fn passwords_are_changed<B: Backend>() {
    let place = Place::<B>::new().await;
    let login = address("Alice@example.test");
    place
        .store
        .set_password(&login, "$argon2id$new")
        .await
        .unwrap();
    let account = place.store.account(&login).await.unwrap().unwrap();
    assert_eq!(account.password, "$argon2id$new");
    let unknown = place
        .store
        .set_password(&address("bob@example.test"), "x")
        .await;
    assert_error!(unknown, StoreError::NotFound(_));
}

pub async fn removing_an_account_takes_its_mail_along<B: Backend>() {
    let place = Place::<B>::new().await;
    let store = &place.store;
    store
        .deliver(delivery(1, place.alice, "INBOX", "text"))
        .await
        .unwrap();
    let inbox = place.inbox().await;
    let mut changes = store.watch(place.alice);
    store
        .remove_account(&address("ALICE@example.test"))
        .await
        .unwrap();
    assert!(changes.has_changed().unwrap());
    changes.mark_unchanged();
    assert_error!(store.mailboxes(place.alice).await, StoreError::NotFound(_));
    assert_error!(store.messages(inbox.id).await, StoreError::NotFound(_));
    assert_error!(store.content(inbox.id, 1).await, StoreError::NotFound(_));
    let late = store
        .deliver(delivery(2, place.alice, "INBOX", "text"))
        .await;
    assert_error!(late, StoreError::NotFound(_));
    let again = store.remove_account(&address("alice@example.test")).await;
    assert_error!(again, StoreError::NotFound(_));
    // Somebody else of the same name later is somebody else.
    let new = store
        .add_account(&address("alice@example.test"), "x")
        .await
        .unwrap();
    assert_ne!(new, place.alice);
    let fresh = store.mailboxes(new).await.unwrap();
    assert!(
        fresh
            .iter()
            .all(|mailbox| mailbox.messages == 0 && mailbox.id != inbox.id)
    );
}
