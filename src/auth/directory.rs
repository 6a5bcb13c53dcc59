//! Looks addresses and logins up. Doesn't decide what a protocol answers.

use super::password::{hash, verify};
use crate::mail::{Address, domain_in_unicode};
use crate::store::{Account, AccountId, Store, StoreError};
use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Arc, OnceLock};
use tokio::sync::Semaphore;

/// Argon2 takes 19 MiB a check: so many at once, the others wait.
const CHECKS_AT_ONCE: usize = 4;

#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Mail for these domains is delivered here.
    pub domains: Vec<String>,
    /// Who gets mail for postmaster (RFC 5321 §4.5.1) where there is no account of that name.
    pub postmaster: Option<Address>,
}

pub struct Directory {
    /// In Unicode, as accounts' are: an internationalized domain is the same in both spellings.
    domains: HashSet<String>,
    postmaster: Option<Address>,
    store: Arc<dyn Store>,
    checks: Semaphore,
}

/// Whose an address is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    Account(AccountId),
    /// The domain is ours, the local part is nobody's.
    NoSuchUser,
    /// Not one of our domains.
    NotOurs,
}

impl Directory {
    pub fn new(config: Config, store: Arc<dyn Store>) -> Self {
        Self {
            domains: config
                .domains
                .into_iter()
                .map(|domain| domain_in_unicode(&domain.to_lowercase()).into_owned())
                .collect(),
            postmaster: config.postmaster,
            store,
            checks: Semaphore::new(CHECKS_AT_ONCE),
        }
    }

    pub fn is_ours(&self, address: &Address) -> bool {
        self.domains.contains(&*domain_in_unicode(address.domain()))
    }

    /// By the full local part first, then without its `+detail` (RFC 5233).
    pub async fn find(&self, address: &Address) -> Result<Found, StoreError> {
        if !self.is_ours(address) {
            return Ok(Found::NotOurs);
        }
        let (base, detail) = address.without_detail();
        let candidates = [
            Some(address),
            detail.is_some().then_some(&base),
            self.postmaster
                .as_ref()
                .filter(|_| base.local().eq_ignore_ascii_case("postmaster")),
        ];
        for candidate in candidates.into_iter().flatten() {
            if let Some(account) = self.account(candidate).await? {
                return Ok(Found::Account(account.id));
            }
        }
        Ok(Found::NoSuchUser)
    }

    /// Accounts are added in Unicode. One that was added before may have its domain in A-labels.
    async fn account(&self, address: &Address) -> Result<Option<Account>, StoreError> {
        if let Cow::Owned(unicode) = address.in_unicode()
            && let Some(account) = self.store.account(&unicode).await?
        {
            return Ok(Some(account));
        }
        self.store.account(address).await
    }

    /// None if there is no such account or the password is another; both take as long.
    pub async fn login(&self, login: &str, password: &str) -> Result<Option<Account>, StoreError> {
        let account = match Address::parse(login) {
            Ok(address) => self.account(&address).await?,
            Err(_) => None,
        };
        let Ok(_permit) = self.checks.acquire().await else {
            return Ok(None);
        };
        let stored = account
            .as_ref()
            .map_or_else(nobody, |account| account.password.clone());
        let password = password.to_owned();
        let right = tokio::task::spawn_blocking(move || verify(&password, &stored))
            .await
            .unwrap_or(false);
        Ok(account.filter(|_| right))
    }
}

/// A hash that no password fits, to spend the same time on logins that don't exist.
fn nobody() -> String {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| hash("nobody's").unwrap_or_default())
        .clone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::SqliteStore;

    #[tokio::test]
    async fn an_account_is_found_by_either_spelling_of_its_domain() {
        let home = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(crate::store::Config::new(home.path())).unwrap();
        let address = |text| Address::parse(text).unwrap();
        for account in ["new@почта.test", "old@xn--80a1acny.test"] {
            store.add_account(&address(account), "").await.unwrap();
        }
        let config = Config {
            domains: vec!["xn--80a1acny.test".to_owned()],
            postmaster: None,
        };
        let directory = Directory::new(config, Arc::new(store));
        for (given, is_there) in [
            ("new@почта.test", true),
            ("new@xn--80a1acny.test", true),
            ("old@xn--80a1acny.test", true),
            ("nobody@xn--80a1acny.test", false),
        ] {
            let found = directory.find(&address(given)).await.unwrap();
            assert_eq!(matches!(found, Found::Account(_)), is_there, "{given}");
        }
    }
}
