//! Whole mailboxes at once: nothing here grows with the square of their size.

use super::*;
use jiff::Timestamp;
use std::time::Instant;
use wasmilter::mail::Content;
use wasmilter::store::{Append, Flags, MailboxName};

/// What is measured is printed (`--nocapture`); the limit is for a loaded machine and a debug build.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envelopes_of_3000_messages() {
    let server = Server::start().await;
    let inbox = server
        .store
        .mailbox(server.account, &MailboxName::inbox())
        .await
        .unwrap();
    let body = "A line of text, as they are.\r\n".repeat(500);
    let message = |number: usize| Append {
        content: Content::from_bytes(MESSAGE.replace("hello", &format!("number {number}")) + &body),
        flags: Flags::new(),
        internal_date: Timestamp::UNIX_EPOCH,
    };
    for batch in 0..30 {
        let messages = (0..100)
            .map(|number| message(batch * 100 + number))
            .collect();
        server.store.append(inbox.id, messages).await.unwrap();
    }
    let mut client = server.selected().await;
    let mut timed = async |command: &str, count: usize| {
        let start = Instant::now();
        let answer = client.say(command).await.ok();
        println!("{command}: {:?}", start.elapsed());
        assert_eq!(answer.len(), count, "{command}");
        assert!(start.elapsed() < Duration::from_secs(60), "{command}");
    };
    timed("FETCH 1:* (UID FLAGS)", 3000).await;
    timed("FETCH 1:* (UID FLAGS ENVELOPE)", 3000).await;
    timed(
        "UID FETCH 1:* (UID FLAGS BODY.PEEK[HEADER.FIELDS (From To Subject Date)])",
        3000,
    )
    .await;
    timed("SEARCH SUBJECT \"number 29\"", 1).await;
    timed("SEARCH BODY nowhere", 1).await;
    timed("STORE 1:* +FLAGS.SILENT \\Seen", 0).await;
    server.finish().await;
}
