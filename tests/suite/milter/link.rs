//! A milter as a link of the chain: here our own listener is the milter, so that both sides of the protocol meet.

use super::*;
use crate::support::process::Sender;
use crate::support::{ALICE, BOB, free};
use wasmilter::mail::{Address, Edit, EnvelopeEdit, HeaderEdit};
use wasmilter::store::{MailboxName, Quarantine};

/// A server with this milter as its only filter. Its breaker never opens.
pub async fn linked(address: &str, more: &str) -> Server {
    let milter = format!(
        "[plugins.breaker]\nfailures = 0\n[[milter]]\nname = \"other\"\naddress = \"{address}\"\n{more}"
    );
    Server::with(&milter, |_| ()).await
}

/// The code and the text that one message is answered with.
pub async fn send(server: &Server, to: &str, message: &str) -> (u16, String) {
    let (address, to, message) = (server.smtp(), to.to_owned(), message.to_owned());
    let sending = tokio::task::spawn_blocking(move || {
        let mut sender = Sender::connect(address).unwrap();
        sender.send_octets(&to, message.as_bytes()).unwrap()
    });
    soon(sending).await.unwrap()
}

/// The journal of the message that this reply is to.
pub async fn told(server: &Server, reply: &str) -> Journal {
    let mut words = reply.rsplit(' ');
    let id = words.find(|word| word.len() > 8 && word.chars().all(|c| c.is_ascii_alphanumeric()));
    let id = id.unwrap_or_else(|| panic!("no id in {reply:?}"));
    server.app.store().journal(id).await.unwrap().unwrap()
}

/// The messages in a mailbox, edits applied.
pub async fn messages(server: &Server, login: &str) -> Vec<String> {
    let all = octets(server, login).await.into_iter();
    all.map(|octets| String::from_utf8_lossy(&octets).into_owned())
        .collect()
}

pub async fn octets(server: &Server, login: &str) -> Vec<Vec<u8>> {
    let store = server.app.store();
    let login = Address::parse(login).unwrap();
    let account = store.account(&login).await.unwrap().unwrap().id;
    let inbox = store.mailbox(account, &MailboxName::inbox()).await.unwrap();
    let mut all = Vec::new();
    for message in store.messages(inbox.id).await.unwrap() {
        let content = store.content(inbox.id, message.uid).await.unwrap();
        all.push(content.bytes().unwrap().to_vec());
    }
    all
}

fn listener(server: &Server) -> String {
    server.address(Protocol::Milter).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn its_modifications_are_edits_of_the_journal() {
    let milter = scripted(
        r#"message = ["session", "get Subject", "envelope", "raw 0 4096", "add X-A 1", "insert X-Top", "change Subject changed words", "remove X-Gone", "sender other@client.test", "add-recipient bob@example.test", "replace New body."]"#,
    )
    .await;
    let server = linked(&listener(&milter), "").await;
    let message = "X-Gone: 1\r\nX-Stays:  as\r\n\tit is\r\nSubject: hello\r\n\r\nHello.\r\n";
    let (code, reply) = send(&server, ALICE, message).await;
    assert_eq!(code, 250, "{reply}");
    for login in [ALICE, BOB] {
        let found = messages(&server, login).await.remove(0);
        let (_, rest) = found.split_once("X-Top: inserted\r\n").unwrap();
        assert_eq!(
            rest,
            "X-Stays:  as\r\n\tit is\r\nSubject: changed words\r\nX-A: 1\r\n\r\nNew body."
        );
        assert!(
            found.starts_with("Return-Path: <other@client.test>"),
            "{found}"
        );
    }

    let journal = told(&server, &reply).await;
    let turn = journal.turns.last().unwrap();
    assert_eq!((&turn.filter[..], &turn.version[..]), ("other", "milter"));
    let edits: Vec<_> = turn.edits.iter().map(|scoped| &scoped.edit).collect();
    assert_eq!(edits.len(), 7, "{edits:?}");
    let removed =
        |edit: &&Edit| matches!(edit, Edit::Header(HeaderEdit::Remove { was, .. }) if was == "1");
    assert!(edits.iter().any(removed), "{edits:?}");
    let sender = |edit: &&Edit| matches!(edit, Edit::Envelope(EnvelopeEdit::SetSender { was, .. }) if was.to_string() == "sender@client.example");
    assert!(edits.iter().any(sender), "{edits:?}");

    // What it was told is what we knew.
    let id = journal.id.as_str();
    let theirs = super::journal(&milter, id).await;
    assert_eq!(
        theirs.session.client_address,
        Some("127.0.0.1".parse().unwrap())
    );
    assert_eq!(theirs.session.helo, "client.example");
    assert_eq!(theirs.session.server_name, "mx.example.test");
    assert_eq!(theirs.envelope.recipients.len(), 1);
    assert_eq!(theirs.size, message.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_verdicts_are_ours() {
    let milter = scripted(
        r#"
        rcpt = ["for bob@example.test reject 550 5 100% no"]
        message = ["when drop discard", "when odd hold odd", "when later tempfail 452 4 later", "when never reject 554 5 no and no"]
        "#,
    )
    .await;
    let server = linked(&listener(&milter), "").await;
    let (code, text) = send(&server, BOB, MESSAGE).await;
    assert_eq!((code, &text[..]), (550, "5.7.1 100% no"));
    for (subject, code, text, delivered) in [
        ("fine", 250, "", 1),
        ("drop", 250, "", 1),
        ("odd", 250, "", 1),
        ("later", 452, "4.7.1 later", 1),
        ("never", 554, "5.7.1 no and no", 1),
    ] {
        let message = format!("Subject: {subject}\r\n\r\nx\r\n");
        let (found, reply) = send(&server, ALICE, &message).await;
        assert_eq!(found, code, "{subject}: {reply}");
        assert!(reply.contains(text), "{subject}: {reply}");
        assert_eq!(messages(&server, ALICE).await.len(), delivered, "{subject}");
    }
    let aside = server.app.store().quarantined().await.unwrap().entries;
    assert_eq!(aside.len(), 1);
    let status = server.app.milters().remove(0);
    assert_eq!((status.failures, status.connections), (0, 0));
    assert_eq!(status.calls, 2 + 5 * 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stands_where_its_order_says_and_sees_what_came_before() {
    let milter = scripted(r#"message = ["get X-First", "add X-Second 2"]"#).await;
    let more = format!(
        "[[milter]]\nname = \"other\"\naddress = \"{}\"\norder = 60\n{PLUGINS}",
        listener(&milter)
    );
    let server = Server::with(&more, |home| {
        std::fs::create_dir_all(home.join("plugins")).unwrap();
        guest(home, "before", r#"message = ["add X-First 1"]"#);
        let after = home.join("plugins/after");
        guest(home, "after", r#"message = ["get X-Second"]"#);
        let manifest = std::fs::read_to_string(after.join("plugin.toml")).unwrap();
        std::fs::write(after.join("plugin.toml"), format!("order = 70\n{manifest}")).unwrap();
    })
    .await;
    assert_eq!(server.app.filters().len(), 3);
    let (code, reply) = send(&server, ALICE, MESSAGE).await;
    assert_eq!(code, 250, "{reply}");
    let journal = told(&server, &reply).await;
    let said: Vec<_> = journal
        .turns
        .iter()
        .filter(|turn| turn.hook.name() == "message")
        .map(|turn| {
            (
                &turn.filter[..],
                turn.log.first().map(|line| &line.text[..]),
            )
        })
        .collect();
    assert_eq!(
        said,
        [("before", None), ("other", None), ("after", Some("2"))]
    );
    let theirs = super::journal(&milter, journal.id.as_str()).await;
    assert_eq!(theirs.turns.last().unwrap().log[0].text, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_milter_that_is_not_there_is_a_failure_with_its_on_error() {
    for (on_error, code, delivered) in [
        ("tempfail", 451, 0),
        ("reject", 554, 0),
        ("skip", 250, 1),
        ("quarantine", 250, 0),
    ] {
        let server = linked(&free().to_string(), &format!("on-error = \"{on_error}\"\n")).await;
        let (found, reply) = send(&server, ALICE, MESSAGE).await;
        assert_eq!(found, code, "{on_error}: {reply}");
        assert_eq!(
            messages(&server, ALICE).await.len(),
            delivered,
            "{on_error}"
        );
        let status = server.app.milters().remove(0);
        assert_eq!((status.failures, status.connections), (1, 0), "{on_error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_returns_is_asked_again() {
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("milter.sock");
    let address = format!("unix:{}", socket.display());
    let server = linked(&address, "").await;
    assert_eq!(send(&server, ALICE, MESSAGE).await.0, 451);
    let more = format!("[[listener]]\nprotocol = \"milter\"\naddress = \"{address}\"\n{PLUGINS}");
    let milter = Server::with(&more, |home| {
        std::fs::create_dir_all(home.join("plugins")).unwrap();
        guest(home, "guest", r#"message = ["add X-A 1"]"#);
    })
    .await;
    let (code, reply) = send(&server, ALICE, MESSAGE).await;
    assert_eq!(code, 250, "{reply}");
    assert!(messages(&server, ALICE).await[0].contains("X-A: 1\r\n"));
    milter.app.stop().await;
    assert_eq!(send(&server, ALICE, MESSAGE).await.0, 451);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_some_failures_it_is_left_alone_for_a_while() {
    let address = free();
    let more = format!(
        "[plugins.breaker]\nfailures = 2\npause-ms = 3600000\nlongest-pause-s = 3600\n[[milter]]\nname = \"other\"\naddress = \"{address}\"\non-error = \"skip\"\n"
    );
    let server = Server::with(&more, |_| ()).await;
    for _ in 0..3 {
        assert_eq!(send(&server, ALICE, MESSAGE).await.0, 250);
    }
    let (_, reply) = send(&server, ALICE, MESSAGE).await;
    let journal = told(&server, &reply).await;
    let failure = journal.turns[0].result.as_ref().unwrap_err();
    assert!(failure.to_string().starts_with("breaker open"), "{failure}");
    let socket = server.home.path().join("data/control.sock");
    let (_, status) = crate::control::ask(&socket, "GET /status");
    let milter = &status["milters"][0];
    assert_eq!(
        (&milter["name"], &milter["breaker"]["is"]),
        (&"other".into(), &"open".into())
    );
    assert_eq!(milter["address"], address.to_string());
}
