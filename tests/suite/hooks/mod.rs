//! MTA Hooks as mail servers ask: questions of the documented shapes, and what they must not be harmed by. No Stalwart is to be had from a
//! package registry: what it does with an answer is done by `stalwart`, from its documentation.

mod abuse;
mod draft;
mod questions;
mod settings;
pub mod stalwart;

use crate::milter::guest;
use crate::support::Server;
use crate::support::http::{Answer, SECRET, post};
use serde_json::Value;
use std::time::Duration;
use wasmilter::config::Protocol;
use wasmilter::mail::Journal;
use wasmilter::store::Store;

const MESSAGE: &str =
    "From: a@client.test\r\nTo: alice@example.test\r\nSubject: hello\r\n\r\nHello.\r\n";

/// A server whose one filter is the scripted guest.
async fn scripted(script: &str) -> Server {
    with("", script).await
}

async fn with(more: &str, script: &str) -> Server {
    let more = format!(
        "[[listener]]\nprotocol = \"hooks\"\naddress = \"127.0.0.1:0\"\nsecret = \"{SECRET}\"\n\
         [plugins]\ndirectory = \"plugins\"\n{more}"
    );
    Server::with(&more, |home| guest(home, "guest", script)).await
}

async fn ask(server: &Server, question: &Value) -> Answer {
    let address = server.address(Protocol::Hooks);
    let body = question.to_string();
    post(
        address,
        "/mta-hooks",
        "Content-Type: application/json\r\n",
        body.as_bytes(),
    )
    .await
}

/// Wants it to be understood.
async fn answer(server: &Server, question: &Value) -> Value {
    let answer = ask(server, question).await;
    assert_eq!(
        answer.status,
        200,
        "{}",
        String::from_utf8_lossy(&answer.body)
    );
    assert!(
        answer
            .head
            .to_lowercase()
            .contains("content-type: application/json")
    );
    answer.json()
}

/// The journal by a queue id, which comes a moment after the answer.
pub async fn journal(server: &Server, id: &str) -> Journal {
    let looking = async {
        loop {
            if let Some(journal) = server.app.store().journal(id).await.unwrap() {
                return journal;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), looking)
        .await
        .expect("no journal within a minute")
}

pub fn logged(journal: &Journal) -> Vec<String> {
    let lines = journal.turns.iter().flat_map(|turn| &turn.log);
    lines.map(|line| line.text.clone()).collect()
}
