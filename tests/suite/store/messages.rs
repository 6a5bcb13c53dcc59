//! Messages: UIDs, flags, MODSEQ, copies, removals.

use super::{Backend, Place, assert_error, flags, name, splice, time};
use wasmilter::mail::Content;
use wasmilter::store::{Append, Copying, FlagChange, FlagOp, StoreError};

pub async fn append_keeps_flags_date_and_octets<B: Backend>() {
    let place = Place::<B>::new().await;
    let drafts = place.mailbox("Drafts").await.id;
    let content = Content::from_bytes("0123456789");
    let appended = [
        (content.clone(), "\\Draft \\SEEN", 5),
        (
            content.with_splices(vec![splice(2, 3, "ab")]).unwrap(),
            "",
            -7,
        ),
        (Content::from_bytes(""), "key", 1_700_000_000),
    ];
    let messages = appended.iter().map(|(content, set, date)| Append {
        content: content.clone(),
        flags: flags(set),
        internal_date: time(*date),
    });
    let uids = place
        .store
        .append(drafts, messages.collect())
        .await
        .unwrap();
    assert_eq!(uids, [1, 2, 3]);
    let stored = place.store.messages(drafts).await.unwrap();
    for ((content, _, date), message) in appended.iter().zip(&stored) {
        assert_eq!(message.internal_date, time(*date));
        assert_eq!(message.size, content.len());
        let text = String::from_utf8(content.bytes().unwrap().to_vec()).unwrap();
        assert_eq!(place.text(drafts, message.uid).await, text);
    }
    let sets: Vec<_> = stored.iter().map(|message| message.flags.clone()).collect();
    assert_eq!(sets, [flags("\\Draft \\Seen"), flags(""), flags("key")]);
    assert!(stored.is_sorted_by_key(|message| message.modseq));
    let after = place.mailbox("Drafts").await;
    assert_eq!((after.messages, after.unseen, after.uid_next), (3, 2, 4));
    assert_eq!(after.highest_modseq, stored[2].modseq);
    assert_eq!(place.store.append(drafts, vec![]).await.unwrap(), [0u32; 0]);
}

pub async fn uids_are_not_used_again<B: Backend>() {
    let place = Place::<B>::new().await;
    let inbox = place.inbox().await.id;
    assert_eq!(
        place.append(inbox, &[("a", ""), ("b", "\\Deleted")]).await,
        [1, 2]
    );
    place.store.expunge(inbox, None).await.unwrap();
    let place = place.reopened();
    assert_eq!(place.append(inbox, &[("c", "")]).await, [3]);
    assert_eq!(place.inbox().await.uid_next, 4);
}

pub async fn flags_are_added_removed_replaced<B: Backend>() {
    let place = Place::<B>::new().await;
    let inbox = place.inbox().await.id;
    place
        .append(inbox, &[("a", "$Forwarded \\Seen"), ("b", ""), ("c", "")])
        .await;
    let change = |op, set: &str| FlagChange {
        op,
        flags: flags(set),
        unchanged_since: None,
    };
    for (op, given, expected) in [
        (
            FlagOp::Add,
            "$forwarded \\flagged \\Recent",
            "$Forwarded \\Seen \\Flagged",
        ),
        (FlagOp::Remove, "$FORWARDED \\Answered", "\\Seen \\Flagged"),
        (FlagOp::Replace, "x y \\Deleted", "x y \\Deleted"),
        (FlagOp::Replace, "", ""),
    ] {
        let before = place.inbox().await.highest_modseq;
        // Unordered, twice the same, and one that is not there.
        let answer = place
            .store
            .store_flags(inbox, &[9, 1, 1], change(op, given))
            .await
            .unwrap();
        assert_eq!(answer.len(), 1);
        assert_eq!((answer[0].uid, &answer[0].flags), (1, &flags(expected)));
        let after = place.inbox().await.highest_modseq;
        assert!(answer[0].modseq > before && answer[0].modseq == after);
        assert_eq!(place.store.messages(inbox).await.unwrap()[0], answer[0]);
    }
    let answer = place
        .store
        .store_flags(inbox, &[3, 2], change(FlagOp::Add, "\\Seen"))
        .await
        .unwrap();
    assert_eq!(
        answer.iter().map(|message| message.uid).collect::<Vec<_>>(),
        [2, 3]
    );
}

pub async fn a_change_that_changes_nothing_has_no_modseq<B: Backend>() {
    let place = Place::<B>::new().await;
    let inbox = place.inbox().await.id;
    place.append(inbox, &[("a", "\\Seen key")]).await;
    let before = place.inbox().await.highest_modseq;
    place
        .change_flags(inbox, &[1], FlagOp::Add, "\\Seen KEY")
        .await;
    place
        .change_flags(inbox, &[1], FlagOp::Remove, "other")
        .await;
    place
        .change_flags(inbox, &[1], FlagOp::Replace, "key \\Seen")
        .await;
    place
        .change_flags(inbox, &[5], FlagOp::Add, "\\Deleted")
        .await;
    assert_eq!(place.inbox().await.highest_modseq, before);
}

pub async fn unchanged_since_leaves_out_what_changed<B: Backend>() {
    let place = Place::<B>::new().await;
    let inbox = place.inbox().await.id;
    place.append(inbox, &[("a", ""), ("b", "")]).await;
    let since = place.inbox().await.highest_modseq;
    place.change_flags(inbox, &[1], FlagOp::Add, "\\Seen").await;
    let change = FlagChange {
        op: FlagOp::Add,
        flags: flags("\\Flagged"),
        unchanged_since: Some(since),
    };
    let answer = place
        .store
        .store_flags(inbox, &[1, 2], change)
        .await
        .unwrap();
    assert_eq!(
        answer.iter().map(|message| message.uid).collect::<Vec<_>>(),
        [2]
    );
    let messages = place.store.messages(inbox).await.unwrap();
    assert_eq!(messages[0].flags, flags("\\Seen"));
    assert_eq!(messages[1].flags, flags("\\Flagged"));
}

pub async fn counts_follow_flags_and_removals<B: Backend>() {
    let place = Place::<B>::new().await;
    let inbox = place.inbox().await.id;
    let counts = async || {
        let inbox = place.inbox().await;
        (inbox.messages, inbox.unseen)
    };
    place
        .append(inbox, &[("a", ""), ("b", "\\Seen"), ("c", "")])
        .await;
    assert_eq!(counts().await, (3, 2));
    place
        .change_flags(inbox, &[1, 2], FlagOp::Add, "\\Seen")
        .await;
    assert_eq!(counts().await, (3, 1));
    place
        .change_flags(inbox, &[1, 2, 3], FlagOp::Replace, "\\Deleted")
        .await;
    assert_eq!(counts().await, (3, 3));
    place.store.expunge(inbox, Some(&[2])).await.unwrap();
    assert_eq!(counts().await, (2, 2));
    let trash = place.mailbox("Trash").await.id;
    let copying = Copying {
        from: inbox,
        uids: &[1],
        to: trash,
        r#move: true,
    };
    place.store.copy(copying).await.unwrap();
    assert_eq!(counts().await, (1, 1));
    let trash = place.mailbox("Trash").await;
    assert_eq!((trash.messages, trash.unseen), (1, 1));
}

pub async fn copies_keep_flags_and_date<B: Backend>() {
    let place = Place::<B>::new().await;
    let inbox = place.inbox().await.id;
    let archive = place.mailbox("Archive").await.id;
    place.append(archive, &[("before", "")]).await;
    place
        .append(inbox, &[("a", "\\Seen key"), ("b", "\\Flagged"), ("c", "")])
        .await;
    let spliced = Content::from_bytes("0123")
        .with_splices(vec![splice(0, 1, "xx")])
        .unwrap();
    let append = Append {
        content: spliced,
        flags: flags(""),
        internal_date: time(9),
    };
    place.store.append(inbox, vec![append]).await.unwrap();
    let copying = Copying {
        from: inbox,
        uids: &[4, 99, 2, 1, 2],
        to: archive,
        r#move: false,
    };
    let copied = place.store.copy(copying).await.unwrap();
    assert_eq!(copied.uids, [(1, 2), (2, 3), (4, 4)]);
    let (from, to) = (
        place.store.messages(inbox).await.unwrap(),
        place.store.messages(archive).await.unwrap(),
    );
    assert_eq!((from.len(), to.len()), (4, 4));
    for (old, new) in copied.uids {
        let (old, new) = (&from[old as usize - 1], &to[new as usize - 1]);
        assert_eq!(
            (&old.flags, old.internal_date, old.size),
            (&new.flags, new.internal_date, new.size)
        );
    }
    // The copy does not depend on the original.
    place
        .change_flags(inbox, &[1, 2, 3, 4], FlagOp::Add, "\\Deleted")
        .await;
    place.store.expunge(inbox, None).await.unwrap();
    assert_eq!(place.text(archive, 2).await, "a");
    assert_eq!(place.text(archive, 4).await, "xx123");
    // Into the mailbox itself.
    let copying = Copying {
        from: archive,
        uids: &[2],
        to: archive,
        r#move: false,
    };
    assert_eq!(place.store.copy(copying).await.unwrap().uids, [(2, 5)]);
    let nothing = Copying {
        from: archive,
        uids: &[77],
        to: archive,
        r#move: true,
    };
    assert_eq!(place.store.copy(nothing).await.unwrap().uids, []);
}

pub async fn moves_are_one_change<B: Backend>() {
    let place = Place::<B>::new().await;
    let (inbox, junk) = (place.inbox().await.id, place.mailbox("Junk").await.id);
    place
        .append(inbox, &[("a", "\\Seen"), ("b", ""), ("c", "")])
        .await;
    let before = place.inbox().await.highest_modseq;
    let copying = Copying {
        from: inbox,
        uids: &[3, 1],
        to: junk,
        r#move: true,
    };
    assert_eq!(
        place.store.copy(copying).await.unwrap().uids,
        [(1, 1), (3, 2)]
    );
    assert_eq!(place.uids(inbox).await, [2]);
    assert_eq!(place.text(junk, 2).await, "c");
    let changes = place.store.changes(inbox, before).await.unwrap();
    assert_eq!((changes.changed, changes.expunged), (vec![], vec![1, 3]));
    assert_error!(place.store.content(inbox, 1).await, StoreError::NotFound(_));
    // Into the mailbox itself: a new UID, which is not one of those to move although it was named.
    let copying = Copying {
        from: inbox,
        uids: &[2, 4],
        to: inbox,
        r#move: true,
    };
    assert_eq!(place.store.copy(copying).await.unwrap().uids, [(2, 4)]);
    assert_eq!(place.uids(inbox).await, [4]);
    assert_eq!(place.inbox().await.messages, 1);
}

pub async fn expunge_takes_only_the_deleted<B: Backend>() {
    let place = Place::<B>::new().await;
    let inbox = place.inbox().await.id;
    let deleted = "\\Deleted";
    place
        .append(
            inbox,
            &[
                ("1", deleted),
                ("2", ""),
                ("3", deleted),
                ("4", deleted),
                ("5", deleted),
            ],
        )
        .await;
    let chosen = place
        .store
        .expunge(inbox, Some(&[4, 2, 3, 9, 3]))
        .await
        .unwrap();
    assert_eq!(chosen, [3, 4]);
    assert_eq!(
        place.store.expunge(inbox, Some(&[])).await.unwrap(),
        [0u32; 0]
    );
    assert_eq!(place.uids(inbox).await, [1, 2, 5]);
    assert_eq!(place.store.expunge(inbox, None).await.unwrap(), [1, 5]);
    let before = place.inbox().await.highest_modseq;
    assert_eq!(place.store.expunge(inbox, None).await.unwrap(), [0u32; 0]);
    assert_eq!(place.inbox().await.highest_modseq, before);
    assert_eq!(place.uids(inbox).await, [2]);
}

pub async fn changes_tell_what_is_new_changed_and_gone<B: Backend>() {
    let place = Place::<B>::new().await;
    let inbox = place.inbox().await.id;
    place
        .append(
            inbox,
            &[("1", ""), ("2", "\\Deleted"), ("3", ""), ("4", "\\Deleted")],
        )
        .await;
    let since = place.inbox().await.highest_modseq;
    let nothing = place.store.changes(inbox, since).await.unwrap();
    assert!(nothing.changed.is_empty() && nothing.expunged.is_empty());
    assert_eq!((nothing.highest_modseq, nothing.uid_next), (since, 5));
    place.store.expunge(inbox, None).await.unwrap();
    place.append(inbox, &[("5", "")]).await;
    place.change_flags(inbox, &[1], FlagOp::Add, "\\Seen").await;
    let changes = place.store.changes(inbox, since).await.unwrap();
    let uids: Vec<_> = changes.changed.iter().map(|message| message.uid).collect();
    assert_eq!((uids, changes.expunged), (vec![1, 5], vec![2, 4]));
    assert_eq!(changes.changed[0].flags, flags("\\Seen"));
    assert_eq!(changes.uid_next, 6);
    assert_eq!(changes.highest_modseq, changes.changed[0].modseq);
    let rest = place
        .store
        .changes(inbox, changes.highest_modseq)
        .await
        .unwrap();
    assert!(rest.changed.is_empty() && rest.expunged.is_empty());
    // All from the beginning, and from where nobody has been yet.
    assert_eq!(
        place.store.changes(inbox, 0).await.unwrap().changed.len(),
        3
    );
    assert!(
        place
            .store
            .changes(inbox, u64::MAX)
            .await
            .unwrap()
            .changed
            .is_empty()
    );
    // Other mailboxes have not changed.
    let junk = place
        .store
        .mailbox(place.alice, &name("Junk"))
        .await
        .unwrap();
    assert_eq!(junk.highest_modseq, 1);
}

pub async fn odd_flags_are_refused<B: Backend>() {
    let place = Place::<B>::new().await;
    let inbox = place.inbox().await.id;
    place.append(inbox, &[("1", "")]).await;
    for odd in ["", "a b", "a\r\n", "\0"] {
        let change = FlagChange {
            op: FlagOp::Add,
            flags: [odd.to_owned()].into(),
            unchanged_since: None,
        };
        let refused = place.store.store_flags(inbox, &[1], change).await;
        assert_error!(refused, StoreError::Refused(_));
    }
}
