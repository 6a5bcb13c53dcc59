//! The store that the server under test delivers to, and what a test wants to know of it.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use wasmilter::mail::{Address, Content, Journal};
use wasmilter::store::{
    self, AccountId, Append, Flags, MailboxName, SqliteStore, Store, StoreError,
};

pub struct Kept {
    pub store: Arc<SqliteStore>,
    accounts: Vec<AccountId>,
}

#[derive(Clone)]
pub struct Delivered {
    pub journal: Journal,
    /// As received.
    pub octets: Vec<u8>,
    /// Of the first copy, as it would be read.
    pub rendered: Vec<u8>,
    pub in_file: bool,
}

impl Kept {
    /// The accounts alice and bob; `max_bytes` is the size of the disk.
    pub async fn open(directory: &Path, max_bytes: Option<u64>) -> Self {
        let config = store::Config {
            max_bytes,
            ..store::Config::new(directory)
        };
        let store = SqliteStore::open_exclusive(config).unwrap();
        let mut accounts = Vec::new();
        for login in ["alice@example.test", "bob@example.test"] {
            let login = Address::parse(login).unwrap();
            accounts.push(store.add_account(&login, "").await.unwrap());
        }
        Self {
            store: Arc::new(store),
            accounts,
        }
    }

    /// Each message once, in the order of alice's INBOX, then of bob's.
    pub async fn delivered(&self) -> Vec<Delivered> {
        let mut seen = HashSet::new();
        let mut delivered = Vec::new();
        for account in &self.accounts {
            let inbox = self.store.mailbox(*account, &MailboxName::inbox()).await;
            let inbox = inbox.unwrap().id;
            for message in self.store.messages(inbox).await.unwrap() {
                let content = self.store.content(inbox, message.uid).await.unwrap();
                let rendered = content.bytes().unwrap().to_vec();
                // `Received: … with ESMTP id ID`
                let text = String::from_utf8_lossy(&rendered).into_owned();
                let (_, id) = text.split_once(" id ").unwrap();
                let id = id.split(['\r', ';']).next().unwrap();
                if seen.insert(id.to_owned()) {
                    delivered.push(Delivered {
                        journal: self.store.journal(id).await.unwrap().unwrap(),
                        octets: content.received().bytes().unwrap().to_vec(),
                        rendered,
                        in_file: content.in_file().is_some(),
                    });
                }
            }
        }
        delivered
    }

    /// The only message there is.
    pub async fn only(&self) -> Delivered {
        let delivered = self.delivered().await;
        assert_eq!(delivered.len(), 1);
        delivered.into_iter().next().unwrap()
    }

    /// Fills the disk with alice's old mail.
    pub async fn fill(&self) {
        let old = MailboxName::new("old").unwrap();
        let old = self.store.create(self.accounts[0], &old).await.unwrap().id;
        loop {
            let message = Append {
                content: Content::from_bytes("x".repeat(8000)),
                flags: Flags::new(),
                internal_date: "2026-11-23T05:06:07Z".parse().unwrap(),
            };
            match self.store.append(old, vec![message]).await {
                Ok(_) => {}
                Err(StoreError::Full) => return,
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub async fn make_room(&self) {
        let old = MailboxName::new("old").unwrap();
        self.store.delete(self.accounts[0], &old).await.unwrap();
    }
}
