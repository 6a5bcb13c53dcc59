//! The plugins that come with wasmilter, in the real host: their own cases (`plugins/*/cases`), and all of them together on the
//! sample mail. No sockets, no store: these have their own suites.

use crate::corpus;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use wasmilter::chain::Policy;
use wasmilter::kit::{self, CaseEnd, Done, Play, Stage};
use wasmilter::mail::{Address, Content, Envelope, Filter, ReversePath, Session, Verdict};
use wasmilter::plugin::{Config, Host, PluginState, embedded};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

async fn host(directory: &Path) -> Host {
    embedded::write_to(directory).unwrap();
    let mut config = Config::new(directory);
    config.watch = None;
    let host = Host::start(config).await.unwrap();
    for plugin in &host.generation().plugins {
        assert_eq!(plugin.state, PluginState::Active, "{}", plugin.name);
        // Their configuration is read once, not for each message.
        assert_eq!(plugin.no_start_image, None, "{}", plugin.name);
    }
    host
}

fn envelope(sender: &str, recipients: &[String]) -> Envelope {
    let sender = match sender {
        "" => ReversePath::Null,
        sender => ReversePath::Address(Address::parse(sender).unwrap()),
    };
    let recipients = recipients.iter().map(|r| Address::parse(r).unwrap().into());
    Envelope {
        sender,
        recipients: recipients.collect(),
        ..Envelope::default()
    }
}

/// Nothing fails, is refused or logs in the filters that come with wasmilter.
async fn run(
    filters: &[Arc<dyn Filter>],
    envelope: &Envelope,
    message: Vec<u8>,
    policy: Option<Policy>,
) -> Done {
    let transaction = Play {
        session: Session::default(),
        envelope: envelope.clone(),
        message: Content::from_bytes(message),
        policy,
        ..Play::default()
    };
    let done = kit::play(filters, transaction).await.unwrap();
    assert_eq!(done.recipients, []);
    for turn in done.turns() {
        assert!(
            turn.result.is_ok() && turn.refused.is_empty() && turn.log.is_empty(),
            "{} at {}: {:?}, refused {:?}, log {:?}",
            turn.filter,
            turn.hook,
            turn.result,
            turn.refused,
            turn.log
        );
    }
    done
}

#[tokio::test]
async fn the_cases_of_the_plugins() {
    let directory = tempfile::tempdir().unwrap();
    let host = host(directory.path()).await;
    let filters = Arc::clone(&host.generation().filters);
    let mut wrong = String::new();
    for filter in filters.iter() {
        let plugin = &filter.info().name;
        let cases = root().join("plugins").join(plugin).join("cases");
        let report = kit::run_cases(filter, &Stage::default(), &cases, false)
            .await
            .unwrap();
        for case in &report.cases {
            match &case.end {
                CaseEnd::Failed(differences) => {
                    wrong.push_str(&format!("{plugin}/{}\n", case.name));
                    wrong.extend(differences.iter().map(ToString::to_string));
                }
                CaseEnd::Malformed(why) => wrong.push_str(&format!("{why}\n")),
                CaseEnd::Passed | CaseEnd::Blessed(_) => {}
            }
            assert!(
                case.log.is_empty(),
                "{plugin}/{}: {:?}",
                case.name,
                case.log
            );
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Samples {
    message: Vec<Sample>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    file: String,
    #[allow(dead_code)]
    about: String,
    sender: String,
    recipients: Vec<String>,
    end: End,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum End {
    All(String),
    Each(BTreeMap<String, String>),
}

impl End {
    fn of(&self, recipient: &str) -> &str {
        match self {
            Self::All(end) => end,
            Self::Each(ends) => &ends[recipient],
        }
    }
}

#[tokio::test]
async fn the_sample_mail_ends_where_an_administrator_would_want_it() {
    let directory = tempfile::tempdir().unwrap();
    let host = host(directory.path()).await;
    let filters = Arc::clone(&host.generation().filters);
    let mail = root().join("examples/mail");
    let text = std::fs::read_to_string(mail.join("expected.toml")).unwrap();
    let samples: Samples = toml::from_str(&text).unwrap();
    let policy = Policy {
        junk: Some(5.0),
        reject: Some(15.0),
    };
    let mut wrong = Vec::new();
    let mut times = Vec::new();
    for sample in &samples.message {
        let message = std::fs::read(mail.join(&sample.file)).unwrap();
        let envelope = envelope(&sample.sender, &sample.recipients);
        let done = run(&filters, &envelope, message, Some(policy)).await;
        times.push(done.ended.elapsed);
        for recipient in &sample.recipients {
            let end = match &done.verdict {
                Verdict::Continue => {
                    let filing = done.draft.filing(&Address::parse(recipient).unwrap());
                    filing
                        .mailbox
                        .map_or("INBOX".to_owned(), |(mailbox, _)| mailbox)
                }
                other => other.name().to_owned(),
            };
            let expected = sample.end.of(recipient);
            if end != expected {
                let symbols = done.ended.symbols.iter();
                let symbols: Vec<_> = symbols
                    .map(|s| format!("{} {:.1}", s.name, s.score))
                    .collect();
                wrong.push(format!(
                    "{} for {recipient}: {end}, expected {expected}: {symbols:?}",
                    sample.file
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    let written = std::fs::read_dir(&mail).unwrap().count() - 1;
    assert_eq!(
        written,
        samples.message.len(),
        "expected.toml names each message once"
    );
    times.sort();
    // Shown with --nocapture: an unoptimised host is no measure to fail by.
    println!(
        "chain, of {} messages: median {:?}, slowest {:?}",
        times.len(),
        times[times.len() / 2],
        times[times.len() - 1]
    );
}

/// What share of real ham and spam is called junk. Skipped where the messages are not beside the repository.
#[tokio::test]
async fn real_mail_is_told_apart() {
    let Some(packs) = corpus::packs() else { return };
    let directory = tempfile::tempdir().unwrap();
    let unpacked = tempfile::tempdir().unwrap();
    let mut tar = std::process::Command::new("tar");
    tar.arg("-xf").arg(&packs[0]).arg("-C").arg(unpacked.path());
    assert!(tar.status().unwrap().success());
    let host = host(directory.path()).await;
    let filters = Arc::clone(&host.generation().filters);
    let envelope = envelope("someone@example.org", &["alice@example.test".to_owned()]);
    for (kind, bounds) in [("ham", 0.0..0.005), ("spam", 0.6..1.0)] {
        let mut paths = Vec::new();
        corpus::files(&unpacked.path().join("dev").join(kind), &mut paths);
        let mut times = Vec::new();
        let mut junk = 0_usize;
        for path in &paths {
            let message = corpus::wire(&std::fs::read(path).unwrap());
            let done = run(&filters, &envelope, message, None).await;
            times.push(done.ended.elapsed);
            let score: f32 = done.ended.symbols.iter().map(|s| s.score).sum();
            junk += usize::from(score >= 5.0);
        }
        let share = junk as f64 / paths.len() as f64;
        times.sort();
        println!(
            "{kind}: {:.2} % of {} are junk; chain: median {:?}",
            100.0 * share,
            paths.len(),
            times[times.len() / 2]
        );
        assert!(bounds.contains(&share), "{kind}: {share}");
    }
}
