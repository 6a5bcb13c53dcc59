//! What is agreed on, what filters see of it, and what becomes of what they say.

use super::mta::V2;
use super::*;
use wasmilter::mail::{Disposition, Edit, FieldName, HeaderEdit, Line, Uses, Verdict};

const ALICE: &[&str] = &["alice@example.test"];

fn logged(journal: &Journal) -> Vec<String> {
    let lines = journal.turns.iter().flat_map(|turn| &turn.log);
    lines.map(|line| line.text.clone()).collect()
}

fn how(journal: &Journal) -> &str {
    match &journal.dispositions[0].disposition {
        Disposition::Passed { how } => how,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_message_that_no_filter_touches_gets_no_change_and_can_be_explained() {
    let server = scripted(r#"message = ["log seen"]"#).await;
    let mut mta = connect(&server).await;
    mta.session().await;
    let outcome = mta.message("4XyZ9k1Q2Rz", ALICE, MESSAGE).await;
    assert_eq!((outcome.answer, &outcome.changes[..]), ('c', ""));
    let journal = journal(&server, "4XyZ9k1Q2Rz").await;
    assert_eq!(logged(&journal), ["seen"]);
    assert_eq!(journal.subject.as_deref(), Some("hello"));
    assert_eq!(journal.size, MESSAGE.len() as u64);
    assert!(how(&journal).ends_with("4XyZ9k1Q2Rz"), "{}", how(&journal));
    // It is not kept here.
    assert!(!server.app.store().accounts().await.unwrap().is_empty());
    assert_eq!(
        std::fs::read_dir(server.app.store().staging())
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test]
async fn what_the_mail_server_says_of_its_client_is_the_session() {
    let server = scripted(r#"message = ["session", "envelope"]"#).await;
    let mut mta = connect(&server).await;
    mta.macros(
        b'C',
        &[("j", "relay.example.test"), ("{client_resolve}", "OK")],
    )
    .await;
    mta.ask(b'C', b"mail.client.test\x006\x30\x39IPv6:2001:db8::7\0")
        .await;
    mta.macros(
        b'H',
        &[
            ("{tls_version}", "TLSv1.3"),
            ("{cipher}", "TLS_AES_256_GCM_SHA384"),
        ],
    )
    .await;
    mta.ask(b'H', b"helo.client.test\0").await;
    mta.macros(b'M', &[("{auth_authen}", "carol")]).await;
    mta.ask(
        b'M',
        b"<carol@client.test>\0BODY=8BITMIME\0RET=HDRS\0ENVID=QQ7\0",
    )
    .await;
    mta.ask(
        b'R',
        b"<alice@example.test>\0NOTIFY=never\0ORCPT=rfc822;a@b.test\0",
    )
    .await;
    mta.ask(b'R', b"root\0").await;
    mta.content("Q1", MESSAGE).await;
    let journal = journal(&server, "Q1").await;
    let transaction = journal.id.as_str();
    assert_eq!(
        logged(&journal),
        [
            &format!(
                "relay.example.test 2001:db8::7 Some(\"mail.client.test\") helo.client.test ESMTPSA Some(\"TLSv1.3 TLS_AES_256_GCM_SHA384\") Some(\"carol\") {transaction}"
            )[..],
            "carol@client.test -> alice@example.test NEVER rfc822;a@b.test root@relay.example.test",
        ]
    );
    assert_eq!(journal.envelope.envid.as_deref(), Some("QQ7"));

    // The next message of the session is somebody else's.
    mta.send(b'A', b"").await;
    mta.macros(b'H', &[]).await;
    mta.ask(b'H', b"helo.client.test\0").await;
    mta.message("Q2", ALICE, MESSAGE).await;
    let journal = super::journal(&server, "Q2").await;
    assert_eq!(journal.session.authenticated, None);
    assert_eq!(journal.session.protocol, "ESMTP");
}

#[tokio::test]
async fn a_name_that_was_not_verified_is_none() {
    let server = scripted(r#"message = ["session"]"#).await;
    for (number, (name, resolve)) in [
        ("unknown", ""),
        ("[192.0.2.7]", ""),
        ("mail.client.test", "FORGED"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut mta = connect(&server).await;
        mta.macros(b'C', &[("{client_resolve}", resolve)]).await;
        let client = format!("{name}\x004\0\x19192.0.2.7\0");
        mta.ask(b'C', client.as_bytes()).await;
        let id = format!("Q{number}");
        mta.message(&id, ALICE, MESSAGE).await;
        let session = journal(&server, &id).await.session;
        assert_eq!(session.client_name, None, "{name}");
        assert_eq!(session.client_address, Some("192.0.2.7".parse().unwrap()));
        assert_eq!(session.server_name, "mx.example.test");
    }
}

#[tokio::test]
async fn header_edits_of_several_filters_arrive_as_they_stand_in_the_end() {
    let server = with("", |home| {
        guest(home, "a", r#"message = ["add X-End 1", "insert X-Top", "change Subject one", "remove X-Gone", "change X-Twice first"]"#);
        guest(home, "b", r#"message = ["change Subject two", "remove X-Gone", "change X-End 2"]"#);
    })
    .await;
    let message = "X-Gone: 1\r\nX-Twice: a\r\nX-Gone: 2\r\nSubject: zero\r\nx-twice:b\r\nX-Gone: 3\r\n\r\nbody\r\n";
    let expected = "X-Top: inserted\r\nX-Twice: first\r\nSubject: two\r\nx-twice:b\r\nX-Gone: 3\r\nX-End: 2\r\n\r\nbody\r\n";
    for offer in [super::mta::V6, V2] {
        let mut mta = Mta::offering(server.address(Protocol::Milter), offer).await;
        mta.session().await;
        let outcome = mta.message("Q1", ALICE, message).await;
        assert_eq!(outcome.message, expected);
        assert_eq!(outcome.answer, 'c');
    }
}

#[tokio::test]
async fn the_message_that_filters_see_is_the_one_that_came() {
    let odd = "X-No-Space:a\r\nX-Two:  b\r\nX-Folded:\r\n\t folded\r\n  twice\r\nX-Empty:\r\nX-Empty: \r\nX-\u{00df}: \u{00e4}\r\nX-Dup: 2\r\nX-Dup: 1\r\n\r\n.\r\n\u{00e4}\u{0001}\r\n\r\nno end";
    let script = format!("message = [\"raw 0 {}\"]", odd.len());
    let server = scripted(&script).await;
    let mut mta = connect(&server).await;
    assert_ne!(mta.steps & 0x10_0000, 0);
    mta.session().await;
    let outcome = mta.message("Q1", ALICE, odd).await;
    assert_eq!(outcome.message, odd);
    assert_eq!(outcome.changes, "");
    let journal = journal(&server, "Q1").await;
    assert_eq!(journal.size, odd.len() as u64);
    assert_eq!(
        logged(&journal),
        [format!("{:?}", Ok::<_, ()>(Ok::<_, ()>(odd)))]
    );
}

#[tokio::test]
async fn a_set_of_filters_that_reads_no_body_is_sent_none() {
    let add = Edit::Header(HeaderEdit::Add {
        name: FieldName::new("X-Seen").unwrap(),
        value: Line::new("yes").unwrap().into(),
    });
    let running = native::start_using(vec![add], Uses::of(["header-edit"]), |_| ()).await;
    let mut mta = Mta::connect(running.address).await;
    assert_ne!(mta.steps & 0x10, 0, "{:x}", mta.steps);
    assert_eq!(mta.steps & 0x20, 0);
    // Nothing but headers are changed, so nothing else is asked for; quarantine is what a failure may lead to.
    assert_eq!(mta.actions, 0x131);
    mta.session().await;
    let message = MESSAGE.replace("Hello.", &"x".repeat(200_000));
    let outcome = mta.message("Q1", ALICE, &message).await;
    assert!(mta.sent < 100, "{}", mta.sent);
    let seen = message.replacen("\r\n\r\n", "\r\nX-Seen: yes\r\n\r\n", 1);
    assert!(outcome.message == seen, "{}", &outcome.message[..300]);

    // One that cannot leave it out is told that it is enough, and an old one can't be told.
    for (offer, most) in [
        ((6, 0x1ff, 0x1f_ffef), 66_000),
        (V2, 100),
        ((2, 0x3f, 0x2f), 201_000),
    ] {
        let mut mta = Mta::offering(running.address, offer).await;
        mta.session().await;
        let outcome = mta.message("Q2", ALICE, &message).await;
        assert!(mta.sent < most, "{} {offer:?}", mta.sent);
        assert!(outcome.message == seen, "{offer:?}");
    }
}

#[tokio::test]
async fn without_filters_nothing_is_sent_but_the_envelope() {
    let server = with("", |_| ()).await;
    let mut mta = connect(&server).await;
    assert_eq!(mta.steps & 0x30, 0x30);
    mta.session().await;
    let outcome = mta.message("Q1", ALICE, MESSAGE).await;
    assert_eq!((outcome.answer, mta.sent), ('c', 0));
    assert_eq!(journal(&server, "Q1").await.envelope.recipients.len(), 1);
}

#[tokio::test]
async fn only_hooks_that_exist_are_waited_for() {
    let server = with("", |home| shipped(home, "rewrite")).await;
    let mta = connect(&server).await;
    assert_eq!(mta.steps & 0xf000, 0xf000);
    assert_eq!(mta.version, 6);
    let stages: Vec<_> = mta.macros.iter().map(|(stage, _)| *stage).collect();
    assert_eq!(stages, [0, 1, 2, 5]);
    // The scripted guest has them all.
    let server = scripted("").await;
    let mta = connect(&server).await;
    assert_eq!(mta.steps & 0xd000, 0);
}

#[tokio::test]
async fn refusals_at_the_envelope_are_heard_there() {
    let server = scripted(
        r#"
        mail = ["envelope"]
        rcpt = ["for bob@example.test reject 550 5 100% no"]
        "#,
    )
    .await;
    let mut mta = connect(&server).await;
    mta.session().await;
    assert_eq!(mta.ask(b'M', b"<a@client.test>\0").await.0, 'c');
    assert_eq!(mta.ask(b'R', b"<alice@example.test>\0").await.0, 'c');
    let (letter, text) = mta.ask(b'R', b"<bob@example.test>\0").await;
    assert_eq!(letter, 'y');
    assert!(
        text.starts_with("550") && text.contains("100%% no"),
        "{text}"
    );
    let (letter, text) = mta.ask(b'R', b"<no@exam ple.test>\0").await;
    assert!(
        letter == 'y' && text.starts_with("553 5.1.3"),
        "{letter} {text}"
    );
    mta.content("Q1", MESSAGE).await;
    let recipients = journal(&server, "Q1").await.envelope.recipients;
    assert_eq!(recipients.len(), 1);

    let server = scripted(r#"connect = ["tempfail 421 4 later"]"#).await;
    let mut mta = connect(&server).await;
    let (letter, text) = mta.ask(b'C', b"x\0U").await;
    assert_eq!((letter, &text[..]), ('y', "421 4.7.1 later\0"));
    let server = scripted(r#"mail = ["reject 550 5 never"]"#).await;
    let mut mta = connect(&server).await;
    mta.session().await;
    for _ in 0..2 {
        let (letter, text) = mta.ask(b'M', b"<a@client.test>\0").await;
        assert_eq!((letter, &text[..]), ('y', "550 5.7.1 never\0"));
    }
}

#[tokio::test]
async fn verdicts_become_what_the_mail_server_can_do() {
    for (step, answer, text, held) in [
        ("reject 554 5 never", 'y', "554 5.7.1 never", None),
        ("tempfail 451 4 later", 'y', "451 4.7.1 later", None),
        ("discard", 'd', "", None),
        ("quarantine a look at it", 'c', "", Some("a look at it")),
        ("accept", 'c', "", None),
        ("hold a second look", 'c', "", Some("a second look")),
        ("panic oh", 'y', "451 4.3.0", None),
    ] {
        let server = scripted(&format!("message = [\"add X-A 1\", \"{step}\"]")).await;
        let mut mta = connect(&server).await;
        mta.session().await;
        let outcome = mta.message("Q1", ALICE, MESSAGE).await;
        assert_eq!(outcome.answer, answer, "{step}");
        assert!(outcome.text.starts_with(text), "{step}: {}", outcome.text);
        assert_eq!(outcome.held.as_deref(), held, "{step}");
        assert_eq!(outcome.message.contains("X-A: 1"), answer == 'c', "{step}");
        let journal = journal(&server, "Q1").await;
        match (&journal.dispositions[0].disposition, answer) {
            (Disposition::Passed { .. }, 'c') | (Disposition::Discarded { .. }, 'd') => {}
            (Disposition::Refused { reply }, 'y') => {
                assert!(reply.starts_with(text.split(' ').next().unwrap()))
            }
            other => panic!("{other:?}"),
        }
    }
}

/// There is one message for all: who is not to get it is taken off, and is so by filters too that edit no envelope.
#[tokio::test]
async fn what_is_said_at_the_envelope_of_the_message_to_come_counts() {
    for (script, answer, deleted, held) in [
        ("mail = [\"discard\"]", 'd', &[][..], None),
        ("mail = [\"quarantine odd\"]", 'c', &[], Some("odd")),
        ("rcpt = [\"discard\"]", 'd', &[], None),
        (
            "rcpt = [\"for bob@example.test discard\"]",
            'c',
            &["<bob@example.test>"],
            None,
        ),
        (
            "rcpt = [\"for bob@example.test quarantine odd\"]",
            'c',
            &[],
            Some("odd"),
        ),
    ] {
        let manifest = format!("{script}\n[capabilities]\nunused = [\"envelope-edit\"]\n");
        let server = scripted(&manifest).await;
        let mut mta = connect(&server).await;
        mta.session().await;
        let recipients = ["alice@example.test", "bob@example.test"];
        let outcome = mta.message("Q1", &recipients, MESSAGE).await;
        assert_eq!(outcome.answer, answer, "{script}: {}", outcome.text);
        assert_eq!(outcome.deleted, deleted, "{script}");
        assert_eq!(outcome.held.as_deref(), held, "{script}");
    }
}

#[tokio::test]
async fn junk_is_flagged_and_more_is_refused() {
    let server = with("[policy]\njunk = 5.0\nreject = 15.0\n", |home| {
        guest(
            home,
            "guest",
            r#"rcpt = ["for bob@example.test score MUCH 9 x", "score SOME 6 x"]"#,
        );
    })
    .await;
    let mut mta = connect(&server).await;
    mta.session().await;
    let outcome = mta.message("Q1", ALICE, MESSAGE).await;
    assert_eq!(outcome.message, format!("X-Spam-Flag: YES\r\n{MESSAGE}"));
    let outcome = mta.message("Q2", &["bob@example.test"], MESSAGE).await;
    assert_eq!(outcome.answer, 'y');
    assert!(
        outcome.text.starts_with("550 5.7.1 Refused as"),
        "{}",
        outcome.text
    );
}

#[tokio::test]
async fn an_edit_for_some_recipients_is_made_only_if_they_are_all() {
    let server = scripted(r#"message = ["add-for alice@example.test X-Alice 1", "add X-All 1", "file Lists", "remove X-None"]"#).await;
    let mut mta = connect(&server).await;
    mta.session().await;
    let outcome = mta.message("Q1", ALICE, MESSAGE).await;
    assert!(outcome.message.contains("X-Alice: 1\r\nX-All: 1\r\n\r\n"));
    let outcome = mta
        .message("Q2", &["alice@example.test", "bob@example.test"], MESSAGE)
        .await;
    assert!(
        outcome
            .message
            .contains("Subject: hello\r\nX-All: 1\r\n\r\n")
    );
    let turns = journal(&server, "Q2").await.turns;
    let refused: Vec<_> = turns.into_iter().flat_map(|turn| turn.refused).collect();
    assert!(
        refused
            .iter()
            .any(|why| why.contains("one message for all")),
        "{refused:?}"
    );
    assert!(
        refused
            .iter()
            .any(|why| why.contains("the mailbox is the affair")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn what_an_old_mail_server_cannot_do_is_journalled_and_never_let_through() {
    // Version 2 without quarantine.
    let server = scripted(r#"message = ["quarantine suspicious"]"#).await;
    let mut mta = Mta::offering(server.address(Protocol::Milter), (2, 0x1f, 0x7f)).await;
    mta.session().await;
    let outcome = mta.message("Q1", ALICE, MESSAGE).await;
    assert_eq!(outcome.answer, 'y');
    assert!(outcome.text.starts_with("451 4.7.1"), "{}", outcome.text);
    let journal = journal(&server, "Q1").await;
    assert!(matches!(journal.verdict, Verdict::Tempfail(_)));

    let server = scripted(r#"message = ["add X-A 1", "remove Subject"]"#).await;
    let mut mta = Mta::offering(server.address(Protocol::Milter), (2, 0x01, 0x7f)).await;
    mta.session().await;
    let outcome = mta.message("Q2", ALICE, MESSAGE).await;
    assert!(
        outcome.message.contains("Subject: hello\r\nX-A: 1\r\n"),
        "{}",
        outcome.message
    );
    let journal = super::journal(&server, "Q2").await;
    let refused = &journal.turns.last().unwrap().refused;
    assert_eq!(
        refused,
        &["the mail server does not let a filter change or remove header fields"]
    );
}

#[tokio::test]
async fn many_messages_and_sessions_share_a_connection() {
    let server = scripted(r#"message = ["add X-A 1"]"#).await;
    let mut mta = connect(&server).await;
    for session in 0..3 {
        mta.session().await;
        for number in 0..10 {
            let outcome = mta
                .message(&format!("Q{session}.{number}"), ALICE, MESSAGE)
                .await;
            assert_eq!(outcome.changes, "h");
            // Begun and given up, at each point.
            mta.envelope(ALICE).await;
            if number % 2 == 0 {
                mta.ask(b'L', b"Subject\0 x\0").await;
            }
            if number % 3 == 0 {
                mta.ask(b'B', b"half").await;
            }
            mta.send(b'A', b"").await;
        }
        mta.send(b'K', b"").await;
    }
    mta.send(b'Q', b"").await;
    assert_eq!(mta.packet().await, None);
}

#[tokio::test]
async fn a_reload_takes_effect_with_the_next_message_of_a_connection() {
    let server = scripted(r#"message = ["add X-Version 1"]"#).await;
    let mut generations = server.app.generations();
    let mut mta = connect(&server).await;
    mta.session().await;
    mta.envelope(ALICE).await;
    generations.mark_unchanged();
    guest(
        server.home.path(),
        "guest",
        r#"message = ["add X-Version 2"]"#,
    );
    soon(generations.changed()).await.unwrap();
    // This one began before.
    let outcome = mta.content("Q1", MESSAGE).await;
    assert!(
        outcome.message.contains("X-Version: 1\r\n"),
        "{}",
        outcome.message
    );
    let outcome = mta.message("Q2", ALICE, MESSAGE).await;
    assert!(
        outcome.message.contains("X-Version: 2\r\n"),
        "{}",
        outcome.message
    );
}

#[tokio::test]
async fn filters_that_want_more_than_was_agreed_on_come_with_the_next_connection() {
    let server = with("", |home| shipped(home, "rewrite")).await;
    let mut generations = server.app.generations();
    let mut mta = connect(&server).await;
    mta.session().await;
    generations.mark_unchanged();
    guest(
        server.home.path(),
        "reader",
        r#"message = ["add X-Size known"]"#,
    );
    soon(generations.changed()).await.unwrap();
    let outcome = mta.message("Q1", ALICE, MESSAGE).await;
    assert!(outcome.message.contains("X-Spam-Score"));
    assert!(!outcome.message.contains("X-Size"));
    let mut mta = connect(&server).await;
    mta.session().await;
    let outcome = mta.message("Q2", ALICE, MESSAGE).await;
    assert!(
        outcome.message.contains("X-Size: known\r\n"),
        "{}",
        outcome.message
    );
}

#[tokio::test]
async fn senders_are_checked_with_what_the_mail_server_knows() {
    let more =
        "[dns]\nservers = [\"127.0.0.1:9\"]\ntimeout-ms = 10\n[authentication]\nenabled = true\n";
    let server = with(more, |_| ()).await;
    let mut mta = connect(&server).await;
    assert_eq!(mta.steps & 0x30, 0, "a signature covers the body");
    mta.session().await;
    let forged = format!(
        "Authentication-Results: mx.example.test; dkim=pass\r\nAuthentication-Results: other.test; dkim=pass\r\n{MESSAGE}"
    );
    let outcome = mta.message("Q1", ALICE, &forged).await;
    let (first, rest) = outcome
        .message
        .split_once("\r\nAuthentication-Results: other")
        .unwrap();
    assert!(
        first.starts_with("Authentication-Results: mx.example.test; iprev="),
        "{first}"
    );
    assert!(
        first.contains("spf=temperror") && !first.contains("dkim=pass"),
        "{first}"
    );
    assert!(rest.ends_with(MESSAGE));
    assert!(
        outcome.changes == "mi" || outcome.changes == "im",
        "{}",
        outcome.changes
    );

    // Where nobody is checked, what has our name on it may be another filter's.
    let server = with("", |_| ()).await;
    let mut mta = connect(&server).await;
    mta.session().await;
    let outcome = mta.message("Q1", ALICE, &forged).await;
    assert_eq!(outcome.changes, "");
}
