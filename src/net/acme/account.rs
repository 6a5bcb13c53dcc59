//! The account with the ACME server: made once for each, and kept with its key.
//! Orders nothing.

use super::client::Https;
use super::{Acme, AcmeError, write};
use instant_acme::{Account, AccountCredentials, NewAccount};
use serde::{Deserialize, Serialize};
use std::path::Path;

#[derive(Serialize, Deserialize)]
struct Kept {
    /// An account is one server's.
    directory_url: String,
    credentials: AccountCredentials,
}

impl Acme {
    pub(super) async fn log_in(&self) -> Result<Account, AcmeError> {
        let http = Https::new(self.config.authorities.as_ref())?;
        let builder = Account::builder_with_http(Box::new(http));
        let path = self.account();
        // Once there was one file for whatever directory it was.
        for path in [&path, &self.state().join("account.json")] {
            if let Some(kept) = read(path)?
                && kept.directory_url == self.config.directory_url
            {
                return Ok(builder.from_credentials(kept.credentials).await?);
            }
        }
        let contact: Vec<_> = self
            .config
            .contact
            .iter()
            .map(|to| format!("mailto:{to}"))
            .collect();
        let contact: Vec<_> = contact.iter().map(String::as_str).collect();
        let account = NewAccount {
            contact: &contact,
            // Whoever configures ACME has agreed; there is nobody to be asked here.
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let url = self.config.directory_url.clone();
        let (account, credentials) = builder.create(&account, url.clone(), None).await?;
        let kept = Kept {
            directory_url: url,
            credentials,
        };
        let text = serde_json::to_vec_pretty(&kept).map_err(|error| AcmeError::Account {
            path: path.clone(),
            why: error.to_string(),
        })?;
        write(&path, &text, 0o600)?;
        tracing::info!(state = %self.state().display(), "an ACME account was made");
        Ok(account)
    }
}

fn read(path: &Path) -> Result<Option<Kept>, AcmeError> {
    let unusable = |why: String| AcmeError::Account {
        path: path.to_owned(),
        why,
    };
    if !path.exists() {
        return Ok(None);
    }
    let text = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
    let kept = serde_json::from_slice(&text).map_err(|error| unusable(error.to_string()))?;
    Ok(Some(kept))
}
