//! What filters may do to a connection and to an envelope: the hook `helo`, tags, edits of sender and recipients.

use super::chunks::journal;
use super::client::Client;
use crate::support::imap::Reader;
use crate::support::{BOB, PASSWORD, Server};
use wasmilter::config::Protocol;
use wasmilter::mail::{Disposition, Edit, EnvelopeEdit, Hook, Journal, Verdict};
use wasmilter::net::Endpoint;

static GUEST: &[u8] = include_bytes!(env!("WASMILTER_TEST_GUEST"));

/// Scripted filters, in this order, each with its `[config]`; SMTP and LMTP.
pub(super) async fn server(filters: &[(&str, &str)]) -> Server {
    let more = "[[listener]]\nprotocol = \"lmtp\"\naddress = \"127.0.0.1:0\"\n\
                [plugins]\ndirectory = \"plugins\"\n";
    let server = Server::with(more, |home| {
        for (order, (name, script)) in filters.iter().enumerate() {
            let guest = home.join("plugins").join(name);
            std::fs::create_dir_all(&guest).unwrap();
            let manifest = format!("order = {order}\n[config]\n{script}");
            std::fs::write(guest.join("plugin.toml"), manifest).unwrap();
            std::fs::write(guest.join("filter.wasm"), GUEST).unwrap();
        }
    })
    .await;
    assert_eq!(server.app.filters().len(), filters.len());
    server
}

pub(super) async fn smtp(server: &Server) -> Client {
    Client::connect(&Endpoint::Tcp(server.smtp())).await
}

/// From MAIL to the last reply, on a connection that has said EHLO.
pub(super) async fn send(client: &mut Client, recipients: &[&str]) -> String {
    client.dialogue(&[("MAIL FROM:<a@b.test>", "250")]).await;
    for recipient in recipients {
        let rcpt = format!("RCPT TO:<{recipient}>");
        client.dialogue(&[(&rcpt, "250")]).await;
    }
    client.dialogue(&[("DATA", "354")]).await;
    client.say("Subject: a letter\r\n\r\ntext\r\n.").await
}

/// What a filter logged at a hook.
pub(super) fn logged<'j>(journal: &'j Journal, filter: &str, hook: Hook) -> Vec<&'j str> {
    let turns = journal.turns.iter();
    turns
        .filter(|turn| turn.filter == filter && turn.hook == hook)
        .flat_map(|turn| &turn.log)
        .map(|line| line.text.as_str())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_helo_leaves_all_as_it_was() {
    let server = server(&[(
        "a",
        r#"helo = ["for bad.test reject 550 5 Not you", "for slow.test tempfail 421 4 Later"]"#,
    )])
    .await;
    let mut client = smtp(&server).await;
    client
        .dialogue(&[
            ("EHLO bad.test", "550 5.7.1 Not you"),
            ("MAIL FROM:<>", "503"),
            ("EHLO good.test", "250-mx.example.test"),
            ("MAIL FROM:<>", "250"),
            ("RCPT TO:<alice@example.test>", "250"),
            // RFC 5321 §4.1.4
            ("HELO bad.test", "550 5.7.1 Not you"),
            ("DATA", "354"),
        ])
        .await;
    let stored = client.say("Subject: x\r\n\r\ntext\r\n.").await;
    let journal = journal(&server, &stored).await;
    assert_eq!(journal.session.helo, "good.test");
    assert_eq!(journal.session.protocol, "ESMTP");
    // One that is accepted ends the transaction.
    client
        .dialogue(&[
            ("MAIL FROM:<>", "250"),
            ("EHLO other.test", "250"),
            ("RCPT TO:<alice@example.test>", "503"),
            ("EHLO slow.test", "421 4.7.1 Later"),
        ])
        .await;
    assert_eq!(client.rest().await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_last_for_the_connection_or_for_the_transaction() {
    let server = server(&[
        (
            "a",
            r#"
            connect = ["tag a.connect yes", "tag a.helo none"]
            helo = ["argument", "tag a.helo hello"]
            mail = ["tags"]
            rcpt = ["for bob@example.test tag a.bob 1"]
            message = ["tag a.message 2"]
            "#,
        ),
        (
            "b",
            r#"message = ["tags", "tag a.helo mine"]
            deliver = ["tagged a.helo"]"#,
        ),
    ])
    .await;
    let mut client = smtp(&server).await;
    client.dialogue(&[("EHLO c.test", "250")]).await;
    let first = send(&mut client, &[BOB]).await;
    let second = send(&mut client, &["alice@example.test"]).await;
    let first = journal(&server, &first).await;
    let second = journal(&server, &second).await;
    for (journal, seen) in [
        (&first, "a.bob=1 a.connect=yes a.helo=hello a.message=2"),
        (&second, "a.connect=yes a.helo=hello a.message=2"),
    ] {
        assert_eq!(
            logged(journal, "a", Hook::Mail),
            ["a.connect=yes a.helo=hello"]
        );
        assert_eq!(logged(journal, "b", Hook::Message), [seen]);
        assert_eq!(logged(journal, "b", Hook::Deliver), ["Some(\"mine\")"]);
        assert_eq!(journal.session.tags.get("a.helo"), Some("hello"));
        assert_eq!(journal.tags().by("a.helo"), Some("b"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sender_and_recipients_can_be_changed() {
    let server = server(&[
        (
            "a",
            r#"message = [
                "sender bounces@example.test RET=HDRS ENVID=q1",
                "add-recipient bob@example.test NOTIFY=NEVER",
                "add-recipient nobody@example.test",
                "add-recipient x@elsewhere.test",
                "add-recipient alice@example.test NOTIFY=DELAY",
                "remove-recipient alice+gone@example.test",
                "envelope",
            ]"#,
        ),
        (
            "b",
            r#"message = ["envelope", "flag $Kept"]
            deliver = ["argument"]"#,
        ),
    ])
    .await;
    let mut client = smtp(&server).await;
    client.dialogue(&[("EHLO c.test", "250")]).await;
    let reply = send(
        &mut client,
        &["alice@example.test", "alice+gone@example.test"],
    )
    .await;
    assert!(reply.starts_with("250 2.0.0 Ok: stored"), "{reply}");
    let journal = journal(&server, &reply).await;

    // As the client gave it.
    assert_eq!(journal.envelope.sender.to_string(), "a@b.test");
    let named = journal.envelope.recipients.iter();
    let named: Vec<_> = named.map(|named| named.address.to_string()).collect();
    assert_eq!(named, ["alice@example.test", "alice+gone@example.test"]);
    // Who asks sees it as it was, who comes later as it is.
    assert_eq!(
        logged(&journal, "a", Hook::Message),
        ["a@b.test -> alice@example.test alice+gone@example.test"]
    );
    assert_eq!(
        logged(&journal, "b", Hook::Message),
        ["bounces@example.test -> alice@example.test bob@example.test NEVER"]
    );
    assert_eq!(
        logged(&journal, "b", Hook::Deliver),
        ["alice@example.test", "bob@example.test"]
    );
    let mut turns = journal.turns.iter();
    let turn = turns.find(|turn| turn.hook == Hook::Message).unwrap();
    assert_eq!(turn.edits.len(), 4, "{:?}", turn.edits);
    assert!(matches!(
        &turn.edits[1].edit,
        Edit::Envelope(EnvelopeEdit::AddRecipient { address, .. }) if address.to_string() == BOB
    ));
    let [nobody, elsewhere] = turn.refused.as_slice() else {
        panic!("{:?}", turn.refused)
    };
    assert!(nobody.contains("no such mailbox"), "{nobody}");
    assert!(elsewhere.contains("not ours"), "{elsewhere}");

    let [alice, bob, gone] = journal.dispositions.as_slice() else {
        panic!("{:?}", journal.dispositions)
    };
    for filed in [alice, bob] {
        assert!(matches!(filed.disposition, Disposition::Filed { .. }));
    }
    assert!(matches!(&gone.disposition, Disposition::Discarded { .. }));
    let mut reader = Reader::open(server.imap(), BOB, PASSWORD, "INBOX");
    let copy = String::from_utf8(reader.fetch(1)).unwrap();
    assert!(
        copy.starts_with("Return-Path: <bounces@example.test>\r\nDelivered-To: bob@example.test"),
        "{copy}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_added_before_the_client_names_him_gets_one_copy() {
    let server = server(&[(
        "a",
        r#"mail = ["add-recipient bob@example.test", "sender <>"]
        rcpt = ["argument"]"#,
    )])
    .await;
    let mut client = smtp(&server).await;
    client.dialogue(&[("EHLO c.test", "250")]).await;
    let reply = send(&mut client, &[BOB, "alice@example.test"]).await;
    let journal = journal(&server, &reply).await;
    assert_eq!(
        logged(&journal, "a", Hook::Rcpt),
        ["alice@example.test"],
        "{journal:?}"
    );
    assert_eq!(journal.dispositions.len(), 2);
    assert_eq!(journal.envelope.recipients.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_without_recipients_is_discarded() {
    let server = server(&[(
        "a",
        r#"message = ["remove-recipient alice@example.test"]
        deliver = ["argument"]"#,
    )])
    .await;
    let mut client = smtp(&server).await;
    client.dialogue(&[("EHLO c.test", "250")]).await;
    let reply = send(&mut client, &["alice@example.test"]).await;
    assert!(reply.starts_with("250 2.0.0 Ok: taken"), "{reply}");
    let journal = journal(&server, &reply).await;
    assert_eq!(journal.verdict, Verdict::Discard);
    assert_eq!(logged(&journal, "a", Hook::Deliver), [""; 0]);
    assert!(matches!(
        &journal.dispositions[..],
        [place] if matches!(&place.disposition, Disposition::Discarded { why } if why.contains("removed"))
    ));
}

/// SMTP has one reply for all: what cannot be for one now comes again for both, and neither has it twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_tempfail_at_deliver_loses_nobodys_mail() {
    let server = server(&[(
        "a",
        r#"deliver = ["for bob@example.test tempfail 451 4 Later"]"#,
    )])
    .await;
    let mut client = smtp(&server).await;
    client.dialogue(&[("EHLO c.test", "250")]).await;
    let reply = send(&mut client, &["alice@example.test", BOB]).await;
    assert_eq!(reply, "451 4.7.1 Later");
    let reply = send(&mut client, &["alice@example.test"]).await;
    assert!(reply.starts_with("250"), "{reply}");
    let journal = journal(&server, &reply).await;
    assert!(matches!(
        &journal.dispositions[..],
        [place] if matches!(&place.disposition, Disposition::Filed { uid: 1, .. })
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_at_deliver_for_all_is_refused_to_the_client() {
    let server = server(&[(
        "a",
        r#"deliver = ["for alice@example.test reject 552 5 Full", "for bob@example.test reject 550 5 Gone"]"#,
    )])
    .await;
    let mut client = smtp(&server).await;
    client.dialogue(&[("EHLO c.test", "250")]).await;
    for (to, said) in [
        (&["alice@example.test"][..], "552 5.7.1 Full"),
        (&[BOB, "alice@example.test"], "550 5.7.1 Gone"),
    ] {
        assert_eq!(send(&mut client, to).await, said);
    }
    // One reply for both, and one of them gets it.
    let reply = send(&mut client, &[BOB, "alice+copy@example.test"]).await;
    assert!(reply.starts_with("250"), "{reply}");
    let journal = journal(&server, &reply).await;
    let places = journal.dispositions.iter();
    let places: Vec<_> = places.map(|place| &place.disposition).collect();
    assert!(
        matches!(
            &places[..],
            [Disposition::Discarded { why }, Disposition::Filed { .. }] if why.contains("refused it at deliver: 550")
        ),
        "{places:?}"
    );
}

/// RFC 2033 §4.2: one for each RCPT of the client, whatever filters made of them.
#[tokio::test(flavor = "multi_thread")]
async fn lmtp_replies_are_for_whom_the_client_named() {
    let server = server(&[(
        "a",
        r#"message = ["remove-recipient bob@example.test", "add-recipient alice+copy@example.test"]
        deliver = ["for alice@example.test reject 552 5 Full"]"#,
    )])
    .await;
    let endpoint = Endpoint::Tcp(server.address(Protocol::Lmtp));
    let mut client = Client::silent(&endpoint).await;
    client.reply().await;
    client.dialogue(&[("LHLO c.test", "250")]).await;
    let bob = send(&mut client, &[BOB, "alice@example.test"]).await;
    assert!(bob.starts_with("250 2.0.0 Ok: stored"), "{bob}");
    assert!(client.reply().await.starts_with("552 5.7.1 Full"));
    client.dialogue(&[("QUIT", "221")]).await;
    let journal = journal(&server, &bob).await;
    let places = journal.dispositions.iter();
    let places: Vec<_> = places.map(|place| place.recipient.to_string()).collect();
    assert_eq!(
        places,
        ["alice@example.test", "alice+copy@example.test", BOB]
    );
}
