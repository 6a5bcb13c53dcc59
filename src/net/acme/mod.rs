//! Certificates by ACME (RFC 8555): ordered, kept in a directory, renewed after two thirds of their time, and put in force as they come.
//! Serves no HTTP: it says what a challenge's answer is.

mod account;
mod client;
mod order;
#[cfg(test)]
mod tests;

use super::tls::{Authorities, Certificates, Origin, Pair, TlsError, write};
use crate::metrics;
use arc_swap::ArcSwap;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Time to the next try after the first failure; each further one doubles it. Let's Encrypt allows five failures an hour.
const RETRY_FIRST: Duration = Duration::from_secs(5 * 60);
const RETRY_LONGEST: Duration = Duration::from_secs(12 * 60 * 60);
/// For an order from beginning to end.
const ORDER: Duration = Duration::from_secs(10 * 60);
/// Longest sleep between two looks at the clock: it may be set, and machines are put to sleep.
const LOOK: Duration = Duration::from_secs(60 * 60);
/// What the first line of a kept certificate starts with; its directory follows.
const DIRECTORY: &str = "Directory: ";

/// How it is shown that a name is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
pub enum Challenge {
    /// By HTTP on port 80 (RFC 8555 §8.3).
    #[serde(rename = "http-01")]
    Http01,
    /// By TLS on port 443 (RFC 8737).
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
}

#[derive(Debug, Clone)]
pub struct Config {
    /// `https:`
    pub directory_url: String,
    /// Mail addresses of whoever is to be told of problems.
    pub contact: Vec<String>,
    /// All are names of one certificate.
    pub domains: Vec<String>,
    pub challenge: Challenge,
    /// Who signs the certificate of the ACME server itself; none: those that the web trusts.
    pub authorities: Option<Authorities>,
    /// Where the account and the certificate are kept.
    pub state: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    #[error(transparent)]
    Files(#[from] TlsError),
    #[error("{path} cannot be used: {why}; if it is removed, a new account is made", path = path.display())]
    Account { path: PathBuf, why: String },
    #[error("{0}")]
    Server(#[from] instant_acme::Error),
    #[error("{name} could not be shown to be ours: {why}")]
    NotShown { name: String, why: String },
    #[error("the server offers no {challenge} for {name}")]
    NotOffered {
        challenge: &'static str,
        name: String,
    },
    #[error("the certificate that came cannot be used: {0}")]
    Certificate(String),
    #[error("the certificate that came expires at {0} and is to be renewed already")]
    Expires(Timestamp),
    #[error("the order was not done in {} minutes", ORDER.as_secs() / 60)]
    Late,
}

/// The answers to HTTP-01 challenges that are on their way: token to key authorization. Cheap to clone; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Answers(Arc<ArcSwap<HashMap<String, String>>>);

impl Answers {
    /// What is to be served as `/.well-known/acme-challenge/TOKEN`.
    pub fn get(&self, token: &str) -> Option<String> {
        self.0.load().get(token).cloned()
    }

    fn set(&self, token: &str, answer: Option<String>) {
        self.0.rcu(|known| {
            let mut answers = HashMap::clone(known);
            match &answer {
                Some(answer) => answers.insert(token.to_owned(), answer.clone()),
                None => answers.remove(token),
            };
            answers
        });
    }
}

/// Keeps one certificate in force.
pub struct Acme {
    config: Config,
    certificates: Certificates,
    answers: Answers,
    meter: metrics::Certificates,
}

impl Acme {
    pub fn new(
        config: Config,
        certificates: Certificates,
        answers: Answers,
        meter: metrics::Certificates,
    ) -> Self {
        Self {
            config,
            certificates,
            answers,
            meter,
        }
    }

    /// Puts the certificate that is kept in force, if there is one; whether there is.
    pub fn restore(&self) -> Result<bool, TlsError> {
        std::fs::create_dir_all(&self.config.state).map_err(|error| TlsError::Write {
            path: self.config.state.clone(),
            error,
        })?;
        let path = self.certificate();
        if !path.exists() {
            return Ok(false);
        }
        let pair = Pair::from_pem(&path, &path)?;
        self.certificates.set(Origin::Acme, vec![pair]);
        Ok(true)
    }

    /// Until `stop`. `changed` is called when a new certificate is in force.
    pub async fn run(self, stop: CancellationToken, changed: impl Fn() + Send) {
        let mut retry = RETRY_FIRST;
        loop {
            let wait = match self.due(Timestamp::now()) {
                Some(wait) if !wait.is_zero() => wait,
                _ => {
                    let order = tokio::time::timeout(ORDER, self.order());
                    let ordered = tokio::select! {
                        () = stop.cancelled() => return,
                        ordered = order => ordered.unwrap_or(Err(AcmeError::Late)),
                    };
                    self.meter.ordered(ordered.is_ok());
                    let done = ordered.and_then(|pair| {
                        let taken = self.take(pair);
                        changed();
                        taken
                    });
                    let Err(error) = done else {
                        retry = RETRY_FIRST;
                        continue;
                    };
                    tracing::warn!(
                        directory = self.config.directory_url,
                        domains = ?self.config.domains,
                        retry_in_seconds = retry.as_secs(),
                        "no certificate by ACME: {error}"
                    );
                    let wait = retry;
                    retry = (retry * 2).min(RETRY_LONGEST);
                    wait
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait.min(LOOK.max(retry))) => {}
            }
        }
    }

    /// Puts a certificate that came in force. An error if it is to be renewed at once, for the next one would be no better.
    fn take(&self, pair: Pair) -> Result<(), AcmeError> {
        let expires = pair.not_after();
        tracing::info!(names = ?pair.names(), %expires, "a certificate came by ACME");
        self.certificates.set(Origin::Acme, vec![pair]);
        let due = self.due(Timestamp::now()).unwrap_or_default();
        if due.is_zero() {
            return Err(AcmeError::Expires(expires));
        }
        Ok(())
    }

    /// How long the certificate in force is still good enough; none if there is none, or not for all names, or another server's.
    fn due(&self, now: Timestamp) -> Option<Duration> {
        let all = self.certificates.all();
        let covers = |pair: &&Pair| self.config.domains.iter().all(|name| pair.is_for(name));
        let path = self.certificate();
        // Another source's certificate for these names is none of ours.
        let kept = std::fs::read_to_string(&path).ok()?;
        let mut lines = kept.lines();
        let directory = lines.next().and_then(|line| line.strip_prefix(DIRECTORY));
        if directory.is_some_and(|directory| directory != self.config.directory_url) {
            return None;
        }
        let ours = Pair::from_pem(&path, &path).ok();
        let ours = ours.filter(|ours| all.iter().any(|pair| pair.not_after() == ours.not_after()));
        let pair = ours.as_ref().filter(covers)?;
        Some(until_renewal(pair.not_before(), pair.not_after(), now))
    }

    /// Chain and key in one file, so that neither is ever there without the other, below a line about who gave it.
    fn certificate(&self) -> PathBuf {
        self.config.state.join("certificate.pem")
    }

    fn keep(&self, key: &str, chain: &str) -> Result<Pair, AcmeError> {
        let path = self.certificate();
        // Tried before it takes the place of one that works.
        let fresh = self.config.state.join("fresh.pem");
        let text = format!("{DIRECTORY}{}\n{key}{chain}", self.config.directory_url);
        write(&fresh, text.as_bytes(), 0o600)?;
        let pair = Pair::from_pem(&fresh, &fresh)
            .map_err(|error| AcmeError::Certificate(error.to_string()))?;
        if let Some(name) = self.config.domains.iter().find(|name| !pair.is_for(name)) {
            return Err(AcmeError::Certificate(format!("it is not for {name}")));
        }
        std::fs::rename(&fresh, &path).map_err(|error| TlsError::Write { path, error })?;
        Ok(pair)
    }

    /// One for each directory, so that whoever goes back to it finds it again.
    fn account(&self) -> PathBuf {
        let digest = Sha256::digest(&self.config.directory_url);
        self.config.state.join(format!("account-{digest:x}.json"))
    }

    fn state(&self) -> &Path {
        &self.config.state
    }
}

/// Two thirds of its time, as Let's Encrypt advises.
fn until_renewal(not_before: Timestamp, not_after: Timestamp, now: Timestamp) -> Duration {
    let life = not_after.duration_since(not_before);
    let renewal = not_before.saturating_add(life / 3 * 2);
    renewal
        .ok()
        .map(|renewal| now.duration_until(renewal))
        .and_then(|left| Duration::try_from(left).ok())
        .unwrap_or_default()
}
