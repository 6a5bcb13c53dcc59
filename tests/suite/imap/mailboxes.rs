//! LIST, LSUB, STATUS, CREATE, DELETE, RENAME, SUBSCRIBE, SELECT.

use super::*;
use wasmilter::store::MailboxName;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mailboxes_are_listed_with_their_uses() {
    let server = Server::start().await;
    let mut client = server.logged_in().await;
    assert_eq!(
        client.say("LIST \"\" \"\"").await.ok(),
        ["LIST (\\Noselect) \"/\" \"\""]
    );
    let listed = client.say("LIST \"\" *").await.ok();
    for wanted in [
        "LIST (\\HasNoChildren) \"/\" \"INBOX\"",
        "LIST (\\HasNoChildren \\Sent) \"/\" \"Sent\"",
        "LIST (\\HasNoChildren \\Junk) \"/\" \"Junk\"",
    ] {
        assert!(listed.contains(&wanted.to_owned()), "{listed:?}");
    }
    client.say("CREATE a/b/c").await.ok();
    assert_eq!(
        client.say("LIST \"\" a%").await.ok(),
        ["LIST (\\HasChildren) \"/\" \"a\""]
    );
    assert_eq!(
        client.say("LIST a/ %").await.ok(),
        ["LIST (\\HasChildren) \"/\" \"a/b\""]
    );
    client.say("DELETE a").await.ok();
    assert_eq!(
        client.say("LIST \"\" a*").await.ok(),
        lines(&[
            "LIST (\\Noselect \\HasChildren) \"/\" \"a\"",
            "LIST (\\HasChildren) \"/\" \"a/b\"",
            "LIST (\\HasNoChildren) \"/\" \"a/b/c\"",
        ])
    );
    assert_eq!(client.say("LIST \"\" inbox").await.ok().len(), 1);
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mailboxes_are_made_renamed_and_deleted() {
    let server = Server::start().await;
    let mut client = server.logged_in().await;
    for (command, expected) in [
        ("CREATE work", "OK"),
        ("CREATE work", "NO [ALREADYEXISTS]"),
        ("CREATE inbox", "NO [ALREADYEXISTS]"),
        ("CREATE lists/", "OK"),
        ("CREATE \"\"", "NO [CANNOT]"),
        ("CREATE a//b", "NO [CANNOT]"),
        ("CREATE \"&Jjo\"", "NO [CANNOT]"),
        ("CREATE \"Entw&APw-rfe\"", "OK"),
        ("SELECT \"Entw&APw-rfe\"", "OK"),
        ("CREATE work/one", "OK"),
        ("RENAME work jobs", "OK"),
        ("RENAME work jobs", "NO [NONEXISTENT]"),
        ("RENAME lists jobs", "NO [ALREADYEXISTS]"),
        ("STATUS jobs/one (MESSAGES)", "OK"),
        ("STATUS work/one (MESSAGES)", "NO [NONEXISTENT]"),
        ("SELECT nowhere", "NO [NONEXISTENT]"),
        ("CHECK", "BAD"),
        ("DELETE jobs", "OK"),
        ("DELETE jobs", "NO [NONEXISTENT]"),
        ("DELETE INBOX", "NO [CANNOT]"),
        ("STATUS INBOX (HIGHESTMODSEQ)", "BAD"),
        // RFC 3501 §6.3.5
        ("CREATE foo/bar/baz", "OK"),
        ("DELETE foo", "OK"),
        ("RENAME foo qux", "OK"),
        ("SELECT qux", "NO [NONEXISTENT]"),
        ("SELECT qux/bar/baz", "OK"),
        ("RENAME foo qux", "NO [NONEXISTENT]"),
    ] {
        let answer = client.say(command).await;
        assert!(answer.tagged.starts_with(expected), "{command}: {answer:?}");
    }
    let listed = client.say("LIST \"\" Ent*").await.ok();
    assert_eq!(listed, ["LIST (\\HasNoChildren) \"/\" \"Entw&APw-rfe\""]);
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions() {
    let server = Server::start().await;
    let mut client = server.logged_in().await;
    // Thunderbird shows only what is subscribed.
    let subscribed = client.say("LSUB \"\" *").await.ok().join("\n");
    for name in ["INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash"] {
        assert!(
            subscribed.contains(&format!("LSUB () \"/\" \"{name}\"")),
            "{subscribed}"
        );
    }
    client.say("CREATE a/b").await.ok();
    client.say("SUBSCRIBE a/b").await.ok();
    client.say("UNSUBSCRIBE a").await.ok();
    assert_eq!(
        client.say("LSUB \"\" a*").await.ok(),
        ["LSUB () \"/\" \"a/b\""]
    );
    assert_eq!(
        client.say("LSUB \"\" a%").await.ok(),
        ["LSUB (\\Noselect) \"/\" \"a\""]
    );
    client.say("UNSUBSCRIBE a/b").await.ok();
    assert_eq!(client.say("LSUB \"\" a*").await.ok(), lines(&[]));
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn select_tells_what_there_is() {
    let server = Server::start().await;
    let mut client = server.logged_in().await;
    client
        .say(format!(
            "APPEND INBOX (\\Seen $Work) {{{}+}}\r\n{MESSAGE}",
            MESSAGE.len()
        ))
        .await
        .ok();
    client.append("INBOX", MESSAGE).await.ok();
    let examined = client.say("EXAMINE INBOX").await;
    assert!(examined.tagged.starts_with("OK [READ-ONLY]"));
    assert!(
        examined.untagged.contains(&"2 RECENT".into()),
        "{examined:?}"
    );
    assert!(
        examined
            .untagged
            .contains(&"OK [PERMANENTFLAGS ()] Flags that stay".into())
    );
    client
        .say("STORE 1 +FLAGS \\Deleted")
        .await
        .is("NO [READ-ONLY]");
    client.say("EXPUNGE").await.is("NO [READ-ONLY]");
    client.say("FETCH 2 BODY[]").await.ok();
    client.say("CLOSE").await.ok();
    client.say("FETCH 1 FLAGS").await.is("BAD");
    let selected = client.say("SELECT INBOX").await;
    assert!(selected.tagged.starts_with("OK [READ-WRITE]"));
    let untagged = selected.untagged.join("\n");
    for wanted in [
        "FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Work)",
        "OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Work \\*)]",
        "2 EXISTS",
        "2 RECENT",
        "OK [UNSEEN 2]",
        "OK [UIDNEXT 3]",
        "OK [UIDVALIDITY ",
    ] {
        assert!(untagged.contains(wanted), "{wanted}: {untagged}");
    }
    // Told once, they are recent no more.
    assert!(
        server
            .selected()
            .await
            .say("SEARCH RECENT")
            .await
            .ok()
            .contains(&"SEARCH".into())
    );
    assert_eq!(client.say("SEARCH RECENT").await.ok(), ["SEARCH 1 2"]);
    assert_eq!(
        client
            .say("STATUS INBOX (MESSAGES RECENT UIDNEXT UNSEEN)")
            .await
            .ok(),
        ["STATUS \"INBOX\" (MESSAGES 2 RECENT 0 UIDNEXT 3 UNSEEN 1)"]
    );
    client.say("UNSELECT").await.ok();
    client.say("FETCH 1 FLAGS").await.is("BAD");
    client.say("SELECT INBOX").await.ok();
    // What was selected is not any more after a SELECT that fails (RFC 3501 §6.3.1).
    client.say("SELECT nowhere").await.is("NO");
    client.say("FETCH 1 FLAGS").await.is("BAD");
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renaming_inbox_moves_its_mail() {
    let server = Server::start().await;
    let mut client = server.with_mail(&[MESSAGE; 2]).await;
    assert_eq!(
        client.say("RENAME INBOX old").await.ok(),
        ["1 EXPUNGE", "1 EXPUNGE"]
    );
    assert_eq!(
        client.say("STATUS old (MESSAGES)").await.ok(),
        ["STATUS \"old\" (MESSAGES 2)"]
    );
    // A mailbox that is selected may be renamed under its session.
    client.say("SELECT old").await.ok();
    client.say("RENAME old older").await.ok();
    assert_eq!(client.say("FETCH 1:* UID").await.ok().len(), 2);
    server.finish().await;
}

/// RFC 3501 §6.3.9: a level that is not subscribed shows only where % stops at it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn levels_above_subscribed_mailboxes() {
    let server = Server::start().await;
    let mut client = server.logged_in().await;
    for name in ["a/b/c", "a/d", "e/f", "g", "g/h"] {
        client.say(format!("SUBSCRIBE {name}")).await.ok();
    }
    for (pattern, expected) in [
        ("*", &["a/b/c", "a/d", "e/f", "g", "g/h"][..]),
        ("%", &["(\\Noselect) a", "(\\Noselect) e", "g"]),
        ("%/%", &["(\\Noselect) a/b", "a/d", "e/f", "g/h"]),
        ("a*", &["a/b/c", "a/d"]),
        ("a/%", &["(\\Noselect) a/b", "a/d"]),
        ("*b", &["(\\Noselect) a/b"]),
        ("*c", &["a/b/c"]),
        ("e", &["(\\Noselect) e"]),
        ("%/b/%", &["a/b/c"]),
        ("x", &[]),
    ] {
        let mut listed = client.say(format!("LSUB \"\" {pattern}")).await.ok();
        let special = ["INBOX", "Archive", "Drafts", "Junk", "Sent", "Trash"];
        listed.retain(|line| !special.iter().any(|name| line.contains(name)));
        let listed: Vec<_> = listed
            .iter()
            .map(|line| {
                line.replace("LSUB () \"/\" ", "")
                    .replace("LSUB ", "")
                    .replace("\"/\" ", "")
                    .replace('"', "")
            })
            .collect();
        assert_eq!(listed, expected, "{pattern}");
    }
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_subscriptions_below_levels_of_their_own() {
    let server = Server::start().await;
    let mut subscribing = tokio::task::JoinSet::new();
    for number in 0..4_000 {
        let (store, account) = (server.store.clone(), server.account);
        let name = MailboxName::new(&format!("level{number}/x")).unwrap();
        subscribing.spawn(async move { store.subscribe(account, &name, true).await.unwrap() });
    }
    subscribing.join_all().await;
    let mut client = server.logged_in().await;
    for (pattern, expected) in [("level*", 4_000), ("level%", 4_000), ("level7%/%", 111)] {
        let listed = client.say(format!("LSUB \"\" {pattern}")).await.ok();
        assert_eq!(listed.len(), expected, "{pattern}");
        let levels = listed.iter().filter(|line| line.contains("\\Noselect"));
        assert_eq!(levels.count(), if pattern == "level%" { 4_000 } else { 0 });
    }
    server.finish().await;
}
