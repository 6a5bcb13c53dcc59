//! Delivery and journals.

use super::{
    Backend, Place, address, assert_error, delivery, filed, flags, journal, name, splice, time,
};
use wasmilter::mail::{Content, ContentBuilder, Disposition, Where};
use wasmilter::store::{Delivery, DeliveryCopy, Flags, StoreError};

pub async fn a_delivered_message_is_read_back<B: Backend>() {
    let place = Place::<B>::new().await;
    let mut delivery = delivery(1, place.alice, "inbox", "Subject: x\r\n\r\ntext\0\r\n");
    delivery.copies[0].flags = flags("\\Flagged $Important");
    let expected = delivery.journal.clone();
    let journal = place.store.deliver(delivery).await.unwrap();
    assert_eq!(filed(&journal), [("INBOX".to_owned(), 1)]);
    assert_eq!(
        (&journal.id, &journal.subject),
        (&expected.id, &expected.subject)
    );
    let inbox = place.inbox().await;
    assert_eq!((inbox.messages, inbox.unseen, inbox.uid_next), (1, 1, 2));
    let messages = place.store.messages(inbox.id).await.unwrap();
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].uid, 1);
    assert_eq!(messages[0].flags, flags("\\Flagged $Important"));
    assert_eq!(messages[0].internal_date, time(1_763_873_000));
    assert_eq!(messages[0].size, 21);
    assert_eq!(messages[0].modseq, inbox.highest_modseq);
    assert_eq!(
        place.text(inbox.id, 1).await,
        "Subject: x\r\n\r\ntext\0\r\n"
    );
}

pub async fn each_copy_has_its_own_splices<B: Backend>() {
    let place = Place::<B>::new().await;
    let bob = place
        .store
        .add_account(&address("bob@example.test"), "x")
        .await
        .unwrap();
    let received = Content::from_bytes("A: 1\r\nB: 2\r\n\r\nbody");
    let versions = [
        (
            place.alice,
            vec![splice(0, 0, "X: alice\r\n"), splice(6, 6, "")],
        ),
        (bob, vec![splice(0, 0, "X: bob\r\n")]),
        (place.alice, vec![]),
        (bob, vec![splice(0, 0, "X: bob\r\n")]),
    ];
    let copies = versions
        .iter()
        .enumerate()
        .map(|(at, (account, splices))| DeliveryCopy {
            disposition: at,
            account: *account,
            mailbox: name("Lists"),
            flags: Flags::new(),
            content: received.with_splices(splices.clone()).unwrap(),
        });
    let recipients: Vec<_> = (0..4).map(|at| format!("r{at}@example.test")).collect();
    let recipients: Vec<_> = recipients.iter().map(String::as_str).collect();
    let delivered = place
        .store
        .deliver(Delivery {
            received_at: time(1),
            journal: journal(1, &recipients),
            copies: copies.collect(),
            aside: Vec::new(),
        })
        .await
        .unwrap();
    let uids: Vec<_> = filed(&delivered).into_iter().map(|(_, uid)| uid).collect();
    assert_eq!(uids, [1, 1, 2, 2]);
    let expected = [
        "X: alice\r\nA: 1\r\n\r\nbody",
        "X: bob\r\nA: 1\r\nB: 2\r\n\r\nbody",
        "A: 1\r\nB: 2\r\n\r\nbody",
        "X: bob\r\nA: 1\r\nB: 2\r\n\r\nbody",
    ];
    for ((account, splices), (uid, text)) in versions.iter().zip(uids.into_iter().zip(expected)) {
        let mailbox = place.store.mailbox(*account, &name("Lists")).await.unwrap();
        assert_eq!(place.text(mailbox.id, uid).await, text);
        let content = place.store.content(mailbox.id, uid).await.unwrap();
        assert_eq!(content.splices(), splices);
        assert_eq!(
            content.received().bytes().unwrap(),
            received.bytes().unwrap()
        );
        let messages = place.store.messages(mailbox.id).await.unwrap();
        assert_eq!(messages[uid as usize - 1].size, text.len() as u64);
    }
}

pub async fn a_missing_mailbox_is_made_and_subscribed<B: Backend>() {
    let place = Place::<B>::new().await;
    place
        .store
        .deliver(delivery(1, place.alice, "Lists/rust/Ünïcode", "text"))
        .await
        .unwrap();
    let subscriptions = place.store.subscriptions(place.alice).await.unwrap();
    for made in ["Lists", "Lists/rust", "Lists/rust/Ünïcode"] {
        let messages = u32::from(made.ends_with('e'));
        assert_eq!(place.mailbox(made).await.messages, messages);
        assert!(subscriptions.contains(&name(made)));
    }
}

pub async fn a_delivery_that_cannot_be_made_whole_is_not_made_at_all<B: Backend>() {
    let place = Place::<B>::new().await;
    let gone = place
        .store
        .add_account(&address("bob@example.test"), "x")
        .await
        .unwrap();
    place
        .store
        .remove_account(&address("bob@example.test"))
        .await
        .unwrap();
    let mut broken = delivery(1, place.alice, "New", "text");
    broken.journal = journal(1, &["alice@example.test", "bob@example.test"]);
    broken.copies.push(DeliveryCopy {
        disposition: 1,
        account: gone,
        mailbox: name("INBOX"),
        flags: Flags::new(),
        content: broken.copies[0].content.clone(),
    });
    let id = broken.journal.id.clone();
    assert_error!(place.store.deliver(broken).await, StoreError::NotFound(_));
    assert_error!(
        place.store.mailbox(place.alice, &name("New")).await,
        StoreError::NotFound(_)
    );
    assert_eq!(place.store.journal(id.as_str()).await.unwrap(), None);
    // It does not stand in the way of others.
    place
        .store
        .deliver(delivery(2, place.alice, "New", "text"))
        .await
        .unwrap();
    assert_eq!(place.mailbox("New").await.messages, 1);
}

pub async fn journals_are_found_by_transaction_and_by_message_id<B: Backend>() {
    let place = Place::<B>::new().await;
    let store = &place.store;
    let mut stored = Vec::new();
    for number in 1..=3 {
        let mut delivery = delivery(number, place.alice, "INBOX", "text");
        delivery.journal.message_id = Some("same@example.test".into());
        stored.push(store.deliver(delivery).await.unwrap());
    }
    for journal in &stored {
        let found = store.journal(journal.id.as_str()).await.unwrap();
        assert_eq!(found.as_ref(), Some(journal));
    }
    for key in ["same@example.test", "<same@example.test>"] {
        assert_eq!(store.journal(key).await.unwrap().as_ref(), stored.last());
    }
    for key in ["", "<>", "other@example.test", "01ARZ3NDEKTSV4RRFF"] {
        assert_eq!(store.journal(key).await.unwrap(), None, "{key:?}");
    }
    // So are those of long ago.
    for number in 1000..1300 {
        store.record(&journal(number, &[])).await.unwrap();
    }
    assert_eq!(
        store.journal("same@example.test").await.unwrap().as_ref(),
        stored.last()
    );
    // They say what was done, also when the mail is gone.
    store
        .remove_account(&address("alice@example.test"))
        .await
        .unwrap();
    assert!(
        store
            .journal(stored[0].id.as_str())
            .await
            .unwrap()
            .is_some()
    );
}

pub async fn a_journal_without_a_message_is_kept<B: Backend>() {
    let place = Place::<B>::new().await;
    let mut refused = journal(7, &[]);
    refused.message_id = None;
    refused.dispositions.push(Where {
        recipient: address("alice@example.test"),
        disposition: Disposition::Refused {
            reply: "550 5.7.1 no".into(),
        },
    });
    place.store.record(&refused).await.unwrap();
    let found = place.store.journal(refused.id.as_str()).await.unwrap();
    assert_eq!(found, Some(refused));
    assert_eq!(place.inbox().await.messages, 0);
}

pub async fn messages_in_files_are_taken_over<B: Backend>() {
    let place = Place::<B>::new().await;
    let staging = tempfile::tempdir().unwrap();
    let text = "0123456789".repeat(1000);
    let mut builder = ContentBuilder::new(staging.path(), 100);
    builder.push(text.as_bytes()).unwrap();
    let content = builder.finish().unwrap();
    assert!(content.in_file().is_some());
    let mut delivery = delivery(1, place.alice, "INBOX", "");
    delivery.copies[0].content = content.with_splices(vec![splice(3, 4, "abc")]).unwrap();
    place.store.deliver(delivery).await.unwrap();
    drop(content);
    assert_eq!(std::fs::read_dir(&staging).unwrap().count(), 0);
    let place = place.reopened();
    let inbox = place.inbox().await;
    assert_eq!(
        place.text(inbox.id, 1).await,
        format!("012abc{}", &text[7..])
    );
}

pub async fn everything_is_there_after_reopening<B: Backend>() {
    let place = Place::<B>::new().await;
    let journal = place
        .store
        .deliver(delivery(1, place.alice, "Lists/a", "one"))
        .await
        .unwrap();
    place
        .store
        .deliver(delivery(2, place.alice, "INBOX", "two"))
        .await
        .unwrap();
    let inbox = place.inbox().await;
    place
        .append(inbox.id, &[("three", "\\Deleted \\Seen"), ("four", "key")])
        .await;
    place.store.expunge(inbox.id, None).await.unwrap();
    place
        .store
        .subscribe(place.alice, &name("Elsewhere"), true)
        .await
        .unwrap();
    let describe = async |place: &Place<B>| {
        let mut all = Vec::new();
        for mailbox in place.store.mailboxes(place.alice).await.unwrap() {
            let messages = place.store.messages(mailbox.id).await.unwrap();
            let changes = place.store.changes(mailbox.id, 0).await.unwrap();
            all.push(format!("{mailbox:?} {messages:?} {changes:?}"));
            for message in messages {
                all.push(place.text(mailbox.id, message.uid).await);
            }
        }
        all.push(format!(
            "{:?}",
            place.store.subscriptions(place.alice).await.unwrap()
        ));
        all.push(format!("{:?}", place.store.accounts().await.unwrap()));
        all
    };
    let before = describe(&place).await;
    let place = place.reopened();
    assert_eq!(describe(&place).await, before);
    assert_eq!(
        place.store.journal(journal.id.as_str()).await.unwrap(),
        Some(journal)
    );
    // UIDs go on where they were, also past the one that is gone.
    assert_eq!(place.append(inbox.id, &[("five", "")]).await, [4]);
}
