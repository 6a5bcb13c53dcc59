//! What filters cost for one message, as a server's chain asks them, fresh instances included: `cargo bench --bench plugin`.
//! Judges nothing. The milter at the end is there where `cc` and libmilter are (Debian: gcc libmilter-dev).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod milter;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use milter::Trivial;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::{Builder, Runtime};
use wasmilter::chain::{Chain, Draft, Run};
use wasmilter::mail::{
    Address, Content, Envelope, Filter, Message, Recipient, Session, TransactionId, Verdict,
};
use wasmilter::plugin::{Config, Granting, Host, embedded};

const FILTERS: &[(&str, &[u8])] = &[
    ("nothing", include_bytes!(env!("WASMILTER_BENCH_NOTHING"))),
    ("headers", include_bytes!(env!("WASMILTER_BENCH_HEADERS"))),
];
/// Of each of these.
const COPIES: usize = 20;
const KIB: usize = 1024;
const MIB: usize = 1024 * 1024;

/// A loaded plugin directory: twenty copies of each of the bench's filters, and those of this repository.
struct Rig {
    runtime: Runtime,
    host: Host,
    session: Arc<Session>,
}

impl Rig {
    fn new(directory: &Path) -> Self {
        embedded::write_to(directory).unwrap();
        for (name, wasm) in FILTERS {
            for n in 0..COPIES {
                let folder = directory.join(format!("{name}-{n:02}"));
                std::fs::create_dir(&folder).unwrap();
                std::fs::write(folder.join("filter.wasm"), wasm).unwrap();
            }
        }
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let config = Config {
            watch: None,
            grants: Granting::Everything,
            ..Config::new(directory)
        };
        let host = runtime.block_on(Host::start(config)).unwrap();
        Self {
            runtime,
            host,
            session: Arc::new(Session::default()),
        }
    }

    /// The first so many filters whose names begin so.
    fn chain(&self, name: &str, count: usize) -> Chain {
        let generation = self.host.generation();
        let filters: Arc<[Arc<dyn Filter>]> = generation
            .filters
            .iter()
            .filter(|filter| filter.info().name.starts_with(name))
            .take(count)
            .cloned()
            .collect();
        assert_eq!(filters.len(), count, "{name}: {:?}", generation.plugins);
        Chain {
            generation: generation.number,
            filters,
        }
    }

    /// Transactions that call the message hook once. The message's header is read anew in each, as it is for each message.
    fn measure(
        &self,
        criterion: &mut Criterion,
        id: BenchmarkId,
        chain: &Chain,
        content: &Content,
    ) {
        let address = Address::parse("alice@example.test").unwrap();
        let envelope = Arc::new(Envelope {
            recipients: vec![Recipient::from(address)],
            ..Envelope::default()
        });
        let transaction = async || {
            let mut envelope = Arc::clone(&envelope);
            let id = Some(TransactionId::new(1, 2));
            let mut run = Run::new(chain.clone(), Arc::clone(&self.session), id);
            let message = Message::new(content.clone()).unwrap();
            let mut draft = Draft::new(message, &envelope.recipients);
            assert_eq!(
                run.message(&mut envelope, &mut draft).await,
                Verdict::Continue
            );
            let turns = run.end().turns;
            assert!(turns.iter().all(|turn| turn.result.is_ok()), "{turns:?}");
        };
        let mut group = criterion.benchmark_group("message");
        group.bench_function(id, |bencher| {
            bencher.iter_custom(|times| {
                self.runtime.block_on(async {
                    let started = Instant::now();
                    for _ in 0..times {
                        transaction().await;
                    }
                    started.elapsed()
                })
            });
        });
        group.finish();
    }
}

fn content(size: usize) -> Content {
    let mut octets = String::from(
        "Received: from client.example by mx.example.test\r\nFrom: Bob <bob@example.org>\r\nTo: alice@example.test\r\nSubject: an ordinary message\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n",
    );
    while octets.len() < size {
        octets.push_str("An ordinary line of an ordinary message, neither long nor short.\r\n");
    }
    Content::from_bytes(octets)
}

fn filters(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let rig = Rig::new(directory.path());
    let small = content(4 * KIB);
    for count in [0, 1, 2, 5, 10, 20] {
        let id = BenchmarkId::new("nothing", format!("{count} of them, 4 KiB"));
        rig.measure(criterion, id, &rig.chain("nothing", count), &small);
    }
    let large = content(25 * MIB);
    for (count, size, content) in [
        (1, "4 KiB", &small),
        (1, "25 MiB", &large),
        (10, "4 KiB", &small),
    ] {
        let id = BenchmarkId::new("headers", format!("{count} of them, {size}"));
        rig.measure(criterion, id, &rig.chain("headers", count), content);
    }
    let megabyte = content(MIB);
    for plugin in embedded::EMBEDDED {
        let chain = rig.chain(plugin.name, 1);
        for (size, content) in [("4 KiB", &small), ("1 MiB", &megabyte)] {
            rig.measure(
                criterion,
                BenchmarkId::new(plugin.name, size),
                &chain,
                content,
            );
        }
    }
    match Trivial::start(directory.path()) {
        Err(why) => println!("no milter to compare with: {why}"),
        Ok(mut milter) => {
            criterion.bench_function("milter/1 of them, 4 KiB", |bencher| {
                bencher.iter(|| milter.message(&small));
            });
        }
    }
}

criterion_group!(benches, filters);
criterion_main!(benches);
