//! What one filter costs for one message: `cargo bench --bench plugin`. Prints a table; judges nothing.
//! The first column of times is of a transaction that calls the message hook once, its instance made and dropped.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmilter::mail::{
    Address, Call, Content, Envelope, Filter, Message, Recipient, Session, TransactionId, View,
};
use wasmilter::plugin::{Config, Granting, Host, embedded};

static GUEST: &[u8] = include_bytes!(env!("WASMILTER_TEST_GUEST"));

/// Long enough for a steady figure.
const SPAN: Duration = Duration::from_secs(2);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let directory = tempfile::tempdir().unwrap();
    embedded::write_to(directory.path()).unwrap();
    for (name, script) in [
        ("nothing", ""),
        ("header", "message = [\"get Subject\", \"add X-A 1\"]"),
        ("text", "message = [\"text 65536\"]"),
    ] {
        let folder = directory.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("filter.wasm"), GUEST).unwrap();
        std::fs::write(folder.join("plugin.toml"), format!("[config]\n{script}")).unwrap();
    }
    let started = Instant::now();
    let host = Host::start(Config {
        watch: None,
        grants: Granting::Everything,
        ..Config::new(directory.path())
    })
    .await
    .unwrap();
    println!(
        "loading all plugins, compiled anew: {:?}",
        started.elapsed()
    );
    println!(
        "{:<12} {:>8} {:>12} {:>10} {:>6}",
        "filter", "message", "transaction", "memory", "calls"
    );
    let generation = host.generation();
    for filter in generation.filters.iter() {
        for size in [4 * 1024, 1024 * 1024] {
            measure(filter, size).await;
        }
    }
    for plugin in generation
        .plugins
        .iter()
        .filter(|plugin| plugin.version.is_none())
    {
        println!("{}: {:?}", plugin.name, plugin.state);
    }
}

async fn measure(filter: &Arc<dyn Filter>, size: usize) {
    let message = message(size);
    let address = Address::parse("alice@example.test").unwrap();
    let view = View {
        transaction: Some(TransactionId::new(1, 2)),
        session: Arc::new(Session::default()),
        envelope: Arc::new(Envelope {
            recipients: vec![Recipient::from(address)],
            ..Envelope::default()
        }),
        message: Some(message),
        authentication: Arc::new([]),
        symbols: Vec::new(),
        tags: Arc::default(),
        next_hops: Arc::new([]),
    };
    if !filter.info().hooks.contains(Call::Message.hook()) {
        return;
    }
    let (mut count, mut last) = (0u32, None);
    let started = Instant::now();
    while started.elapsed() < SPAN {
        // Its own copy: what is parsed is shared by the clones of a message.
        let view = View {
            message: view
                .message
                .as_ref()
                .map(|m| Message::new(m.content.clone()).unwrap()),
            ..view.clone()
        };
        last = Some(filter.open().call(&Call::Message, view).await);
        count += 1;
    }
    let outcome = last.unwrap();
    if let Err(failure) = &outcome.result {
        println!("{:<12} {failure}", filter.info().name);
        return;
    }
    println!(
        "{:<12} {:>5}KiB {:>9.1} µs {:>6} KiB {:>6}",
        filter.info().name,
        size / 1024,
        started.elapsed().as_secs_f64() * 1e6 / f64::from(count),
        outcome.memory / 1024,
        outcome.host_calls
    );
}

fn message(size: usize) -> Message {
    let mut octets = String::from(
        "Received: from client.example by mx.example.test\r\nFrom: Bob <bob@example.org>\r\nTo: alice@example.test\r\nSubject: an ordinary message\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n",
    );
    while octets.len() < size {
        octets.push_str("An ordinary line of an ordinary message, neither long nor short.\r\n");
    }
    Message::new(Content::from_bytes(octets)).unwrap()
}
