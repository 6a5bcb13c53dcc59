//! The plugins that come with wasmilter, in the real host: their own cases (`plugins/*/cases`), and all of them together on the
//! sample mail. No sockets, no store: these have their own suites.

use crate::corpus;
use async_trait::async_trait;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use wasmilter::chain::{Chain, Draft, Ended, Policy, Ruling, Run};
use wasmilter::mail::{
    Address, Call, Content, Envelope, Filter, FilterInfo, FilterRun, Hook, Message, Outcome,
    ReversePath, Session, Symbol, TransactionId, Verdict, View,
};
use wasmilter::plugin::{Config, Host, PluginState, embedded};

/// NAME.toml beside NAME.eml.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Case {
    /// What the case is about.
    #[allow(dead_code)]
    about: String,
    envelope: CaseEnvelope,
    #[serde(default)]
    session: CaseSession,
    /// Symbols that earlier filters gave, with their points.
    #[serde(default)]
    given: BTreeMap<String, f32>,
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseEnvelope {
    sender: String,
    recipients: Vec<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct CaseSession {
    authenticated: Option<String>,
}

/// What is not named is not looked at, but edits: those that are not named fail the case.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Expect {
    #[serde(default = "go_on")]
    verdict: String,
    /// Exactly these, in any order.
    symbols: Option<BTreeSet<String>>,
    #[serde(default)]
    symbols_include: BTreeSet<String>,
    #[serde(default)]
    symbols_exclude: BTreeSet<String>,
    score_at_least: Option<f32>,
    score_below: Option<f32>,
    /// Fields that the message has afterwards and had not before.
    #[serde(default)]
    header_added: BTreeMap<String, String>,
    /// Names of fields that it has no more.
    #[serde(default)]
    header_removed: BTreeSet<String>,
    /// By recipient; who is not named has none.
    #[serde(default)]
    mailbox: BTreeMap<String, String>,
    #[serde(default)]
    flags: BTreeMap<String, BTreeSet<String>>,
}

fn go_on() -> String {
    "continue".to_owned()
}

/// A filter that gives the symbols of a case.
struct Given(FilterInfo, Vec<Symbol>);

#[async_trait]
impl FilterRun for Given {
    async fn call(&mut self, _: &Call, _: View) -> Outcome {
        Outcome {
            result: Ok(Verdict::Continue),
            edits: Vec::new(),
            symbols: self.1.clone(),
            refused: Vec::new(),
            log: Vec::new(),
            elapsed: Duration::ZERO,
            memory: 0,
            host_calls: 0,
        }
    }
}

impl Filter for Given {
    fn info(&self) -> &FilterInfo {
        &self.0
    }

    fn open(&self) -> Box<dyn FilterRun> {
        Box::new(Self(self.0.clone(), self.1.clone()))
    }
}

fn given(symbols: &BTreeMap<String, f32>) -> Arc<dyn Filter> {
    let info = FilterInfo {
        name: "given".to_owned(),
        version: "1".to_owned(),
        hooks: [Hook::Message].into_iter().collect(),
        on_error: wasmilter::mail::OnError::Skip,
    };
    let symbols = symbols
        .iter()
        .map(|(name, score)| Symbol {
            name: name.clone(),
            score: *score,
            reason: "given by the case".to_owned(),
            by: "given".to_owned(),
        })
        .collect();
    Arc::new(Given(info, symbols))
}

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

fn envelope(sender: &str, recipients: &[String]) -> Arc<Envelope> {
    let sender = match sender {
        "" => ReversePath::Null,
        sender => ReversePath::Address(Address::parse(sender).unwrap()),
    };
    let recipients = recipients.iter().map(|r| Address::parse(r).unwrap().into());
    Arc::new(Envelope {
        sender,
        recipients: recipients.collect(),
        ..Envelope::default()
    })
}

/// What became of a message.
struct Done {
    ended: Ended,
    verdict: Verdict,
    before: Message,
    draft: Draft,
}

/// As `accept` does it: `message`, the policy if there is one, `deliver` for each recipient.
async fn run(
    filters: &[Arc<dyn Filter>],
    session: Session,
    envelope: &Arc<Envelope>,
    message: Vec<u8>,
    policy: Option<Policy>,
) -> Done {
    let chain = Chain {
        generation: 1,
        filters: filters.into(),
    };
    let mut run = Run::new(chain, Arc::new(session), Some(TransactionId::new(0, 0)));
    let before = Message::new(Content::from_bytes(message)).unwrap();
    let mut draft = Draft::new(before.clone(), &envelope.recipients);
    let mut verdict = run.message(envelope, &mut draft).await;
    if let (Verdict::Continue, Some(policy)) = (&verdict, policy) {
        match policy.rule(run.score()) {
            Ruling::Deliver => {}
            Ruling::Junk => draft.file_by_default("Junk", "score"),
            Ruling::Reject => {
                verdict = Verdict::Reject(wasmilter::mail::Reply::new(
                    550,
                    wasmilter::mail::EnhancedCode(5, 7, 1),
                    "spam",
                ));
            }
        }
    }
    if verdict == Verdict::Continue {
        for recipient in &envelope.recipients {
            let answer = run
                .deliver(recipient.address.clone(), envelope, &mut draft)
                .await;
            assert_eq!(answer, Verdict::Continue);
        }
    }
    let ended = run.end();
    for turn in &ended.turns {
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
    Done {
        ended,
        verdict,
        before,
        draft,
    }
}

fn name_of(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Continue => "continue",
        Verdict::Accept => "accept",
        Verdict::Reject(_) => "reject",
        Verdict::Tempfail(_) => "tempfail",
        Verdict::Discard => "discard",
        Verdict::Quarantine(_) => "quarantine",
    }
}

/// Name and value of each field, the value unfolded.
fn fields(message: &Message) -> Vec<(String, String)> {
    let fields = message.header.fields().iter();
    fields
        .map(|field| (field.name().into_owned(), field.text()))
        .collect()
}

#[derive(Default)]
struct Complaints(Vec<String>);

impl Complaints {
    fn unless(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.0.push(what());
        }
    }

    fn same<T: PartialEq + Debug>(&mut self, what: &str, is: T, expected: T) {
        self.unless(is == expected, || {
            format!("{what}: {is:?}, expected {expected:?}")
        });
    }
}

impl Expect {
    /// What is not as it should be.
    fn complaints(&self, plugin: &str, done: &Done, recipients: &[String]) -> Vec<String> {
        let mut all = Complaints::default();
        all.same("verdict", name_of(&done.verdict), self.verdict.as_str());
        let own: Vec<&Symbol> = done
            .ended
            .symbols
            .iter()
            .filter(|s| s.by == plugin)
            .collect();
        let names: BTreeSet<String> = own.iter().map(|s| s.name.clone()).collect();
        if let Some(expected) = &self.symbols {
            all.same("symbols", &names, expected);
        }
        all.unless(names.is_superset(&self.symbols_include), || {
            format!(
                "symbols: {names:?}, expected to be among them: {:?}",
                self.symbols_include
            )
        });
        all.unless(names.is_disjoint(&self.symbols_exclude), || {
            format!(
                "symbols: {names:?}, expected not to be among them: {:?}",
                self.symbols_exclude
            )
        });
        let score: f32 = own.iter().map(|s| s.score).sum();
        let bounds = self.score_at_least.is_none_or(|least| score >= least)
            && self.score_below.is_none_or(|bound| score < bound);
        all.unless(bounds, || format!("score: {score}"));

        let (before, after) = (fields(&done.before), fields(done.draft.message()));
        let added: BTreeMap<_, _> = after
            .iter()
            .filter(|f| !before.contains(f))
            .cloned()
            .collect();
        all.same("header-added", &added, &self.header_added);
        let left: BTreeSet<&str> = after.iter().map(|(name, _)| name.as_str()).collect();
        let removed: BTreeSet<String> = before
            .iter()
            .map(|(name, _)| name.clone())
            .filter(|name| !left.contains(name.as_str()))
            .collect();
        all.same("header-removed", &removed, &self.header_removed);

        for recipient in recipients {
            let filing = done.draft.filing(&Address::parse(recipient).unwrap());
            let mailbox = filing.mailbox.map(|(mailbox, _)| mailbox);
            all.same(recipient, mailbox.as_ref(), self.mailbox.get(recipient));
            let flags = self.flags.get(recipient).cloned().unwrap_or_default();
            all.same(recipient, filing.flags, flags);
        }
        all.0
    }
}

#[tokio::test]
async fn the_cases_of_the_plugins() {
    let directory = tempfile::tempdir().unwrap();
    let host = host(directory.path()).await;
    let filters = Arc::clone(&host.generation().filters);
    let mut wrong = Vec::new();
    for filter in filters.iter() {
        let plugin = filter.info().name.clone();
        let cases = root().join("plugins").join(&plugin).join("cases");
        let mut paths: Vec<PathBuf> = std::fs::read_dir(&cases)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "toml"))
            .collect();
        paths.sort();
        assert!(!paths.is_empty(), "{plugin} has no cases");
        for path in paths {
            let text = std::fs::read_to_string(&path).unwrap();
            let case: Case =
                toml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let message = std::fs::read(path.with_extension("eml")).unwrap();
            let session = Session {
                authenticated: case.session.authenticated,
                ..Session::default()
            };
            let envelope = envelope(&case.envelope.sender, &case.envelope.recipients);
            let chain = [given(&case.given), Arc::clone(filter)];
            let done = run(&chain, session, &envelope, message, None).await;
            let complaints = case
                .expect
                .complaints(&plugin, &done, &case.envelope.recipients);
            for complaint in complaints {
                let name = path.file_stem().unwrap().to_string_lossy();
                wrong.push(format!("{plugin}/{name}: {complaint}"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
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
        let done = run(
            &filters,
            Session::default(),
            &envelope,
            message,
            Some(policy),
        )
        .await;
        times.push(done.ended.elapsed);
        for recipient in &sample.recipients {
            let end = match &done.verdict {
                Verdict::Continue => {
                    let filing = done.draft.filing(&Address::parse(recipient).unwrap());
                    filing
                        .mailbox
                        .map_or("INBOX".to_owned(), |(mailbox, _)| mailbox)
                }
                other => name_of(other).to_owned(),
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
            let done = run(&filters, Session::default(), &envelope, message, None).await;
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
