//! The same plugin file at each way in: what it finds, says and changes is the same for a message by SMTP, LMTP, milter, MTA Hooks, rspamd's
//! protocol and `plugin run`. Where a message goes is the affair of whoever keeps it, and is no part of this.

use crate::hooks::stalwart;
use crate::milter::{guest, mta::Mta};
use crate::support::http::{SECRET, post};
use crate::support::imap::Reader;
use crate::support::process::{self, Sender};
use crate::support::{ALICE, PASSWORD, Server};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use wasmilter::chain::Policy;
use wasmilter::config::Protocol;
use wasmilter::kit::{self, Play};
use wasmilter::mail::{Content, Header, Hook, Mode, Symbol, Turn, Verdict};
use wasmilter::plugin::{self, Input, Loaded, load_path};
use wasmilter::store::Store;

const SENDER: &str = "sender@client.example";

/// What a plugin does, as the scripted guest; and for each subject where a message is left to look at, if one is.
type Case = (
    &'static str,
    &'static [(&'static str, Option<&'static str>)],
);

const INBOX: Option<&str> = Some("INBOX");

const CASES: &[Case] = &[
    (
        r#"message = [
            "when symbols score A 1.5 first", "when symbols score B -0.25 second", "when symbols score A 1 again",
            "when junk score SPAM 6.5 likely",
            "when spam score SPAM 20 certainly",
            "when accepted score SPAM 20 certainly", "when accepted accept",
            "when header insert X-Top", "when header add X-End at the end", "when header change Subject Grüße an alle",
            "when header remove X-Old",
            "when body replace another body\\n", "when body add X-Changed yes",
            "when refused score C 2 c", "when refused reject 554 5 not wanted",
            "when later tempfail 450 4 come again",
            "when lost discard",
            "when aside quarantine odd",
            "when failure panic oh",
        ]"#,
        &[
            ("nothing", INBOX),
            ("symbols", INBOX),
            ("junk", Some("Junk")),
            ("spam", None),
            ("accepted", INBOX),
            ("header", INBOX),
            ("body", INBOX),
            ("refused", None),
            ("later", None),
            ("lost", None),
            ("aside", None),
            ("failure", None),
        ],
    ),
    (
        r#"
        connect = ["tag seen connect"]
        mail = ["tag mail yes"]
        message = ["tagged seen", "tagged mail", "score TAGGED 1 t"]
        "#,
        &[("tags", INBOX)],
    ),
    (
        r#"helo = ["reject 550 5 what a name"]"#,
        &[("at-helo", None)],
    ),
    (r#"mail = ["reject 550 5 not you"]"#, &[("at-mail", None)]),
    (
        r#"rcpt = ["for alice@example.test reject 550 5 not for her"]"#,
        &[("at-rcpt", None)],
    ),
];

/// What is the same everywhere.
#[derive(Debug, PartialEq)]
struct Seen {
    verdict: Verdict,
    symbols: Vec<(String, f32)>,
    /// Of the hook `message`, as a journal has them.
    edits: Vec<serde_json::Value>,
    log: Vec<String>,
}

impl Seen {
    fn new(verdict: &Verdict, turns: &[Turn]) -> Self {
        let own: Vec<_> = turns
            .iter()
            .filter(|turn| {
                turn.filter == "guest" && turn.hook == Hook::Message && turn.mode == Mode::Active
            })
            .collect();
        let symbols = own.iter().flat_map(|turn| &turn.symbols);
        Self {
            // One that the policy refuses says under which transaction.
            verdict: match verdict {
                Verdict::Reject(reply) if reply.to_string().contains("Refused as") => {
                    Verdict::Reject(wasmilter::mail::Reply::plain(reply.code, "spam"))
                }
                other => other.clone(),
            },
            symbols: symbols
                .map(|Symbol { name, score, .. }| (name.clone(), *score))
                .collect(),
            edits: own
                .iter()
                .flat_map(|turn| &turn.edits)
                .map(|edit| serde_json::to_value(edit).unwrap())
                .collect(),
            log: own
                .iter()
                .flat_map(|turn| &turn.log)
                .map(|line| line.text.clone())
                .collect(),
        }
    }
}

/// `way` is the local part of its Message-ID, and the subject behind a hyphen.
fn message(way: &str) -> String {
    let (_, subject) = way.split_once('-').unwrap();
    format!(
        "From: {SENDER}\r\nTo: {ALICE}\r\nMessage-ID: <{way}@ways.test>\r\nX-Old: 1\r\nSubject: {subject}\r\n\r\nHello.\r\n"
    )
}

/// Fields in any order, for not every mail server lets a place be named, without those that a mail server adds, and the body.
fn content(way: &str, message: &[u8]) -> (Vec<String>, String) {
    let header = Header::parse(&message.to_vec().into());
    let trace = ["Return-Path", "Delivered-To", "Received", "X-Spam-Flag"];
    let fields = header.fields().iter();
    let mut fields: Vec<_> = fields
        .filter(|field| !trace.contains(&&*field.name()))
        .map(|field| format!("{}: {}", field.name(), field.text().replace(way, "WAY")))
        .collect();
    fields.sort();
    let body = String::from_utf8_lossy(&message[header.received_len() as usize..]);
    (fields, body.trim_start().replace("\r\n", "\n"))
}

/// By Message-ID. None if a message never came that far.
async fn seen(server: &Server, way: &str) -> Option<Seen> {
    let key = format!("{way}@ways.test");
    // Some store it after they have answered.
    for _ in 0..500 {
        if let Some(journal) = server.app.store().journal(&key).await.unwrap() {
            return Some(Seen::new(&journal.verdict, &journal.turns));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    None
}

/// The code of the first refusal, or 250.
fn by_smtp(address: SocketAddr, greeting: &str, way: &str) -> u16 {
    let mut sender = Sender::connect(address).unwrap();
    let greeted = sender.command(greeting).unwrap();
    if greeted >= 400 {
        return greeted;
    }
    sender
        .send_octets(ALICE, message(way).as_bytes())
        .unwrap()
        .0
}

async fn by_milter(address: SocketAddr, way: &str) -> (u16, String) {
    let mut mta = Mta::connect(address).await;
    for (command, text) in [
        (b'C', "client.example\x004\x30\x39127.0.0.1\0".to_owned()),
        (b'H', "client.example\0".to_owned()),
        (b'M', format!("<{SENDER}>\0")),
        (b'R', format!("<{ALICE}>\0")),
    ] {
        let (letter, text) = mta.ask(command, text.as_bytes()).await;
        if letter == 'y' {
            return (text[..3].parse().unwrap(), String::new());
        }
    }
    let outcome = mta.content(way, &message(way)).await;
    match outcome.answer {
        'y' => (outcome.text[..3].parse().unwrap(), String::new()),
        _ => (250, outcome.message),
    }
}

async fn by_hooks(address: SocketAddr, way: &str) -> (u16, String) {
    let mut question = stalwart::question("data", way, &[ALICE], &message(way));
    question["envelope"]["from"]["address"] = SENDER.into();
    question["context"]["client"]["helo"] = "client.example".into();
    question["context"]["client"]["ip"] = "127.0.0.1".into();
    let answer = post(address, "/mta-hooks", "", question.to_string().as_bytes()).await;
    assert_eq!(answer.status, 200);
    let answer = answer.json();
    let code = answer["response"]["status"].as_u64().unwrap_or(250);
    (code as u16, stalwart::changed(&message(way), &answer))
}

/// The action and the symbols.
async fn by_rspamd(address: SocketAddr, way: &str) -> serde_json::Value {
    let fields =
        format!("From: {SENDER}\r\nRcpt: {ALICE}\r\nHelo: client.example\r\nIP: 127.0.0.1\r\n");
    post(address, "/checkv2", &fields, message(way).as_bytes())
        .await
        .json()
}

/// As `plugin run` and `plugin test` do it, and what `plugin run --rendered` writes.
async fn by_run(plugin: &Loaded, home: &Path, way: &str) -> (Seen, Vec<u8>) {
    let input = Input::from_message(Content::from_bytes(message(way))).unwrap();
    let play = Play {
        policy: Some(Policy {
            junk: Some(5.0),
            reject: Some(15.0),
        }),
        ..Play::from(input)
    };
    let done = kit::play(std::slice::from_ref(&plugin.filter), play)
        .await
        .unwrap();
    let turns: Vec<_> = done.turns().cloned().collect();
    let file = home.join("message.eml");
    std::fs::write(&file, message(way)).unwrap();
    let folder = home.join("plugins/guest");
    let rendered = process::run(
        &[
            "plugin",
            "run",
            "--rendered",
            folder.to_str().unwrap(),
            file.to_str().unwrap(),
        ],
        "",
    );
    assert!(
        rendered.status.success(),
        "{}",
        String::from_utf8_lossy(&rendered.stderr)
    );
    (Seen::new(&done.verdict, &turns), rendered.stdout)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_does_the_same_wherever_a_message_comes_from() {
    for (script, cases) in CASES {
        let listener = |protocol: &str, more: &str| {
            format!("[[listener]]\nprotocol = \"{protocol}\"\naddress = \"127.0.0.1:0\"\n{more}")
        };
        let secret = format!("secret = \"{SECRET}\"\n");
        let more = [
            listener("lmtp", ""),
            listener("milter", ""),
            listener("hooks", &secret),
            listener("rspamd", &secret),
            "[plugins]\ndirectory = \"plugins\"\n".to_owned(),
        ]
        .concat();
        let server = Server::with(&more, |home| guest(home, "guest", script)).await;
        let folder = server.home.path().join("plugins/guest");
        let plugin = load_path(&plugin::Config::new("."), &folder).await.unwrap();
        let mut uids = BTreeMap::new();
        for (case, mailbox) in *cases {
            one(&server, &plugin, case, *mailbox, &mut uids).await;
        }
        server.app.stop().await;
    }
}

async fn one(
    server: &Server,
    plugin: &Loaded,
    case: &str,
    mailbox: Option<&str>,
    uids: &mut BTreeMap<String, u32>,
) {
    let at = |protocol| server.address(protocol);
    let way = |way: &str| format!("{way}-{case}");
    let code = by_smtp(at(Protocol::Smtp), "EHLO client.example", &way("smtp"));
    let lmtp = by_smtp(at(Protocol::Lmtp), "LHLO client.example", &way("lmtp"));
    let (milter, by_milter) = by_milter(at(Protocol::Milter), &way("milter")).await;
    let (hooks, by_hooks) = by_hooks(at(Protocol::Hooks), &way("hooks")).await;
    assert_eq!([lmtp, milter, hooks], [code; 3], "{case}");
    let rspamd = by_rspamd(at(Protocol::Rspamd), &way("rspamd")).await;
    let action = match (code, case) {
        (250, "junk") => "add header",
        (250, "lost") => "discard",
        (250, "aside") => "quarantine",
        (250, _) => "no action",
        (400..=499, _) => "soft reject",
        _ => "reject",
    };
    assert_eq!(rspamd["action"], action, "{case}");
    let home = server.home.path();
    let is_early = case.starts_with("at-");
    if is_early {
        // There is no message to speak of.
        let input = Input::from_message(Content::from_bytes(message(&way("run")))).unwrap();
        let done = kit::play(std::slice::from_ref(&plugin.filter), Play::from(input)).await;
        let done = done.unwrap();
        let refused = done.recipients.into_iter().map(|(_, verdict)| verdict);
        let verdicts: Vec<_> = refused.chain([done.verdict]).collect();
        let same =
            |verdict: &Verdict| matches!(verdict, Verdict::Reject(reply) if reply.code == code);
        assert!(verdicts.iter().any(same), "{case}: {verdicts:?}");
        return;
    }
    let (run, rendered) = by_run(plugin, home, &way("run")).await;
    for name in ["smtp", "lmtp", "milter", "hooks", "rspamd"] {
        let seen = seen(server, &way(name)).await;
        let seen = seen.unwrap_or_else(|| panic!("{case}: no journal by {name}"));
        assert_eq!(seen, run, "{case} by {name}");
    }
    for (name, score) in &run.symbols {
        let same = run.symbols.iter().filter(|(other, _)| other == name);
        let sum: f32 = same.map(|(_, score)| score).sum();
        let said = rspamd["symbols"][name]["score"].as_f64().unwrap();
        assert!(
            (said - f64::from(sum)).abs() < 0.001,
            "{case}: {name} {score}"
        );
    }
    let Some(mailbox) = mailbox else { return };
    let last = uids.entry(mailbox.to_owned()).or_default();
    let mut reader = Reader::open(server.imap(), ALICE, PASSWORD, mailbox);
    let expected = content(&way("run"), &rendered);
    for (name, message) in [
        ("smtp", reader.fetch(*last + 1)),
        ("lmtp", reader.fetch(*last + 2)),
        ("milter", by_milter.into_bytes()),
        ("hooks", by_hooks.into_bytes()),
    ] {
        assert_eq!(content(&way(name), &message), expected, "{case} by {name}");
    }
    *last += 2;
}
