//! SMTP as a client sees it, over real sockets, with what was delivered at hand.

mod abuse;
mod afterwards;
mod chunks;
pub mod client;
mod handover;
mod hooks;
mod hygiene;
mod kept;
mod limits;
mod lmtp;
mod programs;
mod relay;
mod tls;
mod transactions;

use client::Client;
use kept::Kept;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wasmilter::accept::{self, Acceptor};
use wasmilter::auth::{self, Directory};
use wasmilter::chain::{Chain, Policy};
use wasmilter::ingress::smtp::{Config, TlsUse, serve};
use wasmilter::mail::SystemClock;
use wasmilter::net::{Endpoint, Listener};
use wasmilter::proto;
use wasmilter::store::Store;

/// Octets of a message that are kept in memory.
const MEMORY: usize = 64 * 1024;

/// A server without filters that takes mail for `alice@example.test`, `bob@example.test` and their postmaster.
struct Server {
    endpoint: Endpoint,
    store: Arc<Kept>,
    /// With the store in it.
    directory: TempDir,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Server {
    async fn start() -> Self {
        Self::with(|_| ()).await
    }

    async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        Self::on(listener, directory, change).await
    }

    async fn on(listener: Listener, directory: TempDir, change: impl FnOnce(&mut Config)) -> Self {
        let store = Kept::open(directory.path(), None).await;
        Self::onto(store, listener, directory, change)
    }

    /// With a disk of this size.
    async fn on_a_disk(octets: u64) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap()).await;
        let store = Kept::open(directory.path(), Some(octets)).await;
        Self::onto(store, listener.unwrap(), directory, |_| ())
    }

    fn onto(
        store: Kept,
        listener: Listener,
        directory: TempDir,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let staging = store.store.staging().to_owned();
        let kept: Arc<dyn Store> = store.store.clone();
        let users = auth::Config {
            domains: vec!["example.test".into()],
            postmaster: Some("bob@example.test".to_owned().try_into().unwrap()),
        };
        let acceptor = Acceptor::new(
            accept::Config {
                policy: Policy {
                    junk: None,
                    reject: None,
                },
                staging,
                memory: MEMORY,
                recipients: 100,
                hygiene: accept::Hygiene::default(),
            },
            Arc::new(Chain {
                generation: 1,
                filters: Arc::new([]),
            }),
            Arc::new(Directory::new(users, kept.clone())),
            kept,
            Arc::new(SystemClock),
        );
        let mut config = Config {
            core: proto::smtp::Config {
                hostname: "mx.example.test".into(),
                postmaster_domain: "example.test".into(),
                ..proto::smtp::Config::default()
            },
            tls: TlsUse::None,
            ..Config::default()
        };
        change(&mut config);
        let endpoint = listener.local_address().clone();
        let stop = CancellationToken::new();
        let running = tokio::spawn(serve(listener, config, acceptor, stop.clone()));
        Self {
            endpoint,
            store: Arc::new(store),
            directory,
            stop,
            running,
        }
    }

    async fn client(&self) -> Client {
        Client::connect(&self.endpoint).await
    }

    /// What clients are given as the port to connect to.
    fn port(&self) -> u16 {
        match &self.endpoint {
            Endpoint::Tcp(address) => address.port(),
            Endpoint::Unix(_) => panic!("a TCP address was expected"),
        }
    }

    fn staging(&self) -> PathBuf {
        self.store.store.staging().to_owned()
    }

    fn staged(&self) -> usize {
        std::fs::read_dir(self.staging()).unwrap().count()
    }

    /// Returns once all connections have ended.
    async fn finish(self) {
        self.stop.cancel();
        self.running.await.unwrap();
    }
}

/// Far longer than anything here takes; a test that hangs ends with a word.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), what)
        .await
        .expect("it took more than 30 seconds")
}
