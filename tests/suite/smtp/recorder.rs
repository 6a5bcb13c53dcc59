//! A store that keeps what is delivered to it for the test to look at, and fails when the test says so.

use async_trait::async_trait;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch;
use wasmilter::mail::{Address, Content, Journal};
use wasmilter::store::{
    Account, AccountId, Append, Changes, Copied, Copying, Delivery, FlagChange, Mailbox, MailboxId,
    MailboxName, MessageMeta, Store, StoreError,
};

pub struct Recorder {
    accounts: Vec<Account>,
    delivered: Mutex<Vec<Delivered>>,
    pub full: AtomicBool,
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

impl Recorder {
    pub fn new(logins: &[&str]) -> Self {
        let accounts = logins.iter().zip(1..).map(|(login, id)| Account {
            id: AccountId(id),
            login: Address::parse(login).unwrap(),
            password: String::new(),
        });
        Self {
            accounts: accounts.collect(),
            delivered: Mutex::default(),
            full: AtomicBool::new(false),
        }
    }

    pub fn delivered(&self) -> Vec<Delivered> {
        self.delivered.lock().unwrap().clone()
    }

    /// The only message there is.
    pub fn only(&self) -> Delivered {
        let delivered = self.delivered();
        assert_eq!(delivered.len(), 1);
        delivered.into_iter().next().unwrap()
    }
}

/// Nothing that comes in over SMTP asks for it.
fn not_asked<T>() -> Result<T, StoreError> {
    Err(StoreError::Refused("not asked for over SMTP".into()))
}

#[async_trait]
impl Store for Recorder {
    async fn account(&self, login: &Address) -> Result<Option<Account>, StoreError> {
        let mut accounts = self.accounts.iter();
        let found = accounts.find(|account| {
            account
                .login
                .to_string()
                .eq_ignore_ascii_case(&login.to_string())
        });
        Ok(found.cloned())
    }

    async fn deliver(&self, delivery: Delivery) -> Result<Journal, StoreError> {
        if self.full.load(Ordering::Relaxed) {
            return Err(StoreError::Full);
        }
        let content = &delivery.copies[0].content;
        self.delivered.lock().unwrap().push(Delivered {
            journal: delivery.journal.clone(),
            octets: content.received().bytes().unwrap().to_vec(),
            rendered: content.bytes().unwrap().to_vec(),
            in_file: content.in_file().is_some(),
        });
        Ok(delivery.journal)
    }

    async fn record(&self, _: &Journal) -> Result<(), StoreError> {
        Ok(())
    }

    async fn add_account(&self, _: &Address, _: &str) -> Result<AccountId, StoreError> {
        not_asked()
    }
    async fn accounts(&self) -> Result<Vec<Account>, StoreError> {
        not_asked()
    }
    async fn set_password(&self, _: &Address, _: &str) -> Result<(), StoreError> {
        not_asked()
    }
    async fn remove_account(&self, _: &Address) -> Result<(), StoreError> {
        not_asked()
    }
    async fn journal(&self, _: &str) -> Result<Option<Journal>, StoreError> {
        not_asked()
    }
    async fn mailboxes(&self, _: AccountId) -> Result<Vec<Mailbox>, StoreError> {
        not_asked()
    }
    async fn mailbox(&self, _: AccountId, _: &MailboxName) -> Result<Mailbox, StoreError> {
        not_asked()
    }
    async fn create(&self, _: AccountId, _: &MailboxName) -> Result<Mailbox, StoreError> {
        not_asked()
    }
    async fn delete(&self, _: AccountId, _: &MailboxName) -> Result<(), StoreError> {
        not_asked()
    }
    async fn rename(
        &self,
        _: AccountId,
        _: &MailboxName,
        _: &MailboxName,
    ) -> Result<(), StoreError> {
        not_asked()
    }
    async fn subscribe(&self, _: AccountId, _: &MailboxName, _: bool) -> Result<(), StoreError> {
        not_asked()
    }
    async fn subscriptions(&self, _: AccountId) -> Result<Vec<MailboxName>, StoreError> {
        not_asked()
    }
    async fn messages(&self, _: MailboxId) -> Result<Vec<MessageMeta>, StoreError> {
        not_asked()
    }
    async fn changes(&self, _: MailboxId, _: u64) -> Result<Changes, StoreError> {
        not_asked()
    }
    async fn content(&self, _: MailboxId, _: u32) -> Result<Content, StoreError> {
        not_asked()
    }
    async fn append(&self, _: MailboxId, _: Vec<Append>) -> Result<Vec<u32>, StoreError> {
        not_asked()
    }
    async fn store_flags(
        &self,
        _: MailboxId,
        _: &[u32],
        _: FlagChange,
    ) -> Result<Vec<MessageMeta>, StoreError> {
        not_asked()
    }
    async fn copy(&self, _: Copying<'_>) -> Result<Copied, StoreError> {
        not_asked()
    }
    async fn expunge(&self, _: MailboxId, _: Option<&[u32]>) -> Result<Vec<u32>, StoreError> {
        not_asked()
    }
    fn watch(&self, _: AccountId) -> watch::Receiver<u64> {
        watch::channel(0).1
    }
}
