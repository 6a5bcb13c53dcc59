//! A server of our own in a temporary directory, on ports that the system chooses, and programs to talk to it with.

pub mod dns;
pub mod http;
pub mod imap;
#[path = "../../../src/net/logged.rs"]
pub mod logged;
pub mod page;
pub mod process;

use std::hash::{BuildHasher, RandomState};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use wasmilter::app::{self, App};
use wasmilter::auth;
use wasmilter::config::{Config, Protocol};
use wasmilter::mail::Address;
use wasmilter::net::Endpoint;
use wasmilter::store::Store;

pub const ALICE: &str = "alice@example.test";
pub const BOB: &str = "bob@example.test";
/// A grants.toml.
pub const EVERYTHING: &str = "[\"*\"]\nabilities = [\"*\"]\nverdicts = [\"*\"]\n";
pub const PASSWORD: &str = "correct horse";

/// A running server; gone with its directory when dropped.
pub struct Server {
    pub app: App,
    pub home: tempfile::TempDir,
}

impl Server {
    /// SMTP, IMAP (LOGIN allowed in the clear) and HTTP; accounts alice and bob; no plugins.
    pub async fn start() -> Self {
        Self::with("", |_| {}).await
    }

    /// `more` is appended to the configuration; `prepare` gets its directory first.
    pub async fn with(more: &str, prepare: impl FnOnce(&Path)) -> Self {
        let home = tempfile::tempdir().unwrap();
        prepare(home.path());
        let config = config(home.path(), more);
        accounts(&config).await;
        let app = App::start(&config, None).await.unwrap();
        Self { app, home }
    }

    pub fn address(&self, protocol: Protocol) -> SocketAddr {
        let mut listening = self.app.listening().iter();
        let found = listening.find(|listening| listening.protocol == protocol);
        match &found.unwrap().endpoint {
            Endpoint::Tcp(address) => *address,
            Endpoint::Unix(path) => panic!("{} is a socket file", path.display()),
        }
    }

    pub fn smtp(&self) -> SocketAddr {
        self.address(Protocol::Smtp)
    }

    pub fn imap(&self) -> SocketAddr {
        self.address(Protocol::Imap)
    }
}

/// The configuration in this directory, written there too.
pub fn config(home: &Path, more: &str) -> Config {
    let text = format!(
        "hostname = \"mx.example.test\"\n\
         data-dir = \"data\"\n\
         domains = [\"example.test\"]\n\
         [[listener]]\nprotocol = \"smtp\"\naddress = \"127.0.0.1:0\"\n\
         [[listener]]\nprotocol = \"imap\"\naddress = \"127.0.0.1:0\"\nallow-plaintext-auth = true\n\
         [[listener]]\nprotocol = \"http\"\naddress = \"127.0.0.1:0\"\n\
         {more}"
    );
    let path = home.join("wasmilter.toml");
    std::fs::write(&path, text).unwrap();
    // Filters of tests are trusted, unless the test says otherwise.
    let grants = home.join("plugins/grants.toml");
    if home.join("plugins").is_dir() && !grants.exists() {
        std::fs::write(&grants, EVERYTHING).unwrap();
    }
    Config::load(&path).unwrap()
}

pub async fn accounts(config: &Config) {
    let store = app::open_store(config).unwrap();
    let hash = auth::hash(PASSWORD).unwrap();
    for account in [ALICE, BOB] {
        let login = Address::parse(account).unwrap();
        store.add_account(&login, &hash).await.unwrap();
    }
}

/// A program that the test talks to, or None, said in one line, where it is not installed. Where all must be there, that is a failure.
pub fn program(name: &str) -> Option<Command> {
    let found = Command::new("sh")
        .args(["-c", &format!("command -v {name}")])
        .output()
        .is_ok_and(|output| output.status.success());
    if found {
        return Some(Command::new(name));
    }
    assert!(
        std::env::var_os("WASMILTER_REQUIRE_PROGRAMS").is_none(),
        "{name} is not installed"
    );
    eprintln!("skipped: {name} is not installed");
    None
}

/// A port that was free a moment ago, below those that the system gives to whoever takes any: so no other test has got it by now.
pub fn free() -> SocketAddr {
    let mut ports = std::iter::repeat_with(|| 20_000 + RandomState::new().hash_one(()) % 12_000);
    let listener = ports.find_map(|port| TcpListener::bind(("127.0.0.1", port as u16)).ok());
    listener.unwrap().local_addr().unwrap()
}

/// Whether this is root, who alone may start such a program; said in one line where it isn't.
pub fn is_root(program: &str) -> bool {
    let user = Command::new("id").arg("-u").output().unwrap().stdout;
    if user != b"0\n" {
        eprintln!("skipped: only root can start {program}");
    }
    user == b"0\n"
}

/// Runs a program beside the server, which may be on this thread, and wants it to succeed within half a minute.
pub async fn run(mut command: Command) {
    let output = tokio::task::spawn_blocking(move || command.stdin(Stdio::null()).output());
    let output = tokio::time::timeout(std::time::Duration::from_secs(30), output).await;
    let output = output.unwrap().unwrap().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
