//! The demo's server: its directory, configuration, accounts, and how to reach it.

use crate::app::{self, App};
use crate::auth;
use crate::config::{Config, Protocol};
use crate::mail::Address;
use crate::net::Endpoint;
use crate::plugin::{Compiler, embedded};
use crate::store::Store;
use anyhow::Context;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const ACCOUNTS: [&str; 2] = ["alice@example.test", "bob@example.test"];
const PASSWORD: &str = "demo";

pub struct Stage {
    pub app: App,
    pub smtp: SocketAddr,
    imap: SocketAddr,
    http: SocketAddr,
    config: PathBuf,
    pub plugins: PathBuf,
}

pub fn directory() -> anyhow::Result<TempDir> {
    tempfile::Builder::new()
        .prefix("wasmilter-demo-")
        .tempdir()
        .context("no temporary directory")
}

impl Stage {
    pub async fn set(home: &Path) -> anyhow::Result<Self> {
        let plugins = home.join("plugins");
        std::fs::create_dir_all(&plugins)?;
        embedded::write_to(&plugins)?;
        let [smtp, imap, http] = [2525, 1143, 8025].map(port);
        let text = format!(
            r#"hostname = "demo.example.test"
data-dir = "data"
domains = ["example.test"]

[[listener]]
protocol = "smtp"
address = "127.0.0.1:{smtp}"

[[listener]]
protocol = "imap"
address = "127.0.0.1:{imap}"
allow-plaintext-auth = true

[[listener]]
protocol = "http"
address = "127.0.0.1:{http}"

[plugins]
directory = "plugins"

[policy]
junk = 5.0
reject = 15.0
"#
        );
        let file = home.join("wasmilter.toml");
        std::fs::write(&file, text)?;
        let config = Config::load(&file)?;
        {
            let store = app::open_store(&config)?;
            let hash = auth::hash(PASSWORD)?;
            for account in ACCOUNTS {
                store.add_account(&Address::parse(account)?, &hash).await?;
            }
        }
        let app = App::start(&config, Some(Compiler::this_program())).await?;
        let address = |protocol: Protocol| {
            let mut listening = app.listening().iter();
            let found = listening.find(|listening| listening.protocol == protocol);
            match found.map(|listening| &listening.endpoint) {
                Some(Endpoint::Tcp(address)) => Ok(*address),
                _ => Err(anyhow::anyhow!("{} is not listening", protocol.name())),
            }
        };
        Ok(Self {
            smtp: address(Protocol::Smtp)?,
            imap: address(Protocol::Imap)?,
            http: address(Protocol::Http)?,
            config: file,
            plugins,
            app,
        })
    }

    pub fn introduction(&self) -> String {
        format!(
            "wasmilter demo: SMTP on {}, IMAP on {}, HTTP on {}\n\
             accounts {} (password {PASSWORD:?}); all of it is in {}\n\
             plugins in {}: {}",
            self.smtp,
            self.imap,
            self.http,
            ACCOUNTS.join(" and "),
            self.config.parent().unwrap_or(&self.config).display(),
            self.plugins.display(),
            self.app.filters().join(", "),
        )
    }

    pub fn how_to_use(&self, id: &str) -> String {
        let [alice, bob] = ACCOUNTS;
        let (smtp, imap, http) = (self.smtp, self.imap, self.http);
        let (smtp_port, imap_port) = (smtp.port(), imap.port());
        let user = alice.replace('@', "%40");
        let config = self.config.display();
        let plugins = self.plugins.display();
        format!(
            r#"It stays up until Ctrl-C. Try it from another terminal:

  send a message
    swaks --server {smtp} --from {bob} --to {alice} --header "Subject: hello"
  read the mailbox
    curl --user {alice}:{PASSWORD} imap://{imap}/INBOX -X "FETCH 1:20 (FLAGS ENVELOPE)"
    mutt -f imap://{user}:{PASSWORD}@{imap}/INBOX
  with Thunderbird
    incoming: IMAP, server 127.0.0.1, port {imap_port}, connection security none, normal password
    outgoing: SMTP, server 127.0.0.1, port {smtp_port}, connection security none, no authentication
    user name {alice}, password {PASSWORD}
  see what the filters did to a message
    wasmilter explain {id} --config {config}
  change a filter while mail flows: edit a rule and save, the next message goes by it
    {plugins}/spam-score/plugin.toml
    wasmilter plugin list --config {config}
  is it ready?
    curl http://{http}/healthz

(`wasmilter` is target/release/wasmilter, or `cargo run --release --` in its place.)"#
        )
    }
}

/// The preferred port if it is free, any other if not.
fn port(preferred: u16) -> u16 {
    match TcpListener::bind(("127.0.0.1", preferred)) {
        Ok(_) => preferred,
        Err(_) => 0,
    }
}
