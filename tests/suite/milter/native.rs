//! A milter listener whose one filter is written in the test.

use super::*;
use async_trait::async_trait;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wasmilter::accept::{self, Acceptor};
use wasmilter::auth::{self, Directory};
use wasmilter::chain::{Chain, Policy};
use wasmilter::ingress::milter::{Config, serve};
use wasmilter::mail::{
    Call, Edit, Filter, FilterInfo, FilterRun, Hook, OnError, Outcome, Scope, Scoped, SystemClock,
    Uses, Verdict, View,
};
use wasmilter::net::{Endpoint, Listener};
use wasmilter::store;

/// What a filter does at `message`.
#[async_trait]
pub trait Act: Send + Sync + 'static {
    async fn act(&self) -> Vec<Edit>;
}

/// Always these.
#[async_trait]
impl Act for Vec<Edit> {
    async fn act(&self) -> Vec<Edit> {
        self.clone()
    }
}

struct Native<A>(FilterInfo, Arc<A>);

impl<A: Act> Filter for Native<A> {
    fn info(&self) -> &FilterInfo {
        &self.0
    }

    fn open(&self) -> Box<dyn FilterRun> {
        Box::new(Run(Arc::clone(&self.1)))
    }
}

struct Run<A>(Arc<A>);

#[async_trait]
impl<A: Act> FilterRun for Run<A> {
    async fn call(&mut self, _: &Call, _: View) -> Outcome {
        let edits = self.0.act().await.into_iter();
        let scope = Scope::All;
        Outcome {
            edits: edits
                .map(|edit| Scoped {
                    edit,
                    scope: scope.clone(),
                })
                .collect(),
            ..Outcome::new(Ok(Verdict::Continue))
        }
    }
}

pub struct Running {
    pub address: SocketAddr,
    pub stop: CancellationToken,
    pub serving: JoinHandle<()>,
    _home: tempfile::TempDir,
}

pub async fn start(act: impl Act, change: impl FnOnce(&mut Config)) -> Running {
    let uses = Uses::of(["header-edit", "body-edit", "envelope-edit"]);
    start_using(act, uses, change).await
}

pub async fn start_using(act: impl Act, uses: Uses, change: impl FnOnce(&mut Config)) -> Running {
    let home = tempfile::tempdir().unwrap();
    let store = store::SqliteStore::open(store::Config::new(home.path())).unwrap();
    let staging = store.staging().to_owned();
    let store: Arc<dyn Store> = Arc::new(store);
    let info = FilterInfo {
        name: "native".into(),
        version: "1".into(),
        hooks: [Hook::Message].into_iter().collect(),
        uses,
        on_error: OnError::Tempfail,
    };
    let filter: Arc<dyn Filter> = Arc::new(Native(info, Arc::new(act)));
    let chain = Chain {
        generation: 1,
        filters: Arc::new([filter]),
    };
    let users = auth::Config {
        domains: Vec::new(),
        postmaster: None,
    };
    let acceptor = Acceptor::new(
        accept::Config {
            policy: Policy {
                junk: None,
                reject: None,
            },
            staging,
            memory: 1024,
            recipients: 100,
            hygiene: accept::Hygiene::default(),
        },
        Arc::new(chain),
        Arc::new(Directory::new(users, Arc::clone(&store))),
        store,
        Arc::new(SystemClock),
    );
    let any = "127.0.0.1:0".parse().unwrap();
    let listener = Listener::bind(&any).await.unwrap();
    let Endpoint::Tcp(address) = *listener.local_address() else {
        panic!("a TCP address was expected");
    };
    let mut config = Config::default();
    change(&mut config);
    let stop = CancellationToken::new();
    let serving = tokio::spawn(serve(listener, config, acceptor, stop.clone()));
    Running {
        address,
        stop,
        serving,
        _home: home,
    }
}
