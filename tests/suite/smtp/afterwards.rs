//! The hooks that nobody waits for: what became of a message, and what its owner did with it later.

use super::chunks::journal;
use super::hooks::{logged, send, server, smtp};
use crate::support::imap::Reader;
use crate::support::process::run;
use crate::support::{ALICE, BOB, PASSWORD, Server};
use std::time::Duration;
use wasmilter::app;
use wasmilter::config::Config;
use wasmilter::mail::{Hook, Journal};
use wasmilter::store::Store;

/// The journal, as soon as that many turns of the hook are in it.
async fn with_turns(server: &Server, reply: &str, hook: Hook, count: usize) -> Journal {
    let waited = tokio::time::timeout(Duration::from_secs(30), async {
        loop {
            let journal = journal(server, reply).await;
            if journal
                .turns
                .iter()
                .filter(|turn| turn.hook == hook)
                .count()
                >= count
            {
                return journal;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.expect("it was not journalled")
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_are_told_what_became_of_a_message() {
    let server = server(&[
        ("broken", r#"outcome = ["panic on no account"]"#),
        (
            "a",
            r#"
            mail = ["tag a.seen 1"]
            message = ["score CASINO 2 why", "remember message"]
            deliver = ["for bob@example.test discard"]
            outcome = ["argument", "envelope", "symbols", "tags", "recall", "size", "score X 1 x", "add X-A 1", "file Junk", "tag b 1", "add-recipient bob@example.test"]
            "#,
        ),
    ])
    .await;
    let mut client = smtp(&server).await;
    client.dialogue(&[("EHLO c.test", "250")]).await;
    let reply = send(&mut client, &[ALICE, BOB]).await;
    assert!(reply.starts_with("250 2.0.0 Ok: stored"), "{reply}");
    let journal = with_turns(&server, &reply, Hook::Outcome, 3).await;
    let turns = journal.turns.iter();
    let turns: Vec<_> = turns.filter(|turn| turn.hook == Hook::Outcome).collect();
    // It failed for the first recipient, and is not asked for the second; that means nothing for anybody else.
    assert_eq!(turns[0].filter, "broken");
    assert!(turns[0].result.is_err());
    let logs = logged(&journal, "a", Hook::Outcome);
    for (start, expected) in [
        (0, ["alice", "Delivered", "INBOX"]),
        (6, ["bob", "Discarded", "\"\""]),
    ] {
        for word in expected {
            assert!(logs[start].contains(word), "{}", logs[start]);
        }
        assert_eq!(
            logs[start + 1],
            "a@b.test -> alice@example.test bob@example.test"
        );
        assert!(logs[start + 2].contains("CASINO"));
        assert_eq!(logs[start + 3], "a.seen=1");
        // In a fresh instance; and there is no message.
        assert_eq!(logs[start + 4], "");
        assert_eq!(logs[start + 5], "0");
    }
    for turn in &turns[1..] {
        assert_eq!(turn.refused.len(), 5, "{:?}", turn.refused);
        assert!(turn.refused.iter().all(|why| why.contains("no-such-thing")));
        assert!(turn.edits.is_empty() && turn.symbols.is_empty());
    }
    let config = server.home.path().join("wasmilter.toml");
    let arguments = [
        "explain",
        journal.id.as_str(),
        "--config",
        config.to_str().unwrap(),
    ];
    let explained = String::from_utf8(run(&arguments, "").stdout).unwrap();
    assert!(
        explained.contains("at outcome for <alice@example.test> (delivered INBOX): done"),
        "{explained}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_message_has_an_outcome_too_and_the_end_waits_for_it() {
    let server = server(&[(
        "a",
        r#"message = ["reject 550 5 No"]
        outcome = ["sleep 50", "argument"]"#,
    )])
    .await;
    let mut client = smtp(&server).await;
    client.dialogue(&[("EHLO c.test", "250")]).await;
    for _ in 0..5 {
        assert!(
            send(&mut client, &[ALICE])
                .await
                .starts_with("550 5.7.1 No")
        );
    }
    client.dialogue(&[("QUIT", "221")]).await;
    let Server { app, home } = server;
    app.stop().await;
    let config = Config::load(&home.path().join("wasmilter.toml")).unwrap();
    let index = rusqlite::Connection::open(config.data_dir.join("index.sqlite")).unwrap();
    let ids: Vec<String> = index
        .prepare("SELECT transaction_id FROM journal")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(ids.len(), 5);
    let store = app::open_store(&config).unwrap();
    for id in ids {
        let journal = store.journal(&id).await.unwrap().unwrap();
        let logs = logged(&journal, "a", Hook::Outcome);
        assert!(
            logs[0].contains("Refused") && logs[0].contains("550 5.7.1 No"),
            "{logs:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_are_told_what_people_do_with_their_mail() {
    let server = server(&[(
        "a",
        r#"
        message = ["score CASINO 2 why", "add X-Added yes"]
        moved = ["argument", "envelope", "get Subject", "get X-Added", "symbols", "raw 0 17", "add X-B 1", "flag $X"]
        "#,
    )])
    .await;
    let mut client = smtp(&server).await;
    client.dialogue(&[("EHLO c.test", "250")]).await;
    let mut replies = Vec::new();
    for _ in 0..3 {
        replies.push(send(&mut client, &[ALICE]).await);
    }
    let mut reader = Reader::open(server.imap(), ALICE, PASSWORD, "INBOX");
    reader.command("UID MOVE 1 Junk");
    let journal = with_turns(&server, &replies[0], Hook::Moved, 1).await;
    let [change, rest @ ..] = &logged(&journal, "a", Hook::Moved)[..] else {
        panic!("{journal:?}")
    };
    for word in [
        "account: \"alice@example.test\"",
        "from: \"INBOX\"",
        "to: \"Junk\"",
        "added: []",
    ] {
        assert!(change.contains(word), "{change}");
    }
    assert_eq!(rest[0], "a@b.test -> alice@example.test");
    assert_eq!(rest[1], "a letter");
    assert_eq!(rest[2], "yes");
    assert!(rest[3].contains("CASINO"));
    assert_eq!(rest[4], "Ok(Ok(\"Subject: a letter\"))");
    let turn = journal.turns.last().unwrap();
    assert_eq!(turn.refused.len(), 2, "{:?}", turn.refused);
    assert_eq!(
        turn.about.as_deref(),
        Some("alice@example.test: INBOX to Junk")
    );

    // One command for many messages; what changes nothing is nothing.
    reader.command("UID STORE 2:3 +FLAGS.SILENT ($NotJunk)");
    reader.command("UID STORE 2:3 +FLAGS.SILENT ($NotJunk)");
    reader.command("UID STORE 2:3 -FLAGS.SILENT ($NotJunk)");
    reader.command("UID COPY 2 Archive");
    let journal = with_turns(&server, &replies[1], Hook::Moved, 3).await;
    let turns = journal.turns.iter();
    let turns = turns.filter(|turn| turn.hook == Hook::Moved);
    let abouts: Vec<_> = turns.filter_map(|turn| turn.about.as_deref()).collect();
    assert_eq!(
        abouts,
        [
            "alice@example.test: INBOX +$NotJunk",
            "alice@example.test: INBOX -$NotJunk",
            "alice@example.test: INBOX to Archive",
        ]
    );
    let journal = with_turns(&server, &replies[2], Hook::Moved, 2).await;
    assert_eq!(logged(&journal, "a", Hook::Moved).len(), 12);
}
