//! Addresses that a mail server has taken, however odd: its filter is not to refuse what it does not.

use super::*;
use wasmilter::mail::Disposition;

/// As Postfix passes them on, and as filters know them.
pub const ODD: &[(&str, &str)] = &[
    ("a..b@docomo.test", "\"a..b\"@docomo.test"),
    ("a.@docomo.test", "\"a.\"@docomo.test"),
    ("user@domain.test.", "user@domain.test"),
    ("@r1.test:u@x.test", "u@x.test"),
    ("a@b@c.test", "\"a@b\"@c.test"),
    (LONG, LONG),
];

const LONG: &str =
    "bounces+1234567-1a2b-firstname.lastname=some-long-company-name.example@em.sender.test";

fn all(journal: &Journal) -> (String, Vec<String>) {
    let recipients = journal.envelope.recipients.iter();
    let recipients = recipients.map(|recipient| recipient.address.to_string());
    (journal.envelope.sender.to_string(), recipients.collect())
}

#[tokio::test]
async fn what_the_mail_server_takes_is_taken() {
    let late = with("", |home| shipped(home, "rewrite")).await;
    let early = scripted("message = [\"log seen\"]").await;
    for server in [&late, &early] {
        let mut mta = connect(server).await;
        mta.session().await;
        for (number, (given, read)) in ODD.iter().enumerate() {
            let id = format!("Q{number}");
            let argument = format!("<{given}>\0");
            assert_eq!(mta.ask(b'M', argument.as_bytes()).await.0, 'c', "{given}");
            assert_eq!(mta.ask(b'R', argument.as_bytes()).await.0, 'c', "{given}");
            let outcome = mta.content(&id, MESSAGE).await;
            assert_eq!(outcome.answer, 'c', "{given}: {}", outcome.text);
            let (sender, recipients) = all(&journal(server, &id).await);
            assert_eq!((&sender[..], recipients), (*read, vec![(*read).to_owned()]));
        }
        // Without a domain, it is the mail server's own.
        assert_eq!(mta.ask(b'M', b"<\"a@b\">\0").await.0, 'c');
        assert_eq!(mta.ask(b'R', b"<bob>\0").await.0, 'c');
        assert_eq!(mta.content("Q9", MESSAGE).await.answer, 'c');
        let (sender, recipients) = all(&journal(server, "Q9").await);
        assert_eq!(sender, "\"a@b\"@mx.example.test");
        assert_eq!(recipients, ["bob@mx.example.test"]);
    }
}

#[tokio::test]
async fn one_that_is_removed_is_named_as_it_was_given() {
    let script = "message = [\"remove-recipient \\\"a..b\\\"@docomo.test\"]";
    let server = scripted(script).await;
    let mut mta = connect(&server).await;
    mta.session().await;
    let recipients = ["alice@example.test", "a..b@docomo.test"];
    let outcome = mta.message("Q1", &recipients, MESSAGE).await;
    assert_eq!(outcome.deleted, ["<a..b@docomo.test>"]);
}

#[tokio::test]
async fn one_that_cannot_be_read_is_refused_by_itself_or_not_at_all() {
    let server = with("", |home| shipped(home, "rewrite")).await;
    let mut mta = connect(&server).await;
    mta.session().await;
    let recipients = [
        "alice@example.test",
        "bob@exam ple.test",
        "carol@example.test",
    ];
    let outcome = mta.message("Q1", &recipients, MESSAGE).await;
    assert_eq!((outcome.answer, outcome.deleted), ('c', vec![]));
    let own = journal(&server, "Q1").await;
    let (_, known) = all(&own);
    assert_eq!(known, ["alice@example.test", "carol@example.test"]);
    let refused: Vec<_> = own.turns.iter().flat_map(|turn| &turn.refused).collect();
    assert!(refused[0].contains("bob@exam ple.test"), "{refused:?}");
    // With nobody left there is nothing that could be asked.
    let outcome = mta.message("Q2", &["bob@exam ple.test"], MESSAGE).await;
    assert_eq!(outcome.answer, 'y');
    assert!(outcome.text.starts_with("553 5.1.3 "), "{}", outcome.text);
    assert_eq!(mta.ask(b'M', b"<a@exam ple.test>\0").await.0, 'c');
    assert_eq!(mta.ask(b'R', b"<alice@example.test>\0").await.0, 'c');
    let outcome = mta.content("Q3", MESSAGE).await;
    assert_eq!(outcome.answer, 'y');
    assert!(outcome.text.starts_with("553 5.1.7 "), "{}", outcome.text);
    // It says nothing of the next message.
    let outcome = mta.message("Q4", &["alice@example.test"], MESSAGE).await;
    assert_eq!(outcome.answer, 'c');
    let own = journal(&server, "Q4").await;
    let disposition = &own.dispositions[0].disposition;
    assert!(matches!(disposition, Disposition::Passed { .. }));
}

/// The mail server has taken them, and could not come again with fewer.
#[tokio::test]
async fn there_may_be_more_than_a_client_of_smtp_may_name() {
    let many: Vec<_> = (0..=1000).map(|n| format!("u{n}@example.test")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let late = with("", |home| shipped(home, "rewrite")).await;
    let early = scripted("message = [\"log seen\"]").await;
    for server in [&late, &early] {
        let mut mta = connect(server).await;
        mta.session().await;
        let outcome = mta.message("Q1", &many, MESSAGE).await;
        assert_eq!(outcome.answer, 'c', "{}", outcome.text);
        let (_, recipients) = all(&journal(server, "Q1").await);
        assert_eq!(recipients.len(), 1001);
    }
}
