//! The certificates of the server: read at the start, read again when their files change, ordered by ACME if that is configured.
//! Does no handshakes.

use crate::config::{Config, ConfigError, Listener, PathAt, TlsFiles, TlsMode};
use crate::metrics::{self, Registry};
use crate::net::acme::{Acme, Answers};
use crate::net::{Asked, Authorities, Certificates, Origin, Pair, Tls, TlsError, acme};
use crate::private;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Between two looks at the files. What has changed is read when it has stayed the same from one look to the next, so that a pair that is
/// being written is not read in half.
const LOOK: Duration = Duration::from_secs(1);
/// The account and the certificate of ACME, in the data directory.
const ACME: &str = "acme";

/// TLS for listeners.
#[derive(Default)]
pub struct Secured {
    /// By what is asked of clients. None where no listener wants TLS.
    tls: Vec<Tls>,
    /// To HTTP-01 challenges.
    pub answers: Answers,
}

impl Secured {
    pub fn of(&self, listener: &Listener) -> Option<Tls> {
        let mut known = self.tls.iter();
        known
            .find(|tls| {
                listener.tls != TlsMode::None && tls.asked() == listener.client_certificates
            })
            .cloned()
    }
}

/// Keeps certificates in force.
pub struct Upkeep {
    files: Vec<(TlsFiles, Pair)>,
    clients: Option<PathAt>,
    asking: Vec<Tls>,
    certificates: Certificates,
    acme: Option<Acme>,
    meter: metrics::Certificates,
}

/// What the configuration names, read and dropped.
pub fn check(config: &Config) -> Result<(), ConfigError> {
    pairs(config)?;
    if let Some(path) = &config.tls.client_ca {
        authorities(config, path)?;
    }
    if let Some(path) = config.acme.as_ref().and_then(|acme| acme.ca_file.as_ref()) {
        authorities(config, path)?;
    }
    Ok(())
}

/// None to keep if no listener wants TLS.
pub fn load(config: &Config, metrics: &Registry) -> Result<(Secured, Option<Upkeep>), ConfigError> {
    let general = |error: TlsError| ConfigError::general(error.to_string());
    let mut listeners = config.listeners.iter();
    if listeners.all(|listener| listener.tls == TlsMode::None) && config.acme.is_none() {
        return Ok((Secured::default(), None));
    }
    let (certificates, answers) = (Certificates::default(), Answers::default());
    let files = pairs(config)?;
    certificates.set(
        Origin::Files,
        files.iter().map(|(_, pair)| pair.clone()).collect(),
    );
    let meter = metrics.certificates();
    let acme = acme(config, &certificates, &answers, &meter)?;
    if let Some(acme) = &acme
        && let Err(error) = acme.restore()
    {
        tracing::warn!("the certificate by ACME cannot be used, another is ordered: {error}");
    }
    if files.is_empty() {
        if certificates.all().is_empty() {
            tracing::warn!(
                "there is no certificate for {} yet: a self-signed one is used, which clients will not trust",
                config.hostname
            );
        }
        let own = Pair::self_signed(&config.hostname, &config.data_dir).map_err(general)?;
        certificates.set(Origin::SelfSigned, vec![own]);
    }
    let plain = Tls::new(certificates.clone())
        .map_err(general)?
        .counted(metrics.handshakes());
    let mut asking = Vec::new();
    if let Some(path) = &config.tls.client_ca {
        let authorities = authorities(config, path)?;
        for asked in [Asked::Optional, Asked::Required] {
            asking.push(plain.clone().asking(asked, &authorities).map_err(general)?);
        }
    }
    let upkeep = Upkeep {
        files,
        clients: config.tls.client_ca.clone(),
        asking: asking.clone(),
        certificates,
        acme,
        meter,
    };
    upkeep.tell();
    let mut tls = asking;
    tls.push(plain);
    Ok((Secured { tls, answers }, Some(upkeep)))
}

fn acme(
    config: &Config,
    certificates: &Certificates,
    answers: &Answers,
    meter: &metrics::Certificates,
) -> Result<Option<Acme>, ConfigError> {
    let Some(acme) = &config.acme else {
        return Ok(None);
    };
    let authorities = acme.ca_file.as_ref().map(|path| authorities(config, path));
    let state = config.data_dir.join(ACME);
    private::directory(&state)
        .map_err(|error| ConfigError::general(format!("{}: {error}", state.display())))?;
    let ordering = acme::Config {
        directory_url: acme.directory_url.clone(),
        contact: acme.contact.clone(),
        domains: acme.domains.clone(),
        challenge: acme.challenge,
        authorities: authorities.transpose()?,
        state,
    };
    let (certificates, answers) = (certificates.clone(), answers.clone());
    Ok(Some(Acme::new(
        ordering,
        certificates,
        answers,
        meter.clone(),
    )))
}

fn pairs(config: &Config) -> Result<Vec<(TlsFiles, Pair)>, ConfigError> {
    let read = |files: &TlsFiles| match read(files) {
        Ok(pair) => Ok((files.clone(), pair)),
        Err(error) => {
            let at_key = match &error {
                TlsError::Read { path, .. } | TlsError::Pem { path, .. } => *path == files.key.path,
                _ => false,
            };
            let at = if at_key {
                &files.key
            } else {
                &files.certificate
            };
            Err(config.source.error(
                at.span.clone(),
                error.to_string(),
                "without [tls] a self-signed pair is made in data-dir",
            ))
        }
    };
    config.tls.pairs.iter().map(read).collect()
}

fn read(files: &TlsFiles) -> Result<Pair, TlsError> {
    Pair::from_pem(&files.certificate.path, &files.key.path)
}

fn authorities(config: &Config, file: &PathAt) -> Result<Authorities, ConfigError> {
    Authorities::from_pem(&file.path).map_err(|error| {
        config.source.error(
            file.span.clone(),
            error.to_string(),
            "name a PEM file with the certificates of the authorities",
        )
    })
}

impl Upkeep {
    pub fn start(mut self, tasks: &TaskTracker, stop: &CancellationToken) {
        if let Some(acme) = self.acme.take() {
            let (certificates, meter) = (self.certificates.clone(), self.meter.clone());
            let changed = move || tell(&certificates, &meter);
            tasks.spawn(acme.run(stop.clone(), changed));
        }
        if !self.files.is_empty() || self.clients.is_some() {
            let stop = stop.clone();
            tasks.spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = self.watch() => {}
                }
            });
        }
    }

    async fn watch(mut self) {
        let mut in_force = self.stamps().await;
        let mut seen = in_force.clone();
        loop {
            tokio::time::sleep(LOOK).await;
            let now = self.stamps().await;
            if now == seen && now != in_force {
                in_force.clone_from(&now);
                self.reload();
            }
            seen = now;
        }
    }

    /// What tells a file from the one that was there before, of each file.
    async fn stamps(&self) -> Vec<Option<[i64; 5]>> {
        let pairs = self.files.iter();
        let pairs = pairs.flat_map(|(files, _)| [&files.certificate, &files.key]);
        let mut stamps = Vec::new();
        for file in pairs.chain(&self.clients) {
            stamps.push(stamp(&file.path).await);
        }
        stamps
    }

    /// What cannot be used leaves in force what is.
    fn reload(&mut self) {
        for (files, pair) in &mut self.files {
            match read(files) {
                Ok(fresh) if fresh.is_same(pair) => {}
                Ok(fresh) => {
                    let expires = fresh.not_after();
                    tracing::info!(names = ?fresh.names(), %expires, "a new certificate is in force");
                    *pair = fresh;
                }
                Err(error) => {
                    tracing::warn!(
                        names = ?pair.names(),
                        "a certificate was not reloaded, the one before stays: {error}"
                    );
                }
            }
        }
        let pairs = self.files.iter().map(|(_, pair)| pair.clone());
        self.certificates.set(Origin::Files, pairs.collect());
        self.tell();
        if let Some(file) = &self.clients {
            let trusted = Authorities::from_pem(&file.path).and_then(|authorities| {
                self.asking
                    .iter()
                    .try_for_each(|tls| tls.trust(&authorities))
            });
            if let Err(error) = trusted {
                tracing::warn!("client-ca was not reloaded, the one before stays: {error}");
            }
        }
    }

    fn tell(&self) {
        tell(&self.certificates, &self.meter);
    }
}

fn tell(certificates: &Certificates, meter: &metrics::Certificates) {
    // Of several for one name the first is in force.
    let mut first_of = BTreeMap::new();
    for pair in certificates.all().iter() {
        if let Some(name) = pair.names().first() {
            let expires = pair.not_after().as_second();
            first_of.entry(name.clone()).or_insert(expires);
        }
    }
    meter.now(first_of);
}

async fn stamp(path: &Path) -> Option<[i64; 5]> {
    // Through symbolic links: certbot changes where they lead.
    let found = tokio::fs::metadata(path).await.ok()?;
    let number = |number: u64| number.cast_signed();
    Some([
        number(found.dev()),
        number(found.ino()),
        number(found.size()),
        found.ctime(),
        found.ctime_nsec(),
    ])
}
