//! Recipients that filters add, held to what RCPT is held to: ours, known, and not too many.

use super::Services;
use crate::auth::Found;
use crate::chain::Admit;
use crate::mail::{Address, Envelope};
use crate::store::{AccountId, StoreError};
use async_trait::async_trait;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) struct Admission(pub Arc<Services>);

#[async_trait]
impl Admit for Admission {
    async fn admit(&self, address: &Address, envelope: &Envelope) -> Result<(), String> {
        let most = self.0.config.recipients;
        if envelope.recipients.len() >= most {
            return Err(format!("a transaction has {most} recipients at the most"));
        }
        match self.0.directory.find(address).await {
            Ok(Found::Account(_)) => Ok(()),
            Ok(Found::NoSuchUser) => Err("there is no such mailbox here".to_owned()),
            Ok(Found::NotOurs) => {
                Err("it is not ours to deliver; this server does not relay".to_owned())
            }
            Err(error) => Err(format!("looking it up failed: {error}")),
        }
    }
}

/// The account of each recipient, in their order. Those whom the client named are known.
pub(super) async fn accounts(
    services: &Services,
    known: &BTreeMap<Address, AccountId>,
    envelope: &Envelope,
) -> Result<Vec<AccountId>, StoreError> {
    let mut accounts = Vec::with_capacity(envelope.recipients.len());
    for recipient in &envelope.recipients {
        let address = &recipient.address;
        accounts.push(match known.get(address) {
            Some(account) => *account,
            None => match services.directory.find(address).await? {
                Found::Account(account) => account,
                Found::NoSuchUser | Found::NotOurs => {
                    return Err(StoreError::NotFound(format!("the account of {address}")));
                }
            },
        });
    }
    Ok(accounts)
}
