//! A filter that takes long.

use super::mta::Mta;
use super::*;
use async_trait::async_trait;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wasmilter::accept::{self, Acceptor};
use wasmilter::auth::{self, Directory};
use wasmilter::chain::{Chain, Policy};
use wasmilter::ingress::milter::{Config, serve};
use wasmilter::mail::{
    Call, Filter, FilterInfo, FilterRun, Hook, OnError, Outcome, SystemClock, Uses, Verdict, View,
};
use wasmilter::net::{Endpoint, Listener};
use wasmilter::store;

/// Says nothing before it is let.
struct Slow(FilterInfo, Arc<Semaphore>);

impl Filter for Slow {
    fn info(&self) -> &FilterInfo {
        &self.0
    }

    fn open(&self) -> Box<dyn FilterRun> {
        Box::new(Waiting(Arc::clone(&self.1)))
    }
}

struct Waiting(Arc<Semaphore>);

#[async_trait]
impl FilterRun for Waiting {
    async fn call(&mut self, _: &Call, _: View) -> Outcome {
        self.0.acquire().await.unwrap().forget();
        Outcome {
            result: Ok(Verdict::Continue),
            edits: Vec::new(),
            symbols: Vec::new(),
            refused: Vec::new(),
            log: Vec::new(),
            elapsed: Duration::ZERO,
            memory: 0,
            host_calls: 0,
        }
    }
}

#[tokio::test]
async fn a_mail_server_that_waits_hears_that_its_message_is_worked_on() {
    let home = tempfile::tempdir().unwrap();
    let store = store::SqliteStore::open(store::Config::new(home.path())).unwrap();
    let staging = store.staging().to_owned();
    let store: Arc<dyn Store> = Arc::new(store);
    let may_go_on = Arc::new(Semaphore::new(0));
    let info = FilterInfo {
        name: "slow".into(),
        version: "1".into(),
        hooks: [Hook::Message].into_iter().collect(),
        uses: Uses::default(),
        on_error: OnError::Tempfail,
    };
    let chain = Chain {
        generation: 1,
        filters: Arc::new([Arc::new(Slow(info, Arc::clone(&may_go_on))) as Arc<dyn Filter>]),
    };
    let directory = Directory::new(
        auth::Config {
            domains: Vec::new(),
            postmaster: None,
        },
        Arc::clone(&store),
    );
    let acceptor = Acceptor::new(
        accept::Config {
            policy: Policy {
                junk: None,
                reject: None,
            },
            staging,
            memory: 1024,
            recipients: 100,
        },
        Arc::new(chain),
        Arc::new(directory),
        store,
        Arc::new(SystemClock),
    );
    let any = "127.0.0.1:0".parse().unwrap();
    let listener = Listener::bind(&any).await.unwrap();
    let Endpoint::Tcp(address) = *listener.local_address() else {
        panic!("a TCP address was expected");
    };
    let config = Config {
        progress: Duration::from_millis(5),
        ..Config::default()
    };
    let stop = CancellationToken::new();
    let serving = tokio::spawn(serve(listener, config, acceptor, stop.clone()));
    let mut mta = Mta::connect(address).await;
    mta.session().await;
    mta.envelope(&["alice@example.test"]).await;
    mta.send(b'E', b"").await;
    for _ in 0..3 {
        assert_eq!(soon(mta.raw()).await, Some(('p', Vec::new())));
    }
    may_go_on.add_permits(1);
    assert_eq!(soon(mta.packet()).await, Some(('c', Vec::new())));
    // Nothing is open: the stop ends the connection.
    stop.cancel();
    soon(serving).await.unwrap();
    assert_eq!(mta.packet().await, None);
}
