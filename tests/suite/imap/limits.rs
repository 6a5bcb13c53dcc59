//! What a client is told at the limits of who may log in, and of the disk.

use super::*;
use std::sync::atomic::{AtomicU64, Ordering};
use wasmilter::net::Networks;
use wasmilter::net::guard::Resources;

/// Who guesses on many connections that are open already has no more guesses than on one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ban_holds_for_connections_that_are_open() {
    let mut limits = guard::Config {
        exempt: Networks::default(),
        ..guard::Config::default()
    };
    limits.ban.offences = 3;
    let server = Server::guarded(|_| (), Guard::new(limits, None)).await;
    let mut guessers = Vec::new();
    for _ in 0..5 {
        guessers.push(server.client().await);
    }
    for guesser in &mut guessers[..2] {
        let said = guesser.say("LOGIN alice@example.test wrong").await;
        said.is("NO [AUTHENTICATIONFAILED]");
    }
    for (guesser, password) in guessers[2..].iter_mut().zip(["wrong", "wrong", "secret"]) {
        let line = format!("x LOGIN alice@example.test {password}\r\n");
        guesser.send(line).await;
        let said = guesser.response().await.unwrap();
        assert!(said.starts_with("* BYE Too many failed logins"), "{said}");
        assert!(guesser.response().await.is_none());
    }
    server.finish().await;
}

/// Octets free, and seconds that have passed.
#[derive(Clone, Default)]
struct Disk(Arc<AtomicU64>, Arc<AtomicU64>);

impl Resources for Disk {
    fn resident(&self) -> Option<u64> {
        None
    }
    fn free(&self) -> Option<u64> {
        Some(self.0.load(Ordering::Relaxed))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reserve_of_the_disk_is_for_deleting() {
    let disk = Disk::default();
    disk.0.store(u64::MAX, Ordering::Relaxed);
    let passed = Arc::clone(&disk.1);
    let ticks = Arc::new(move || Duration::from_secs(passed.load(Ordering::Relaxed)));
    let resources = Box::new(disk.clone());
    let guard = Guard::with_ticks(guard::Config::default(), Some(resources), ticks);
    let server = Server::guarded(|_| (), guard).await;
    let mut client = server.with_mail(&[MESSAGE; 2]).await;
    client.say("COPY 1 Archive").await.ok();
    disk.0.store(1000, Ordering::Relaxed);
    disk.1.store(1, Ordering::Relaxed);
    client.append("INBOX", MESSAGE).await.is("NO [OVERQUOTA]");
    let refused = client.say("APPEND INBOX {3+}\r\nabc").await;
    refused.is("NO [OVERQUOTA]");
    // Who has no MOVE deletes by it.
    client.say("COPY 1 Archive").await.ok();
    client.say("MOVE 1 Trash").await.ok();
    client.say("STORE 1 +FLAGS (\\Deleted)").await.ok();
    assert_eq!(client.say("EXPUNGE").await.ok(), ["1 EXPUNGE"]);
    server.finish().await;
}
