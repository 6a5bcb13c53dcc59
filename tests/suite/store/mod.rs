//! What `Store` promises, as cases that run against any backend; `sqlite` and `files` add what only that one can show.
//! Speaks no protocol.

mod accounts;
mod concurrency;
mod delivery;
mod files;
mod mailboxes;
mod messages;
mod model;
mod quarantine;
mod removal;
mod space;
mod sqlite;

use bytes::Bytes;
use jiff::Timestamp;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use wasmilter::mail::{
    Address, Content, Disposition, Envelope, Journal, Session, Splice, TransactionId, Verdict,
    Where,
};
use wasmilter::store::{
    AccountId, Append, Delivery, DeliveryCopy, FlagChange, FlagOp, Flags, Mailbox, MailboxId,
    MailboxName, Store,
};

/// A second backend is run against the cases by implementing this and naming it in `conformance!` below.
pub trait Backend: Send + Sync + 'static {
    /// Opens what is in the directory. What `open` returned before has been dropped.
    fn open(directory: &Path) -> Arc<dyn Store>;
}

macro_rules! conformance {
    ($backend:ty, $name:ident: $($module:ident { $($case:ident)+ })+) => {
        mod $name {
            $(mod $module {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    crate::store::$module::$case::<$backend>().await;
                })+
            })+
        }
    };
}

macro_rules! every_case {
    ($backend:ty, $name:ident) => {
        conformance! { $backend, $name:
            accounts {
                an_account_has_inbox_and_the_special_mailboxes
                logins_are_compared_without_case
                passwords_are_changed
                removing_an_account_takes_its_mail_along
            }
            delivery {
                a_delivered_message_is_read_back
                each_copy_has_its_own_splices
                a_missing_mailbox_is_made_and_subscribed
                a_delivery_that_cannot_be_made_whole_is_not_made_at_all
                journals_are_found_by_transaction_and_by_message_id
                a_journal_without_a_message_is_kept
                messages_in_files_are_taken_over
                everything_is_there_after_reopening
            }
            mailboxes {
                creating_makes_the_levels_above
                inbox_is_first_then_by_name
                inbox_cannot_be_deleted
                deleting_leaves_what_is_below
                a_mailbox_made_again_has_another_uid_validity
                renaming_takes_along_what_is_below
                renaming_a_level_without_a_mailbox
                renaming_to_what_cannot_be
                renaming_inbox_moves_its_messages
                subscriptions_are_names
                a_special_mailbox_made_again_is_special_again
                what_is_gone_is_not_found
            }
            messages {
                append_keeps_flags_date_and_octets
                uids_are_not_used_again
                flags_are_added_removed_replaced
                a_change_that_changes_nothing_has_no_modseq
                unchanged_since_leaves_out_what_changed
                counts_follow_flags_and_removals
                copies_keep_flags_and_date
                moves_are_one_change
                expunge_takes_only_the_deleted
                changes_tell_what_is_new_changed_and_gone
                odd_flags_are_refused
            }
            concurrency {
                a_hundred_deliveries_at_once
                a_change_that_fails_takes_nothing_of_the_others_along
                changes_of_all_kinds_at_once
                a_dropped_call_is_done_whole_or_not_at_all
                watchers_are_told_after_the_commit
            }
            model {
                random_changes_agree_with_a_simple_model
            }
        }
    };
}

every_case!(crate::store::sqlite::Sqlite, on_sqlite);

// --- what the cases are written with ---

pub fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

pub fn name(text: &str) -> MailboxName {
    MailboxName::new(text).unwrap()
}

pub fn flags(text: &str) -> Flags {
    text.split_whitespace().map(str::to_owned).collect()
}

pub fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

pub fn splice(at: u64, remove: u64, insert: &str) -> Splice {
    Splice {
        at,
        remove,
        insert: Bytes::copy_from_slice(insert.as_bytes()).into(),
    }
}

/// A store in a directory of its own with the account alice@example.test.
pub struct Place<B> {
    pub directory: tempfile::TempDir,
    pub store: Arc<dyn Store>,
    pub alice: AccountId,
    backend: std::marker::PhantomData<B>,
}

impl<B: Backend> Place<B> {
    pub async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = B::open(directory.path());
        let alice = store
            .add_account(&address("alice@example.test"), "$argon2id$alice")
            .await
            .unwrap();
        Self {
            directory,
            store,
            alice,
            backend: std::marker::PhantomData,
        }
    }

    pub fn reopened(self) -> Self {
        drop(self.store);
        let store = B::open(self.directory.path());
        Self { store, ..self }
    }

    pub async fn inbox(&self) -> Mailbox {
        self.mailbox("INBOX").await
    }

    pub async fn mailbox(&self, mailbox: &str) -> Mailbox {
        self.store
            .mailbox(self.alice, &name(mailbox))
            .await
            .unwrap()
    }

    pub async fn append(&self, mailbox: MailboxId, texts: &[(&str, &str)]) -> Vec<u32> {
        let messages = texts.iter().enumerate().map(|(at, (text, set))| Append {
            content: Content::from_bytes(text.to_string()),
            flags: flags(set),
            internal_date: time(1_000_000 + at as i64),
        });
        self.store
            .append(mailbox, messages.collect())
            .await
            .unwrap()
    }

    pub async fn change_flags(&self, mailbox: MailboxId, uids: &[u32], op: FlagOp, set: &str) {
        let change = FlagChange {
            op,
            flags: flags(set),
            unchanged_since: None,
        };
        self.store.store_flags(mailbox, uids, change).await.unwrap();
    }

    pub async fn text(&self, mailbox: MailboxId, uid: u32) -> String {
        let content = self.store.content(mailbox, uid).await.unwrap();
        String::from_utf8(content.bytes().unwrap().to_vec()).unwrap()
    }

    pub async fn uids(&self, mailbox: MailboxId) -> Vec<u32> {
        let messages = self.store.messages(mailbox).await.unwrap();
        messages.iter().map(|message| message.uid).collect()
    }
}

pub fn journal(number: u64, recipients: &[&str]) -> Journal {
    Journal {
        id: TransactionId::new(1_763_873_000_000 + number, number),
        queue_id: None,
        at: "2026-11-23T05:00:00Z".into(),
        release: None,
        generation: 1,
        session: Session::default(),
        envelope: Envelope::default(),
        message_id: Some(format!("{number}@example.test")),
        subject: Some("Wetter".into()),
        size: 42,
        authentication: vec![],
        turns: Vec::new(),
        score: 1.5,
        verdict: Verdict::Accept,
        dispositions: recipients
            .iter()
            .map(|recipient| Where {
                recipient: address(recipient),
                disposition: Disposition::Filed {
                    mailbox: String::new(),
                    uid: 0,
                    why: "because".into(),
                },
            })
            .collect(),
        elapsed: Duration::from_millis(3),
    }
}

/// One message for one recipient.
pub fn delivery(number: u64, account: AccountId, mailbox: &str, text: &str) -> Delivery {
    Delivery {
        received_at: time(1_763_873_000),
        journal: journal(number, &["alice@example.test"]),
        aside: Vec::new(),
        copies: vec![DeliveryCopy {
            disposition: 0,
            account,
            mailbox: name(mailbox),
            flags: Flags::new(),
            content: Content::from_bytes(text.to_owned()),
        }],
    }
}

pub fn filed(journal: &Journal) -> Vec<(String, u32)> {
    let filed = journal
        .dispositions
        .iter()
        .map(|place| match &place.disposition {
            Disposition::Filed { mailbox, uid, why } => {
                assert_eq!(why, "because");
                (mailbox.clone(), *uid)
            }
            other => panic!("{other:?}"),
        });
    filed.collect()
}

/// `assert!(matches!(…))` that shows what it got.
macro_rules! assert_error {
    ($result:expr, $pattern:pat) => {
        match $result {
            Err($pattern) => {}
            other => panic!("expected {}, got {:?}", stringify!($pattern), other),
        }
    };
}
pub(crate) use assert_error;
