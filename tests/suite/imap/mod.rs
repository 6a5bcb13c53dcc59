//! IMAP as a client sees it, over real sockets and the real store.

mod abuse;
mod client;
mod corpus;
mod damage;
mod fetch;
mod limits;
mod listeners;
mod mailboxes;
mod messages;
mod news;
mod programs;
mod search;
mod session;
mod speed;

use client::Client;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wasmilter::auth::{self, Directory};
use wasmilter::mail::{Address, SystemClock};
use wasmilter::mailbox::{Config, Mailboxes};
use wasmilter::metrics;
use wasmilter::net::guard::{self, Guard};
use wasmilter::net::{Stream, Tls};
use wasmilter::store::{self, AccountId, SqliteStore, Store};

const MESSAGE: &str = "From: Alice <alice@example.test>\r\nTo: bob@example.test\r\nSubject: hello\r\nDate: Mon, 2 Feb 2026 10:00:00 +0100\r\nMessage-ID: <1@example.test>\r\n\r\nGood morning.\r\n";

/// A server with the account `alice@example.test`, password `secret`.
struct Server {
    address: SocketAddr,
    store: Arc<SqliteStore>,
    account: AccountId,
    directory: TempDir,
    stop: CancellationToken,
    connections: TaskTracker,
}

impl Server {
    async fn start() -> Self {
        Self::with(|_| ()).await
    }

    /// Passwords are taken without TLS, if `change` doesn't say otherwise.
    async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::guarded(change, Guard::new(guard::Config::default(), None)).await
    }

    async fn guarded(change: impl FnOnce(&mut Config), guard: Guard) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = store::Config::new(directory.path().join("data"));
        let store = Arc::new(SqliteStore::open_exclusive(store).unwrap());
        let alice = Address::parse("alice@example.test").unwrap();
        let password = auth::hash("secret").unwrap();
        let account = store.add_account(&alice, &password).await.unwrap();
        let users = auth::Config {
            domains: vec!["example.test".into()],
            postmaster: None,
        };
        let mut config = Config {
            allow_plaintext_auth: true,
            failed_login_delay: Duration::ZERO,
            ..Config::new("mx.example.test", store.staging().to_owned())
        };
        change(&mut config);
        let mailboxes = Mailboxes::new(
            config,
            store.clone(),
            Arc::new(Directory::new(users, store.clone())),
            Arc::new(SystemClock),
        );
        let mailboxes = Arc::new(mailboxes.guarded(Arc::new(guard), metrics::Imap::default()));
        let tls = Tls::self_signed("mx.example.test", directory.path()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let connections = TaskTracker::new();
        let (stopped, tasks) = (stop.clone(), connections.clone());
        connections.spawn(async move {
            loop {
                let accepted = tokio::select! {
                    () = stopped.cancelled() => return,
                    accepted = listener.accept() => accepted,
                };
                let mut stream = Stream::tcp(accepted.unwrap().0).unwrap();
                let (mailboxes, tls, stopped) = (mailboxes.clone(), tls.clone(), stopped.clone());
                tasks.spawn(async move {
                    let ticket = mailboxes.admit(&mut stream, false).await.unwrap();
                    mailboxes.serve(stream, ticket, Some(&tls), stopped).await;
                });
            }
        });
        Self {
            address,
            store,
            account,
            directory,
            stop,
            connections,
        }
    }

    /// Connected; the greeting is read.
    async fn client(&self) -> Client {
        let socket = TcpStream::connect(self.address).await.unwrap();
        let mut client = Client::over(Box::new(socket));
        let greeting = client.response().await.unwrap();
        assert!(
            greeting.starts_with("* OK [CAPABILITY IMAP4rev1 "),
            "{greeting}"
        );
        client
    }

    async fn logged_in(&self) -> Client {
        let mut client = self.client().await;
        client.say("LOGIN alice@example.test secret").await.ok();
        client
    }

    async fn selected(&self) -> Client {
        let mut client = self.logged_in().await;
        client.say("SELECT INBOX").await.ok();
        client
    }

    /// Logged in, with these messages in the selected INBOX.
    async fn with_mail(&self, messages: &[&str]) -> Client {
        let mut client = self.logged_in().await;
        for message in messages {
            client.append("INBOX", message).await.ok();
        }
        client.say("SELECT INBOX").await.ok();
        client
    }

    /// Returns once all connections have ended.
    async fn finish(self) {
        self.stop.cancel();
        self.connections.close();
        soon(self.connections.wait()).await;
    }
}

/// Far longer than anything here takes; a test that hangs ends with a word.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), what)
        .await
        .expect("it took more than 60 seconds")
}

fn lines(text: &[&str]) -> Vec<String> {
    text.iter().map(ToString::to_string).collect()
}
