//! Sendmail asks us.

use super::postfix_rig::without_trace;
use super::sendmail_rig::Sendmail;
use super::*;
use crate::support::{ALICE, BOB};
use wasmilter::mail::Disposition;

/// As in docs/postfix.md.
const TIMES: &str = "F=T, T=C:1m;S:10s;R:1m;E:5m";

fn milter(server: &Server) -> String {
    let port = server.address(Protocol::Milter).port();
    format!("S=inet:{port}@127.0.0.1, {TIMES}")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_untouched_message_arrives_as_it_was_sent_and_is_found_by_its_queue_id() {
    if Sendmail::program().is_none() {
        return;
    }
    // It asks no socket below a directory that anybody may write to, such as /tmp.
    let home = tempfile::tempdir_in("/run").unwrap();
    let socket = home.path().join("milter.sock");
    let socket = socket.display();
    let listener = format!("[[listener]]\nprotocol = \"milter\"\naddress = \"unix:{socket}\"\n");
    let server = Server::with(&format!("{listener}{PLUGINS}"), |home| {
        guest(home, "guest", r#"message = ["session", "log seen"]"#);
    })
    .await;
    let Some(sendmail) = Sendmail::start(&format!("S=local:{socket}, {TIMES}")).await else {
        return;
    };
    let odd = "X-No-Space:a\r\nX-Two:  b\r\nX-Folded: one\r\n\t folded\r\n  twice\r\nX-Dup: 2\r\nX-Dup: 1\r\nSubject: \u{fc}ber\r\nMessage-ID: <1@client.test>\r\nDate: Wed, 25 Nov 2026 12:00:00 +0000\r\nFrom: <sender@client.example>\r\n\r\n.dot\r\n\r\nTrailing \r\n\u{e4}\r\n";
    let id = sendmail.taken(ALICE, odd).await;
    let delivered = sendmail.delivered(ALICE, 1).await.remove(0);
    assert_eq!(without_trace(&delivered), odd);

    let journal = journal(&server, &id).await;
    assert_eq!(journal.queue_id.as_deref(), Some(&id[..]));
    assert_eq!(journal.session.server_name, "mta.example.test");
    assert_eq!(journal.session.helo, "client.example");
    assert_eq!(
        journal.session.client_address,
        Some("127.0.0.1".parse().unwrap())
    );
    assert_eq!(journal.envelope.sender.to_string(), "sender@client.example");
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_are_made() {
    let server = scripted(
        r#"
        message = [
            "add X-End 1", "insert X-Top", "change Subject changed", "remove X-Dup", "replace another body",
            "sender other@client.test", "add-recipient bob@example.test", "remove-recipient alice@example.test",
        ]
        "#,
    )
    .await;
    let Some(sendmail) = Sendmail::start(&milter(&server)).await else {
        return;
    };
    let message = format!("X-Dup: 1\r\nX-Dup: 2\r\n{MESSAGE}");
    sendmail.taken(ALICE, &message).await;
    let delivered = sendmail.delivered(BOB, 1).await.remove(0);
    let (header, body) = delivered.split_once("\r\n\r\n").unwrap();
    assert!(
        header.starts_with("X-Top: inserted\r\nReceived: from client.example"),
        "{delivered}"
    );
    assert!(!header.contains("X-Dup: 1"), "{delivered}");
    assert!(header.contains("X-Dup: 2\r\n"), "{delivered}");
    assert!(header.contains("Subject: changed\r\n"), "{delivered}");
    assert!(header.contains("X-End: 1"), "{delivered}");
    assert_eq!(body.trim_end(), "another body");
    let sender = "MAIL From:<other@client.test>";
    assert!(
        sendmail.traffic().contains(sender),
        "{}",
        sendmail.traffic()
    );
    assert!(sendmail.delivered(ALICE, 0).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn verdicts_reach_the_client_and_its_queue() {
    for (step, code, quarantined) in [
        ("reject 554 5 never", 554, 0),
        ("tempfail 451 4 later", 451, 0),
        ("discard", 250, 0),
        ("quarantine look at it", 250, 1),
    ] {
        let server = scripted(&format!("message = [\"{step}\"]")).await;
        let Some(sendmail) = Sendmail::start(&milter(&server)).await else {
            return;
        };
        let (found, text) = sendmail.send(ALICE, MESSAGE).await;
        assert_eq!(found, code, "{step}: {text}");
        if code > 400 {
            let class = code / 100;
            let text_of = step.rsplit(' ').next().unwrap();
            assert_eq!(text.trim(), format!("{class}.7.1 {text_of}"));
        }
        assert_eq!(sendmail.queued("hf"), quarantined, "{step}");
        soon(async {
            while sendmail.queued("qf") > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        assert!(sendmail.delivered(ALICE, 0).await.is_empty(), "{step}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipient_is_refused() {
    let server = scripted(r#"rcpt = ["for bob@example.test reject 550 5 100% no"]"#).await;
    let Some(sendmail) = Sendmail::start(&milter(&server)).await else {
        return;
    };
    let (code, text) = sendmail.send("bob@example.test", MESSAGE).await;
    assert_eq!(
        (code, text.trim()),
        (550, "5.7.1 <bob@example.test>... 100% no")
    );
    let id = sendmail.taken(ALICE, MESSAGE).await;
    assert!(matches!(
        journal(&server, &id).await.dispositions[0].disposition,
        Disposition::Passed { .. }
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_we_are_gone_its_clients_come_again() {
    let server = scripted(r#"message = ["log seen"]"#).await;
    let Some(sendmail) = Sendmail::start(&milter(&server)).await else {
        return;
    };
    sendmail.taken(ALICE, MESSAGE).await;
    server.app.stop().await;
    let (code, text) = sendmail.send(ALICE, MESSAGE).await;
    assert_eq!(code, 451, "{text}");
    assert_eq!(sendmail.delivered(ALICE, 1).await.len(), 1);
}
