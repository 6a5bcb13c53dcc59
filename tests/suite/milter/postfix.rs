//! Postfix asks us.

use super::native::start;
use super::postfix_rig::{BOTH, Postfix, without_trace};
use super::*;
use crate::support::dns::{Dns, Zone};
use crate::support::{ALICE, Server};
use crate::verify::checks::{Keys, message as from};
use std::os::unix::fs::PermissionsExt;
use wasmilter::mail::{Disposition, Edit, FieldName, FieldValue, HeaderEdit, Line};

fn milter(server: &Server) -> String {
    format!("inet:{}", server.address(Protocol::Milter))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_untouched_message_arrives_as_it_was_sent_and_can_be_explained() {
    let server = scripted(r#"message = ["session", "log seen"]"#).await;
    let Some(postfix) = Postfix::start(&milter(&server), "").await else {
        return;
    };
    let odd = "X-No-Space:a\r\nX-Two:  b\r\nX-Folded:\r\n\t folded\r\n  twice\r\nX-Empty:\r\nX-Dup: 2\r\nX-Dup: 1\r\nSubject: \u{fc}ber\r\n\r\n.dot\r\n\r\nTrailing \r\n\u{e4}\r\n";
    let id = postfix.taken(ALICE, odd).await;
    let delivered = postfix.delivered(ALICE, 1).await;
    assert_eq!(without_trace(&delivered[0]), odd);

    let journal = journal(&server, &id).await;
    assert_eq!(journal.queue_id.as_deref(), Some(&id[..]));
    assert_eq!(journal.size, odd.len() as u64);
    assert_eq!(journal.session.server_name, "mx.example.test");
    assert_eq!(journal.session.helo, "client.example");
    assert_eq!(
        journal.session.client_address,
        Some("127.0.0.1".parse().unwrap())
    );
    assert_eq!(journal.envelope.sender.to_string(), "sender@client.example");
    let config = server.home.path().join("wasmilter.toml");
    let explained =
        crate::support::process::run(&["explain", &id, "--config", config.to_str().unwrap()], "");
    let explained = String::from_utf8(explained.stdout).unwrap();
    assert!(explained.contains(&format!("queue id {id}")), "{explained}");
    assert!(
        explained.contains("passed to the mail server that asked"),
        "{explained}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn header_edits_land_where_they_belong() {
    let name = |name: &str| FieldName::new(name).unwrap();
    let line = |text: &str| FieldValue::from(Line::new(text).unwrap());
    let insert = |at, field: &str| {
        Edit::Header(HeaderEdit::Insert {
            at,
            name: name(field),
            value: line("inserted"),
        })
    };
    let edits = vec![
        insert(2, "X-Third"),
        insert(0, "X-Top"),
        Edit::Header(HeaderEdit::Change {
            name: name("Subject"),
            nth: 1,
            value: line(&format!("Gr\u{fc}\u{df}e {}", "long ".repeat(30))),
            was: String::new(),
        }),
        Edit::Header(HeaderEdit::Remove {
            name: name("X-Dup"),
            nth: 1,
            was: String::new(),
        }),
        Edit::Header(HeaderEdit::Remove {
            name: name("Received"),
            nth: 1,
            was: String::new(),
        }),
        Edit::Header(HeaderEdit::Add {
            name: name("X-End"),
            value: line("added"),
        }),
    ];
    let running = start(edits, |_| ()).await;
    let Some(postfix) = Postfix::start(&format!("inet:{}", running.address), "").await else {
        return;
    };
    let sent =
        "X-First: 1\r\nX-Dup: 1\r\nSubject: s\r\nX-Dup: 2\r\nReceived: earlier\r\n\r\nbody\r\n";
    postfix.taken(ALICE, sent).await;
    let delivered = postfix.delivered(ALICE, 1).await.remove(0);
    assert!(
        delivered.starts_with("X-Top: inserted\r\nReceived: from client.example"),
        "{delivered}"
    );
    let header = wasmilter::mail::Header::parse(&without_trace(&delivered).into());
    let fields: Vec<_> = header
        .fields()
        .iter()
        .map(|field| format!("{}: {}", field.name(), field.text()))
        .collect();
    let subject = format!("Subject: Gr\u{fc}\u{df}e {}", "long ".repeat(30));
    assert_eq!(
        fields,
        [
            "X-Top: inserted",
            "X-First: 1",
            "X-Third: inserted",
            subject.trim_end(),
            "X-Dup: 2",
            "X-End: added"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn verdicts_reach_the_client() {
    let server = scripted(
        r#"
        rcpt = [
            "for bob@example.test reject 550 5 100% no",
            "for carol@example.test score SOME 6 x",
            "for dora@example.test score MUCH 60 x",
        ]
        "#,
    )
    .await;
    let Some(postfix) = Postfix::start(&milter(&server), "").await else {
        return;
    };
    let (code, text) = postfix.send("bob@example.test", MESSAGE).await;
    assert_eq!((code, text.trim()), (550, "5.7.1 100% no"));
    let (code, text) = postfix.send("dora@example.test", MESSAGE).await;
    assert_eq!(code, 550);
    assert!(text.contains("judged to be spam (score 60.0)"), "{text}");
    let id = postfix.taken("carol@example.test", MESSAGE).await;
    let journal = journal(&server, &id).await;
    assert!(matches!(
        journal.dispositions[0].disposition,
        Disposition::Passed { .. }
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_discarded_and_held_messages_do_not_arrive() {
    for (step, code, held) in [
        ("reject 554 5 never", 554, 0),
        ("tempfail 451 4 later", 451, 0),
        ("discard", 250, 0),
        ("quarantine look at it", 250, 1),
    ] {
        let server = scripted(&format!("message = [\"{step}\"]")).await;
        let Some(postfix) = Postfix::start(&milter(&server), "").await else {
            return;
        };
        let (found, text) = postfix.send(ALICE, MESSAGE).await;
        assert_eq!(found, code, "{step}: {text}");
        if code > 400 {
            let (code, rest) = step.split_once(' ').unwrap().1.split_once(' ').unwrap();
            let (class, text_of) = rest.split_once(' ').unwrap();
            assert_eq!(text.trim(), format!("{class}.7.1 {text_of}"), "{code}");
        }
        assert_eq!(postfix.held(), held, "{step}");
        soon(async {
            while postfix.queued() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        assert!(postfix.delivered(ALICE, 0).await.is_empty(), "{step}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_survives_being_tagged_by_way_of_a_local_socket() {
    let home = tempfile::tempdir().unwrap();
    std::fs::set_permissions(home.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let socket = home.path().join("milter.sock");
    let listener = format!(
        "[[listener]]\nprotocol = \"milter\"\naddress = \"unix:{}\"\nowner = \"postfix\"\nmode = \"0600\"\n{PLUGINS}",
        socket.display()
    );
    let keys = Keys::of("author.test");
    let dns = Dns::start(keys.publish(Zone::default())).await;
    if crate::support::program("postfix").is_none() {
        return;
    }
    let server = Server::with(&dns.config(&listener), |home| {
        std::fs::create_dir_all(home.join("plugins")).unwrap();
        guest(
            home,
            "guest",
            r#"message = ["add X-Checked yes", "insert X-Top", "score SOME 6 x"]"#,
        );
    })
    .await;
    let Some(postfix) = Postfix::start(&format!("unix:{}", socket.display()), "").await else {
        return;
    };
    let signed = keys.sign(&from("a@author.test"));
    let id = postfix.taken(ALICE, &signed).await;
    let delivered = postfix.delivered(ALICE, 1).await.remove(0);
    let (top, rest) = delivered.split_once("Received: from ").unwrap();
    assert!(
        top.starts_with("Authentication-Results: mx.example.test; iprev="),
        "{top}"
    );
    assert!(
        top.ends_with("X-Spam-Flag: YES\r\nX-Top: inserted\r\n"),
        "{top}"
    );
    assert!(rest.contains("X-Checked: yes\r\n\r\n"), "{rest}");
    let dkim = |journal: &Journal| {
        let results = journal.authentication.iter();
        let dkim = results.filter(|result| result.method == "dkim");
        dkim.map(|result| result.outcome.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(dkim(&journal(&server, &id).await), ["pass", "pass"]);

    // Whoever checks it further down finds the same.
    let next = Server::with(&dns.config(""), |_| ()).await;
    let mut sender = crate::support::process::Sender::connect(next.smtp()).unwrap();
    let (code, reply) = sender.send_octets(ALICE, delivered.as_bytes()).unwrap();
    assert_eq!(code, 250, "{reply}");
    let id = reply.trim().rsplit(' ').next().unwrap();
    let journal = next.app.store().journal(id).await.unwrap().unwrap();
    assert_eq!(dkim(&journal), ["pass", "pass"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_is_the_one_that_postfix_knows() {
    let server = scripted(r#"message = ["session"]"#).await;
    let Some(postfix) = Postfix::start(&milter(&server), "").await else {
        return;
    };
    let address = postfix.address;
    let sent = tokio::task::spawn_blocking(move || {
        let mut sender = crate::support::process::Sender::connect(address).unwrap();
        let said =
            sender.command("XCLIENT ADDR=192.0.2.7 NAME=mail.client.test LOGIN=carol PROTO=ESMTP");
        assert_eq!(said.unwrap(), 220);
        sender.command("EHLO helo.client.test").unwrap();
        sender.send_octets(ALICE, MESSAGE.as_bytes()).unwrap()
    });
    let (code, reply) = soon(sent).await.unwrap();
    assert_eq!(code, 250, "{reply}");
    let id = reply.trim().rsplit(' ').next().unwrap();
    let session = journal(&server, id).await.session;
    assert_eq!(session.client_address, Some("192.0.2.7".parse().unwrap()));
    assert_eq!(session.client_name.as_deref(), Some("mail.client.test"));
    assert_eq!(session.authenticated.as_deref(), Some("carol"));
    assert_eq!(
        (&session.helo[..], &session.protocol[..]),
        ("helo.client.test", "ESMTPA")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn each_recipient_is_asked_about() {
    let server = scripted(r#"rcpt = ["argument"]"#).await;
    let Some(postfix) = Postfix::start(&milter(&server), "").await else {
        return;
    };
    let address = postfix.address;
    let sent = tokio::task::spawn_blocking(move || {
        let mut sender = crate::support::process::Sender::connect(address).unwrap();
        sender.command("MAIL FROM:<> BODY=8BITMIME").unwrap();
        for to in BOTH {
            assert_eq!(sender.command(&format!("RCPT TO:<{to}>")).unwrap(), 250);
        }
        assert_eq!(sender.command("DATA").unwrap(), 354);
        sender.command("Subject: x\r\n\r\nbody\r\n.").unwrap()
    });
    assert_eq!(soon(sent).await.unwrap(), 250);
    for to in BOTH {
        postfix.delivered(to, 1).await;
    }
}
