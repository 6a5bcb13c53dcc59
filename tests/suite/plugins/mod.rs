//! The plugin host from outside: one scripted guest, loaded from a directory as a server does it, asked as the chain asks.

mod abilities;
mod bad;
mod body_edits;
mod bulkheads;
mod compiling;
mod contract;
mod costs;
mod envelope;
mod failures;
mod first_party;
mod grants;
mod refused;
mod reload;
mod rollback;
mod run;
mod sandbox;
mod services;
mod staged;
mod web;

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use wasmilter::mail::{
    Address, AuthenticationResult, Call, Content, Envelope, Filter, FilterRun, Hook, Message,
    Outcome, Recipient, ReversePath, Session, Symbol, TransactionId, Verdict, View,
};
use wasmilter::plugin::{Config, Generation, Granting, Host, LoadTime, PluginState, PluginStatus};

/// `tests/guest`, which does what its configuration says.
static GUEST: &[u8] = include_bytes!(env!("WASMILTER_TEST_GUEST"));

const MESSAGE: &str = "Received: from a\r\n\tby b\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nTo: alice@example.test\r\nTo: carol@example.test\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nSch=F6ne Gr=FC=DFe\r\n--b\r\nContent-Type: application/pdf; name=a.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nJVBERg==\r\n--b--\r\n";

/// A plugin directory and the host on it.
struct Rig {
    directory: TempDir,
}

impl Rig {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The scripted guest under this name. `script` is the content of `[config]`.
    fn guest(&self, name: &str, script: &str) {
        self.plugin(name, &format!("[config]\n{script}"), GUEST);
    }

    /// Replaces files as a careful administrator does: written aside, then renamed.
    fn plugin(&self, name: &str, manifest: &str, wasm: &[u8]) {
        let folder = self.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        for (file, octets) in [("plugin.toml", manifest.as_bytes()), ("filter.wasm", wasm)] {
            let aside = self.path().join(".aside");
            fs::write(&aside, octets).unwrap();
            fs::rename(&aside, folder.join(file)).unwrap();
        }
    }

    /// Without a watcher: what tests do is seen when they say so.
    fn config(&self) -> Config {
        Config {
            // Compiling takes long in this build; what one test compiled the others take.
            cache: Some(Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugin-cache")),
            load: LoadTime {
                cpu: Duration::from_millis(300),
                wall: Duration::from_secs(5),
            },
            instances: 20,
            watch: None,
            // Those of `grants` have a file.
            grants: Granting::Everything,
            settle: Duration::from_millis(1),
            ..Config::new(self.path())
        }
    }

    async fn start(&self) -> Host {
        Host::start(self.config()).await.unwrap()
    }
}

/// A host with one scripted guest.
async fn scripted(script: &str) -> (Rig, Host) {
    let rig = Rig::new();
    rig.guest("guest", script);
    let host = rig.start().await;
    let generation = host.generation();
    assert_eq!(generation.plugins[0].state, PluginState::Active);
    (rig, host)
}

fn filter(generation: &Generation, name: &str) -> Arc<dyn Filter> {
    let found = generation
        .filters
        .iter()
        .find(|filter| filter.info().name == name);
    Arc::clone(found.unwrap_or_else(|| panic!("no filter {name}: {:?}", generation.plugins)))
}

fn open(host: &Host) -> Box<dyn FilterRun> {
    host.generation().filters[0].open()
}

fn status(generation: &Generation, name: &str) -> PluginStatus {
    let found = generation.plugins.iter().find(|plugin| plugin.name == name);
    found
        .unwrap_or_else(|| panic!("no plugin {name}: {:?}", generation.plugins))
        .clone()
}

/// Why a plugin is kept out.
fn kept_out(generation: &Generation, name: &str) -> String {
    match status(generation, name).state {
        PluginState::KeptOut(why) => why,
        other => panic!("{name} is {other:?}"),
    }
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn alice() -> Address {
    address("alice@example.test")
}

fn message() -> Message {
    Message::new(Content::from_bytes(MESSAGE)).unwrap()
}

/// What the chain shows at this hook.
fn view(hook: Hook) -> View {
    let shown = matches!(hook, Hook::Message | Hook::Deliver);
    View {
        transaction: (hook != Hook::Connect).then(|| TransactionId::new(1, 2)),
        session: Arc::new(Session {
            server_name: "mx.example.test".to_owned(),
            client_address: Some("192.0.2.1".parse::<IpAddr>().unwrap()),
            client_name: Some("client.example".to_owned()),
            helo: "client.example".to_owned(),
            protocol: "ESMTP".to_owned(),
            ..Session::default()
        }),
        envelope: Arc::new(Envelope {
            sender: ReversePath::Address(address("bob@example.org")),
            recipients: vec![
                Recipient::from(alice()),
                Recipient::from(address("carol@example.test")),
            ],
            ..Envelope::default()
        }),
        message: shown.then(message),
        authentication: Arc::new([AuthenticationResult {
            method: "spf".to_owned(),
            outcome: "pass".to_owned(),
            property: "smtp.mailfrom=example.org".to_owned(),
            reason: None,
        }]),
        symbols: Arc::new(vec![Symbol {
            name: "EARLIER".to_owned(),
            score: 1.5,
            reason: "by another".to_owned(),
            by: "other".to_owned(),
        }]),
        tags: Arc::default(),
        next_hops: Arc::new([]),
    }
}

async fn ask(run: &mut Box<dyn FilterRun>, call: Call) -> Outcome {
    let view = view(call.hook());
    run.call(&call, view).await
}

/// One call of the message hook in a transaction of its own.
async fn at_message(host: &Host) -> Outcome {
    ask(&mut open(host), Call::Message).await
}

fn logged(outcome: &Outcome) -> Vec<&str> {
    outcome.log.iter().map(|line| line.text.as_str()).collect()
}

fn fine(outcome: &Outcome) {
    assert_eq!(outcome.result, Ok(Verdict::Continue), "{outcome:?}");
}
