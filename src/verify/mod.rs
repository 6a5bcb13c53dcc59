//! Sender authentication: iprev and SPF at MAIL, DKIM, ARC and DMARC at the message, as a built-in filter of the chain.
//! Signs nothing, and changes no message: it says what it found and, by the policy, what that leads to.

mod answers;
mod arc;
mod author;
mod dkim;
mod dmarc;
mod header;
mod keys;
mod policy;
mod results;
mod spf;

pub use header::{field, removals};
pub use policy::{Action, FILTER, Policy, Ruling};
pub use spf::Record as SpfRecord;

use crate::dns::Resolver;
use crate::mail::{AuthenticationResult, Content, Envelope, Header, ReversePath, Session};
use keys::Keys;
use mail_auth::common::to_a_label;
use mail_auth::dmarc::Policy as Published;
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::{AuthenticatedMessage, MessageAuthenticator, Parameters, SpfOutput, SpfResult};
use results::{property, result, spf_word};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

/// For all that is looked up at MAIL, and again at the message. RFC 7208 §4.6.4 wants at least 20 seconds for SPF.
const DEADLINE: Duration = Duration::from_secs(20);

/// Why a result is a temporary failure.
const LATE: &str = "no answer in time";

/// Signatures that are looked at. Each can cost a lookup and a verification, and who sends more is not helped by them.
const SIGNATURES: usize = 10;

/// Octets of messages that are in memory at once to be hashed.
const MEMORY: u32 = 128 << 20;
/// Octets of a message that is hashed in between; one that is longer gets a thread.
const SHORT: u64 = 256 << 10;

#[derive(Debug, Clone, Copy, Default)]
pub struct Config {
    pub policy: Policy,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Verifier(Arc<Inner>);

struct Inner {
    policy: Policy,
    resolver: Resolver,
    library: MessageAuthenticator,
    /// In units of 1 KiB.
    memory: Arc<Semaphore>,
}

/// What is known at MAIL.
#[derive(Debug, Clone, Default)]
pub struct Sender {
    pub results: Vec<AuthenticationResult>,
    pub ruling: Ruling,
    /// None where there is nobody to check: our own users and what comes from this host's files and sockets.
    spf: Option<SpfOutput>,
    is_ours: bool,
    /// What DMARC aligns SPF's result with.
    domain: String,
}

/// What is known of the message: the results of MAIL too.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    pub results: Vec<AuthenticationResult>,
    pub ruling: Ruling,
}

impl Verifier {
    pub fn new(config: Config, resolver: Resolver) -> Self {
        Self(Arc::new(Inner {
            policy: config.policy,
            library: MessageAuthenticator(resolver.hickory().clone()),
            resolver,
            memory: Arc::new(Semaphore::new(MEMORY as usize >> 10)),
        }))
    }

    /// At MAIL: iprev (RFC 8601 §3) and SPF. Takes DNS as long as it takes, up to the deadline.
    pub async fn sender(&self, session: &Session, envelope: &Envelope) -> Sender {
        if let Some(user) = &session.authenticated {
            return Sender {
                results: vec![result("auth", "pass", property("smtp.auth", user))],
                is_ours: true,
                ..Sender::default()
            };
        }
        // The address of a mail server of ours says nothing of the sender.
        let Some(client) = session.client_address.filter(|_| !session.is_lmtp()) else {
            return Sender::default();
        };
        // RFC 7208 §2.4: no reverse-path means the identity of HELO.
        let (local, domain, name) = match &envelope.sender {
            ReversePath::Address(address) => (address.local(), address.domain(), "smtp.mailfrom"),
            ReversePath::Null => ("postmaster", session.helo.as_str(), "smtp.helo"),
        };
        let domain = to_a_label(domain).into_owned();
        let query = spf::Query {
            client: client.to_canonical(),
            helo: session.helo.clone(),
            sender_local: local.to_owned(),
            sender_domain: domain.clone(),
        };
        let this = Arc::clone(&self.0);
        // In a task of its own, so that a panic of the library ends with it.
        let checks = tokio::spawn(timeout(DEADLINE, async move {
            let client = query.client;
            let iprev = this.library.verify_iprev(client);
            let spf = spf::check(&this.resolver, &query);
            let (iprev, spf) = tokio::join!(iprev, spf);
            (results::iprev(&iprev, client), spf)
        }));
        let (iprev, spf) = match checks.await {
            Ok(Ok(checked)) => checked,
            Ok(Err(_)) => late(client, LATE),
            Err(error) => {
                tracing::error!(%error, "checking a sender failed");
                late(client, "it could not be checked")
            }
        };
        let outcome = spf_word(spf);
        let ruling = policy::spf(self.0.policy.spf, outcome, &plain(&domain));
        let spf_result = result("spf", outcome, property(name, &domain));
        Sender {
            results: vec![iprev, spf_result],
            ruling,
            spf: Some(SpfOutput::new(domain.clone()).with_result(spf)),
            is_ours: false,
            domain,
        }
    }

    /// At the message: DKIM, ARC, and DMARC over all of them, on the octets as received. Only reading the message can fail.
    pub async fn message(&self, sender: Sender, content: &Content) -> io::Result<Checked> {
        if sender.is_ours {
            return Ok(Checked {
                results: sender.results,
                ruling: sender.ruling,
            });
        }
        let content = content.received();
        let this = Arc::clone(&self.0);
        let copy = sender.clone();
        let deadline = Instant::now() + DEADLINE;
        // Given up from within, so that what is too late keeps neither octets nor memory.
        let checks = if content.len() <= SHORT {
            let work = async move { this.message(copy, &content).await };
            tokio::spawn(timeout_at(deadline, work))
        } else {
            let share = u32::try_from(content.len()).unwrap_or(u32::MAX).min(MEMORY) >> 10;
            let memory = Arc::clone(&this.memory).acquire_many_owned(share);
            let Ok(permit) = timeout_at(deadline, memory).await else {
                return Ok(self.0.unchecked(sender, LATE));
            };
            let runtime = tokio::runtime::Handle::current();
            tokio::task::spawn_blocking(move || {
                let _permit = permit;
                runtime.block_on(
                    async move { timeout_at(deadline, this.message(copy, &content)).await },
                )
            })
        };
        match checks.await {
            Ok(Ok(checked)) => checked,
            Ok(Err(_)) => Ok(self.0.unchecked(sender, LATE)),
            Err(error) => {
                tracing::error!(%error, "checking a message failed");
                Ok(self.0.unchecked(sender, "it could not be checked"))
            }
        }
    }
}

impl Inner {
    async fn message(&self, sender: Sender, content: &Content) -> io::Result<Checked> {
        let octets = content.bytes()?;
        let header = Header::read(content)?;
        let message = AuthenticatedMessage::parse(&octets);
        let message = message.filter(|message| author::is_read_alike(message, &header));
        let Some(mut message) = message else {
            return Ok(self.unread(sender, &header));
        };
        message.errors.truncate(SIGNATURES);
        message.dkim_headers.truncate(SIGNATURES);
        let mut refused = Vec::new();
        message.dkim_headers.retain_mut(|field| {
            // RFC 6541 lets others sign, which DMARC knows nothing of.
            field.header.atps = None;
            let fault = dkim::fault(&field.header);
            refused.extend(fault.map(|fault| AuthenticationResult {
                reason: Some(fault.to_owned()),
                ..result("dkim", "permerror", results::signature(&field.header))
            }));
            fault.is_none()
        });
        let broken = arc::fault(&message);
        if broken.is_some() {
            message.as_headers.clear();
            message.ams_headers.clear();
            message.aar_headers.clear();
        }
        let keys = Keys::fetch(&self.resolver, &message).await;
        let (dkim, chain) = tokio::join!(
            self.library
                .verify_dkim(Parameters::new(&message).with_txt_cache(&keys)),
            self.library
                .verify_arc(Parameters::new(&message).with_txt_cache(&keys))
        );
        let none = SpfOutput::new(sender.domain.clone());
        let dmarc = dmarc::check(&self.library, &self.resolver, || DmarcParameters {
            message: &message,
            dkim_output: &dkim,
            dkim2_output: None,
            rfc5321_mail_from_domain: &sender.domain,
            spf_output: sender.spf.as_ref().unwrap_or(&none),
        })
        .await;

        let mut signatures: Vec<_> = dkim.iter().map(results::dkim).collect();
        signatures.extend(refused);
        if signatures.is_empty() {
            signatures.push(result("dkim", "none", String::new()));
        }
        let mut by_author = results::dmarc(&dmarc);
        let mut asked = match dmarc.policy() {
            Published::Reject => Action::Reject,
            Published::Quarantine => Action::Junk,
            Published::None | Published::Unspecified => Action::Tag,
        };
        // Half of what could make it pass was out of reach.
        if sender.spf.is_none() && by_author.outcome == "fail" {
            by_author = AuthenticationResult {
                reason: Some("SPF cannot be checked here".to_owned()),
                ..result("dmarc", "none", by_author.property)
            };
        }
        if let Some(doubt) = author::doubt(&header, dmarc.domain()) {
            by_author = AuthenticationResult {
                reason: Some(doubt),
                ..result("dmarc", "permerror", by_author.property)
            };
            asked = Action::Reject;
        }
        let outcomes: Vec<_> = signatures
            .iter()
            .map(|found| found.outcome.as_str())
            .collect();
        let ruling = sender
            .ruling
            .and(policy::dkim(self.policy.dkim, &outcomes))
            .and(policy::dmarc(
                self.policy.dmarc,
                &by_author.outcome,
                asked,
                &plain(dmarc.domain()),
            ));
        let mut results = sender.results;
        results.extend(signatures);
        results.push(match broken {
            Some(fault) => AuthenticationResult {
                reason: Some(fault.to_owned()),
                ..result("arc", "fail", String::new())
            },
            None => results::arc(chain.result()),
        });
        results.push(by_author);
        Ok(Checked { results, ruling })
    }

    /// There is no header, or the library reads another than we do: then nobody can say what was checked.
    fn unread(&self, sender: Sender, header: &Header) -> Checked {
        let mut fields = header.fields().iter();
        let has_fields = fields.any(|field| !field.name().is_empty());
        let has = |name| header.get(name).next().is_some();
        let mut results = sender.results;
        let mut ruling = sender.ruling;
        for (method, is_bad, outcome) in [
            ("dkim", has("DKIM-Signature"), "permerror"),
            ("arc", has("ARC-Seal"), "fail"),
            ("dmarc", has_fields, "permerror"),
        ] {
            let found = result(method, if is_bad { outcome } else { "none" }, String::new());
            ruling = ruling.and(match method {
                "dkim" => policy::dkim(self.policy.dkim, &[&found.outcome]),
                "dmarc" => policy::dmarc(self.policy.dmarc, &found.outcome, Action::Reject, ""),
                _ => Ruling::default(),
            });
            results.push(AuthenticationResult {
                reason: is_bad.then(|| "its header can be read in two ways".to_owned()),
                ..found
            });
        }
        Checked { results, ruling }
    }

    /// A temporary failure, for a reason of ours or of the DNS.
    fn unchecked(&self, sender: Sender, reason: &str) -> Checked {
        let mut results = sender.results;
        results.extend(["dkim", "arc", "dmarc"].map(|method| AuthenticationResult {
            reason: Some(reason.to_owned()),
            ..result(method, "temperror", String::new())
        }));
        Checked {
            results,
            ruling: sender
                .ruling
                .and(policy::dkim(self.policy.dkim, &["temperror"]))
                .and(policy::dmarc(
                    self.policy.dmarc,
                    "temperror",
                    Action::Reject,
                    "",
                )),
        }
    }
}

fn late(client: std::net::IpAddr, reason: &str) -> (AuthenticationResult, SpfResult) {
    let iprev = AuthenticationResult {
        reason: Some(reason.to_owned()),
        ..result(
            "iprev",
            "temperror",
            property("policy.iprev", &client.to_string()),
        )
    };
    (iprev, SpfResult::TempError)
}

/// A domain that goes into a reply, which a client without SMTPUTF8 has to understand.
fn plain(domain: &str) -> String {
    let fine = |c: char| if c.is_ascii_graphic() { c } else { '?' };
    domain.chars().take(255).map(fine).collect()
}
