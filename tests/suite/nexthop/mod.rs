//! Messages that go on to a next hop: one that a test scripts, Postfix and Exim in both ways, and Dovecot.

mod circle;
mod dovecot;
mod exim;
pub mod exim_rig;
mod hop;
mod lies;
mod lmtp;
mod parameters;
mod postfix;
mod restart;
mod reuse;
mod verdicts;

use crate::smtp::client::Client;
use crate::support::{ALICE, BOB, Server};
use hop::{Hop, Say};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use wasmilter::config::Protocol;
use wasmilter::mail::{Disposition, Journal};
use wasmilter::net::Endpoint;
use wasmilter::store::Store;

/// `tests/guest`, which does what its configuration says.
static GUEST: &[u8] = include_bytes!(env!("WASMILTER_TEST_GUEST"));

const MESSAGE: &str = "From: a@client.test\r\nSubject: hello\r\n\r\n.dot\r\nHello.\r\n";

/// A server whose listener hands its messages to a next hop, and whose one filter is the scripted guest.
struct Relay {
    server: Server,
    listener: Endpoint,
}

fn guest(home: &Path, script: &str) {
    let folder = home.join("plugins/guest");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("plugin.toml"), format!("[config]\n{script}")).unwrap();
    std::fs::write(folder.join("filter.wasm"), GUEST).unwrap();
}

/// `protocol` is that of both sides; `more` belongs to the next hop.
fn config(protocol: &str, to: SocketAddr, more: &str) -> String {
    format!(
        "[[listener]]\nprotocol = \"{protocol}\"\naddress = \"127.0.0.1:0\"\ntls = \"none\"\nnext-hop = \"next\"\n\
         [plugins]\ndirectory = \"plugins\"\n[trusted]\nxforward = [\"127.0.0.0/8\"]\n\
         [[next-hop]]\nname = \"next\"\nprotocol = \"{protocol}\"\naddress = \"{to}\"\n{more}\n"
    )
}

impl Relay {
    async fn start(protocol: &str, to: SocketAddr, more: &str, script: &str) -> Self {
        Self::with(&config(protocol, to, more), script).await
    }

    async fn with(config: &str, script: &str) -> Self {
        let server = Server::with(config, |home| guest(home, script)).await;
        assert_eq!(server.app.filters().len(), 1);
        let listening = server.app.listening().iter();
        let mut ours =
            listening.filter(|one| matches!(one.protocol, Protocol::Smtp | Protocol::Lmtp));
        // Behind that of `support`, which delivers here.
        let listener = ours.next_back().unwrap().endpoint.clone();
        Self { server, listener }
    }

    fn address(&self) -> SocketAddr {
        match &self.listener {
            Endpoint::Tcp(address) => *address,
            Endpoint::Unix(path) => panic!("{} is a socket file", path.display()),
        }
    }

    /// Up to where MAIL can be said.
    async fn client(&self) -> Client {
        let mut client = Client::silent(&self.listener).await;
        let greeting = client.reply().await;
        let hello = match greeting.contains("LMTP") {
            true => "LHLO client.test",
            false => "EHLO client.test",
        };
        assert!(client.say(hello).await.starts_with("250"));
        client
    }

    /// The reply to the end of a message, or to the first command that is refused.
    async fn send(&self, recipients: &[&str], message: &str) -> String {
        let mut client = self.client().await;
        let mut commands = vec!["MAIL FROM:<a@client.test>".to_owned()];
        commands.extend(recipients.iter().map(|to| format!("RCPT TO:<{to}>")));
        commands.push("DATA".to_owned());
        for command in commands {
            let reply = client.say(&command).await;
            if !reply.starts_with(['2', '3']) {
                return reply;
            }
        }
        client.write(stuffed(message).as_bytes()).await;
        client.reply().await
    }

    async fn journal(&self, id: &str) -> Journal {
        let store = self.server.app.store();
        store.journal(id).await.unwrap().unwrap()
    }

    fn config_file(&self) -> String {
        let path = self.server.home.path().join("wasmilter.toml");
        path.to_str().unwrap().to_owned()
    }
}

fn stuffed(message: &str) -> String {
    let lines = message.split_inclusive("\r\n");
    let stuffed = lines.map(|line| match line.starts_with('.') {
        true => format!(".{line}"),
        false => line.to_owned(),
    });
    format!("{}.\r\n", stuffed.collect::<String>())
}

/// Without the one field Received that we put on top; whose it is.
fn untraced(message: &str) -> (String, String) {
    assert!(message.starts_with("Received: from "), "{message}");
    assert_eq!(message.matches("(wasmilter) with").count(), 1, "{message}");
    let end = message
        .match_indices("\r\n")
        .find(|(at, _)| !message[at + 2..].starts_with(['\t', ' ']));
    let (field, rest) = message.split_at(end.unwrap().0 + 2);
    let id = field.split(" id ").nth(1).unwrap();
    let id = id
        .split(|c: char| c == ';' || c.is_whitespace())
        .next()
        .unwrap();
    (rest.to_owned(), id.to_owned())
}

/// Far longer than anything here takes; a test that hangs ends with a word.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), what)
        .await
        .expect("it took more than a minute")
}

/// Until it holds.
async fn until(mut holds: impl FnMut() -> bool) {
    soon(async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}
