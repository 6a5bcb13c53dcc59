//! The server is killed, frozen and started again while Postfix asks it: with tempfail as Postfix's default action no message is lost, and
//! none gets through that no filter has seen.

use super::postfix_rig::Postfix;
use super::*;
use crate::support::process::{Process, Sender};
use crate::support::{self, ALICE, free};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

const SENDERS: usize = 4;
const MARK: &str = "X-Filtered: yes\r\n";

/// A configuration for a milter at this address, with a filter that marks what it has seen.
fn prepared(home: &Path, address: SocketAddr) -> PathBuf {
    guest(home, "guest", r#"message = ["add X-Filtered yes"]"#);
    let listener =
        format!("[[listener]]\nprotocol = \"milter\"\naddress = \"{address}\"\n{PLUGINS}");
    support::config(home, &listener);
    home.join("wasmilter.toml")
}

/// Clients of Postfix that send as fast as they can.
pub struct Load {
    address: SocketAddr,
    /// Message ids that Postfix has acknowledged.
    acknowledged: Mutex<BTreeSet<String>>,
    deferred: AtomicUsize,
    stop: AtomicBool,
}

impl Load {
    pub fn start(address: SocketAddr) -> (Arc<Self>, Vec<JoinHandle<()>>) {
        let load = Arc::new(Self {
            address,
            acknowledged: Mutex::default(),
            deferred: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        });
        let sender = |sender| {
            let load = Arc::clone(&load);
            std::thread::spawn(move || load.send(sender))
        };
        let senders = (0..SENDERS).map(sender).collect();
        (load, senders)
    }

    /// The ids of what was acknowledged in all.
    pub fn end(&self, senders: Vec<JoinHandle<()>>) -> BTreeSet<String> {
        self.stop.store(true, Ordering::Relaxed);
        for sender in senders {
            sender.join().unwrap();
        }
        self.acknowledged.lock().unwrap().clone()
    }

    /// One client: what is deferred is sent again, as a mail server does.
    fn send(&self, sender: usize) {
        let mut number = 0;
        'session: while !self.stop.load(Ordering::Relaxed) {
            let Ok(mut client) = Sender::connect(self.address) else {
                continue;
            };
            while !self.stop.load(Ordering::Relaxed) {
                let id = format!("{sender}.{number}@client.test");
                let message = format!("Message-ID: <{id}>\r\nSubject: x\r\n\r\nbody\r\n");
                match client.send_octets(ALICE, message.as_bytes()) {
                    Ok((250, _)) => {
                        self.acknowledged.lock().unwrap().insert(id);
                        number += 1;
                    }
                    Ok((400..500, _)) => {
                        self.deferred.fetch_add(1, Ordering::Relaxed);
                        continue 'session;
                    }
                    Ok((code, reply)) => panic!("{code} {reply}"),
                    Err(_) => continue 'session,
                }
            }
        }
    }

    pub fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// Until so many more have been acknowledged.
    pub async fn acknowledges(&self, more: usize) {
        let goal = self.count() + more;
        soon(async {
            while self.count() < goal {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }

    pub async fn defers(&self) {
        let before = self.deferred.load(Ordering::Relaxed);
        soon(async {
            while self.deferred.load(Ordering::Relaxed) == before {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}

/// All that was acknowledged is there, perhaps twice, and filtered.
pub fn nothing_is_lost(acknowledged: &BTreeSet<String>, delivered: &[String], log: &str) {
    for message in delivered {
        assert!(message.contains(MARK), "not filtered: {message}");
    }
    let is_there = |id: &&String| {
        delivered
            .iter()
            .any(|message| message.contains(id.as_str()))
    };
    let missing: Vec<_> = acknowledged.iter().filter(|id| !is_there(id)).collect();
    assert!(missing.is_empty(), "lost: {missing:?}\n{log}");
    let (acknowledged, delivered) = (acknowledged.len(), delivered.len());
    eprintln!("{acknowledged} acknowledged, {delivered} delivered");
}

pub fn signal(name: &str, process: &Process) {
    let id = process.id().to_string();
    assert!(
        Command::new("kill")
            .args([name, &id])
            .status()
            .unwrap()
            .success()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_filtered_or_deferred_whatever_happens_to_us() {
    let home = tempfile::tempdir().unwrap();
    let at = free();
    // A frozen server is given up after this many seconds.
    let patience =
        "milter_connect_timeout = 1\nmilter_command_timeout = 1\nmilter_content_timeout = 1\n";
    let Some(postfix) = Postfix::start(&format!("inet:{at}"), patience).await else {
        return;
    };
    let config = prepared(home.path(), at);
    let mut server = Process::serve(&config, 4);
    let (load, senders) = Load::start(postfix.address);
    for round in 0..3 {
        load.acknowledges(20).await;
        match round {
            0 => server.kill(),
            1 => {
                signal("-STOP", &server);
                load.defers().await;
                signal("-CONT", &server);
                load.acknowledges(5).await;
                server.kill();
            }
            _ => assert!(server.terminate().success()),
        }
        // Nobody is there.
        load.defers().await;
        server = Process::serve(&config, 4);
    }
    load.acknowledges(20).await;
    let acknowledged = load.end(senders);
    let delivered = postfix.delivered(ALICE, acknowledged.len()).await;
    nothing_is_lost(&acknowledged, &delivered, &postfix.log());
}
