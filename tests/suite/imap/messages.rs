//! STORE, APPEND, COPY, MOVE, EXPUNGE.

use super::*;
use wasmilter::mail::Content;
use wasmilter::store::{Append, Flags, MailboxName};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flags_are_stored() {
    let server = Server::start().await;
    let mut client = server.with_mail(&[MESSAGE, MESSAGE]).await;
    for (command, expected) in [
        (
            "STORE 1 FLAGS (\\Seen $A)",
            &["1 FETCH (UID 1 FLAGS ($A \\Seen \\Recent))"][..],
        ),
        (
            "STORE 1 +FLAGS \\flagged",
            &["1 FETCH (UID 1 FLAGS ($A \\Flagged \\Seen \\Recent))"],
        ),
        (
            "STORE 1 -FLAGS ($a \\Seen)",
            &["1 FETCH (UID 1 FLAGS (\\Flagged \\Recent))"],
        ),
        ("STORE 1:2 +FLAGS.SILENT (\\Deleted)", &[]),
        (
            "UID STORE 2 FLAGS ()",
            &["2 FETCH (UID 2 FLAGS (\\Recent))"],
        ),
        ("UID STORE 9 FLAGS ()", &[]),
        (
            "STORE 1 +FLAGS (\\Recent)",
            &["1 FETCH (UID 1 FLAGS (\\Deleted \\Flagged \\Recent))"],
        ),
    ] {
        let mut answer = client.say(command).await.ok();
        answer.retain(|line| line.contains("FETCH"));
        assert_eq!(answer, expected, "{command}");
    }
    client.say("STORE 3 FLAGS ()").await.is("BAD");
    assert_eq!(client.say("SEARCH DELETED").await.ok(), ["SEARCH 1"]);
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_appended() {
    let server = Server::with(|config| config.max_message = 1000).await;
    let mut client = server.selected().await;
    client
        .send(format!("a APPEND INBOX {{{}}}\r\n", MESSAGE.len()))
        .await;
    assert!(client.response().await.unwrap().starts_with("+ "));
    client.send(format!("{MESSAGE}\r\n")).await;
    let answer = client.answer("a").await;
    assert!(
        answer.tagged.starts_with("OK [APPENDUID ") && answer.tagged.contains(" 1]"),
        "{answer:?}"
    );
    assert!(answer.untagged.contains(&"1 EXISTS".into()), "{answer:?}");
    // Refused before it is sent, or skipped if it is sent all the same.
    client.say("APPEND nowhere {10}").await.is("NO [TRYCREATE]");
    client
        .say("APPEND nowhere {10+}\r\n0123456789")
        .await
        .is("NO [TRYCREATE]");
    client.say("APPEND INBOX {1001}").await.is("NO [TOOBIG]");
    client
        .say(format!("APPEND INBOX {{1001+}}\r\n{}", "x".repeat(1001)))
        .await
        .is("NO [TOOBIG]");
    client.say("APPEND INBOX {0+}\r\n").await.is("NO");
    client.say("APPEND INBOX (\\Nonsense) {3}").await.is("BAD");
    client.say("APPEND INBOX {3+}\r\nabcd").await.is("BAD");
    client.say("APPEND {5+}\r\nINBOX {3+}\r\nabc").await.ok();
    client.say("CREATE \"&AOQ-\"").await.ok();
    client.append("\"&AOQ-\"", MESSAGE).await.ok();
    assert_eq!(
        client.say("STATUS INBOX (MESSAGES)").await.ok(),
        ["STATUS \"INBOX\" (MESSAGES 2)"]
    );
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_copied_and_moved() {
    let server = Server::start().await;
    let mut client = server.with_mail(&[MESSAGE; 4]).await;
    client.say("COPY 1 nowhere").await.is("NO [TRYCREATE]");
    client.say("COPY 9 Archive").await.is("BAD");
    let copied = client.say("COPY 1:2,4 Archive").await;
    assert!(
        copied.tagged.starts_with("OK [COPYUID ") && copied.tagged.contains(" 1:2,4 1:3]"),
        "{copied:?}"
    );
    client.say("UID COPY 77 Archive").await.is("OK COPY");
    let moved = client.say("UID MOVE 2:3 Archive").await.ok();
    assert!(
        moved[0].starts_with("OK [COPYUID ") && moved[0].contains(" 2:3 4:5]"),
        "{moved:?}"
    );
    assert_eq!(moved[1..], ["2 EXPUNGE", "2 EXPUNGE"]);
    assert_eq!(client.say("MOVE 1 Trash").await.ok()[1..], ["1 EXPUNGE"]);
    assert_eq!(
        client.say("UID FETCH 1:* UID").await.ok(),
        ["1 FETCH (UID 4)"]
    );
    assert_eq!(
        client.say("STATUS Archive (MESSAGES)").await.ok(),
        ["STATUS \"Archive\" (MESSAGES 5)"]
    );
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_messages_are_expunged() {
    let server = Server::start().await;
    let mut client = server.with_mail(&[MESSAGE; 6]).await;
    client
        .say("STORE 1:2,4:5 +FLAGS.SILENT \\Deleted")
        .await
        .ok();
    assert_eq!(client.say("UID EXPUNGE 1,3").await.ok(), ["1 EXPUNGE"]);
    assert_eq!(
        client.say("EXPUNGE").await.ok(),
        ["1 EXPUNGE", "2 EXPUNGE", "2 EXPUNGE"]
    );
    client.say("STORE 1 +FLAGS.SILENT \\Deleted").await.ok();
    assert_eq!(client.say("CLOSE").await.ok(), lines(&[]));
    assert_eq!(
        client.say("STATUS INBOX (MESSAGES)").await.ok(),
        ["STATUS \"INBOX\" (MESSAGES 1)"]
    );
    client.say("SELECT INBOX").await.ok();
    client.say("STORE 1 +FLAGS.SILENT \\Deleted").await.ok();
    client.say("UNSELECT").await.ok();
    assert_eq!(
        client.say("STATUS INBOX (MESSAGES)").await.ok(),
        ["STATUS \"INBOX\" (MESSAGES 1)"]
    );
    server.finish().await;
}

/// RFC 3501 §9: a literal has no NUL.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nul_is_refused() {
    let server = Server::start().await;
    let mut client = server.logged_in().await;
    let long = format!("{MESSAGE}{}\0", "0123456789\r\n".repeat(50_000));
    for message in ["Subject: a\0b\r\n\r\nc", &long] {
        client.append("INBOX", message).await.is("NO [CANNOT]");
    }
    client.append("INBOX", MESSAGE).await.ok();
    assert_eq!(
        client.say("STATUS INBOX (MESSAGES)").await.ok(),
        ["STATUS \"INBOX\" (MESSAGES 1)"]
    );
    // What came in otherwise, such as by BINARYMIME, is sent without it.
    let inbox = MailboxName::new("INBOX").unwrap();
    let inbox = server.store.mailbox(server.account, &inbox).await.unwrap();
    let messages = ["Subject: a\0b\r\n\r\nc\0", &long].map(|text| Append {
        content: Content::from_bytes(text.to_owned()),
        flags: Flags::new(),
        internal_date: jiff::Timestamp::UNIX_EPOCH,
    });
    server
        .store
        .append(inbox.id, messages.into())
        .await
        .unwrap();
    client.say("SELECT INBOX").await.ok();
    for number in 2..=3 {
        let items = "BODY.PEEK[] BODY.PEEK[HEADER] BODY.PEEK[TEXT] ENVELOPE BODYSTRUCTURE";
        let answer = client.say(format!("FETCH {number} ({items})")).await.ok();
        assert!(!answer[0].contains('\0'), "{number}");
        assert!(answer[0].contains('\u{fffd}'), "{number}");
    }
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_many_expunged_messages_is_told() {
    let server = Server::start().await;
    let inbox = MailboxName::new("INBOX").unwrap();
    let inbox = server.store.mailbox(server.account, &inbox).await.unwrap();
    let messages = (0..1_201).map(|_| Append {
        content: Content::from_bytes(MESSAGE),
        flags: Flags::new(),
        internal_date: jiff::Timestamp::UNIX_EPOCH,
    });
    server
        .store
        .append(inbox.id, messages.collect())
        .await
        .unwrap();
    let (mut client, mut other) = (server.selected().await, server.selected().await);
    client
        .say("STORE 1:600,602:1201 +FLAGS.SILENT \\Deleted")
        .await
        .ok();
    let mut wanted = vec!["1 EXPUNGE"; 600];
    wanted.extend(["2 EXPUNGE"; 600]);
    assert_eq!(client.say("EXPUNGE").await.ok(), wanted);
    assert_eq!(client.say("FETCH 1 UID").await.ok(), ["1 FETCH (UID 601)"]);
    let mut told = other.say("NOOP").await.ok();
    told.retain(|line| line.ends_with("EXPUNGE"));
    assert_eq!(told, wanted);
    server.finish().await;
}
