//! What one session is told of what others do.

use super::*;
use jiff::Timestamp;
use wasmilter::mail::Content;
use wasmilter::store::{Append, Flags, MailboxName};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_expunge_while_numbers_are_in_use() {
    let server = Server::start().await;
    let mut one = server.with_mail(&[MESSAGE; 3]).await;
    let mut other = server.selected().await;
    other.say("STORE 1 +FLAGS \\Deleted").await.ok();
    other.say("STORE 3 +FLAGS $New").await.ok();
    other.say("EXPUNGE").await.ok();
    other.append("INBOX", MESSAGE).await.ok();
    // RFC 3501 §7.4.1
    let told = one.say("FETCH 2 UID").await.ok();
    assert_eq!(told[0], "2 FETCH (UID 2)");
    assert!(told.contains(&"4 EXISTS".into()), "{told:?}");
    assert!(
        told.iter()
            .any(|line| line.starts_with("FLAGS (") && line.contains("$New"))
    );
    assert!(
        told.contains(&"3 FETCH (UID 3 FLAGS ($New \\Recent))".into()),
        "{told:?}"
    );
    one.say("FETCH 1 BODY[]").await.is("NO [EXPUNGEISSUED]");
    one.say("STORE 1 +FLAGS \\Seen")
        .await
        .is("OK [EXPUNGEISSUED]");
    assert_eq!(
        one.say("SEARCH ALL BODY morning").await.ok(),
        ["SEARCH 2 3 4"]
    );
    one.say("COPY 1 Archive").await.is("NO [EXPUNGEISSUED]");
    assert_eq!(one.say("NOOP").await.ok(), lines(&[]));
    assert_eq!(one.say("UID FETCH 1:* UID").await.ok().len(), 3);
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flags_set_by_another_are_told_even_to_silent() {
    let server = Server::start().await;
    let mut one = server.with_mail(&[MESSAGE]).await;
    let mut other = server.selected().await;
    other.say("STORE 1 +FLAGS \\Flagged").await.ok();
    assert_eq!(
        one.say("STORE 1 +FLAGS.SILENT \\Seen").await.ok(),
        ["1 FETCH (UID 1 FLAGS (\\Flagged \\Seen \\Recent))"]
    );
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_tells_at_once() {
    let server = Server::start().await;
    let mut client = server.selected().await;
    client.send("a IDLE\r\n").await;
    assert!(client.response().await.unwrap().starts_with("+ "));
    let inbox = server
        .store
        .mailbox(server.account, &MailboxName::inbox())
        .await
        .unwrap();
    let message = Append {
        content: Content::from_bytes(MESSAGE),
        flags: Flags::new(),
        internal_date: Timestamp::UNIX_EPOCH,
    };
    server.store.append(inbox.id, vec![message]).await.unwrap();
    assert_eq!(client.response().await.unwrap(), "* 1 EXISTS");
    assert_eq!(client.response().await.unwrap(), "* 1 RECENT");
    let mut other = server.selected().await;
    other.say("STORE 1 +FLAGS \\Deleted").await.ok();
    assert_eq!(
        client.response().await.unwrap(),
        "* 1 FETCH (UID 1 FLAGS (\\Deleted \\Recent))"
    );
    other.say("EXPUNGE").await.ok();
    assert_eq!(client.response().await.unwrap(), "* 1 EXPUNGE");
    client.send("done\r\n").await;
    client.answer("a").await.ok();
    client.send("b IDLE\r\n").await;
    client.response().await.unwrap();
    client.send("NOOP\r\n").await;
    client.answer("b").await.is("BAD");
    client.say("NOOP").await.ok();
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mailbox_that_is_deleted_meanwhile() {
    let server = Server::start().await;
    let mut one = server.logged_in().await;
    one.say("CREATE x").await.ok();
    one.say("SELECT x").await.ok();
    let mut other = server.logged_in().await;
    other.say("DELETE x").await.ok();
    one.send("a NOOP\r\n").await;
    assert!(one.response().await.unwrap().starts_with("* BYE"));
    // Who deletes it knows.
    other.say("CREATE y").await.ok();
    other.say("SELECT y").await.ok();
    other.say("DELETE y").await.ok();
    other.say("CHECK").await.is("BAD");
    other.say("SELECT INBOX").await.ok();
    server.finish().await;
}
