//! The milter listener as mail servers see it: one that a test scripts, Postfix, and Sendmail. And milters as links of the chain: OpenDKIM, our own
//! listener, and some that lie.

mod abuse;
pub mod addresses;
mod bytes;
mod conversation;
mod liar;
mod link;
mod miltertest;
pub mod mta;
mod native;
mod opendkim;
mod postfix;
pub mod postfix_rig;
mod progress;
pub mod restart;
mod sendmail;
mod sendmail_rig;

use crate::support::Server;
use crate::support::process::Sender;
use mta::Mta;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use wasmilter::config::Protocol;
use wasmilter::mail::{Address, Journal};
use wasmilter::plugin::embedded::EmbeddedPlugin;
use wasmilter::store::{MailboxName, Store};

/// `tests/guest`, which does what its configuration says.
static GUEST: &[u8] = include_bytes!(env!("WASMILTER_TEST_GUEST"));

const LISTENER: &str = "[[listener]]\nprotocol = \"milter\"\naddress = \"127.0.0.1:0\"\n";
const PLUGINS: &str = "[plugins]\ndirectory = \"plugins\"\n";

const MESSAGE: &str =
    "From: a@client.test\r\nTo: alice@example.test\r\nSubject: hello\r\n\r\nHello.\r\n";

/// The scripted guest as the plugin of this name.
pub fn guest(home: &Path, name: &str, script: &str) {
    let folder = home.join("plugins").join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let manifest = format!("[config]\n{script}");
    std::fs::write(folder.join("plugin.toml"), manifest).unwrap();
    std::fs::write(folder.join("filter.wasm"), GUEST).unwrap();
}

/// A server whose one filter is the scripted guest.
async fn scripted(script: &str) -> Server {
    with("", |home| guest(home, "guest", script)).await
}

async fn with(more: &str, prepare: impl FnOnce(&Path)) -> Server {
    let more = format!("{LISTENER}{PLUGINS}{more}");
    Server::with(&more, |home| {
        std::fs::create_dir_all(home.join("plugins")).unwrap();
        prepare(home);
    })
    .await
}

/// Of the plugins that come with the program.
fn shipped(home: &Path, name: &str) {
    let plugin = EmbeddedPlugin::named(name).unwrap();
    plugin.write_to(&home.join("plugins")).unwrap();
}

async fn connect(server: &Server) -> Mta {
    Mta::connect(server.address(Protocol::Milter)).await
}

/// The journal by a queue id, which comes a moment after the answer.
async fn journal(server: &Server, id: &str) -> Journal {
    soon(async {
        loop {
            if let Some(journal) = server.app.store().journal(id).await.unwrap() {
                return journal;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await
}

/// Sends one message to a mail server; the reply to it.
pub async fn send(address: SocketAddr, to: &str, message: &str) -> (u16, String) {
    let (to, message) = (to.to_owned(), message.to_owned());
    let sending = tokio::task::spawn_blocking(move || {
        let mut sender = Sender::connect(address).unwrap();
        sender.send_octets(&to, message.as_bytes()).unwrap()
    });
    soon(sending).await.unwrap()
}

/// The messages that a recipient has, as they were handed over, once there are so many; None if they don't come.
pub async fn received(mailboxes: &Server, to: &str, count: usize) -> Option<Vec<String>> {
    let store = mailboxes.app.store();
    let login = Address::parse(to).unwrap();
    let account = store.account(&login).await.unwrap().unwrap().id;
    let inbox = store.mailbox(account, &MailboxName::inbox()).await.unwrap();
    let waiting = async {
        loop {
            let messages = store.messages(inbox.id).await.unwrap();
            if messages.len() >= count {
                return messages;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), waiting).await;
    let mut texts = Vec::new();
    for message in waited.ok()? {
        let content = store.content(inbox.id, message.uid).await.unwrap();
        let octets = content.received().bytes().unwrap();
        texts.push(String::from_utf8(octets.to_vec()).unwrap());
    }
    Some(texts)
}

/// Far longer than anything here takes; a test that hangs ends with a word.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), what)
        .await
        .expect("it took more than a minute")
}
