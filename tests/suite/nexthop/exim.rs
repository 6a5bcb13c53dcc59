//! In front of Exim's queue (its cutthrough delivery) and behind it, with the lines of docs/content-filter.md.

use super::exim_rig::{Exim, Lines};
use super::restart::prepared;
use super::*;
use crate::milter::postfix_rig::without_trace;
use crate::milter::restart::{Load, nothing_is_lost};
use crate::support::free;
use crate::support::page::blocks;
use crate::support::process::Process;

/// The page's lines; `reinject` is where messages come back.
fn lines(filter: SocketAddr, reinject: SocketAddr) -> Lines {
    let ports = |block: &String| {
        block
            .replace("10025", &filter.port().to_string())
            .replace("10026", &reinject.port().to_string())
    };
    let blocks = blocks("content-filter.md", "Exim, before its queue");
    let blocks: Vec<_> = blocks.iter().map(ports).collect();
    let [main, rcpt, ours, acls, routers, transports, retry] =
        <[String; 7]>::try_from(blocks).unwrap();
    Lines {
        main,
        // The first line of it.
        data: rcpt.split_inclusive('\n').next().unwrap().to_owned(),
        rcpt,
        ours,
        acls,
        routers,
        transports,
        retry,
    }
}

/// As the page says in words.
fn behind(before: Lines) -> Lines {
    let main = before
        .main
        .replace("chunking_advertise_hosts =\nprdr_enable = false\n", "")
        .replace("acl_smtp_predata = acl_check_predata\n", "");
    Lines {
        main,
        ours: String::from("  require verify = recipient"),
        acls: String::new(),
        routers: before.routers.replace("no_verify_sender", "no_verify"),
        ..before
    }
}

async fn through(script: &str, way: fn(Lines) -> Lines) -> Option<(Relay, Exim)> {
    Exim::program()?;
    let reinject = free();
    let relay = Relay::start("smtp", reinject, "", script).await;
    let exim = Exim::start(&way(lines(relay.address(), reinject))).await?;
    Some((relay, exim))
}

const ODD: &str = "X-No-Space:a\r\nX-Two:  b\r\nX-Folded: one\r\n\t folded\r\n  twice\r\nX-Dup: 2\r\nX-Dup: 1\r\nSubject: \u{fc}ber\r\nMessage-ID: <1@client.test>\r\nFrom: <sender@client.example>\r\n\r\n.dot\r\n\r\nTrailing \r\n\u{e4}\r\n";

/// A line longer than what Exim takes from one transport to another as it comes.
fn odd() -> String {
    format!("{ODD}{}\r\n", "long ".repeat(500))
}

/// What is left without the trace of Exim, of ours, of Exim; our id.
fn without_traces(delivered: &str) -> (String, String) {
    let (_, ours) = delivered.split_once("(wasmilter) with ").unwrap();
    let id = ours.split(" id ").nth(1).unwrap();
    let id = id.split(|c: char| c == ';' || c.is_whitespace()).next();
    let left = (0..3).fold(delivered.to_owned(), |left, _| without_trace(&left));
    assert!(!left.contains("Received: "), "{delivered}");
    (left, id.unwrap().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_queue_of_exim_the_client_hears_the_filters() {
    let script = r#"
        message = ["when casino reject 550 5 No casino", "when later tempfail 451 4 Not now", "when edit add X-Filtered yes"]
        rcpt = ["for bob@example.test reject 550 5 Not for bob"]
    "#;
    let Some((relay, exim)) = through(script, |before| before).await else {
        return;
    };
    let id = exim.taken(ALICE, &odd()).await;
    // It is with the Exim behind: the one in front has no copy.
    assert!(exim.log().contains(&format!("{id} >> {ALICE}")));
    let (left, own) = without_traces(&exim.delivered(ALICE, 1).await[0]);
    assert_eq!(left, odd());
    let journal = relay.journal(&own).await;
    assert_eq!(journal.session.helo, "client.example");
    assert_eq!(journal.envelope.sender.to_string(), "sender@client.example");
    assert!(
        matches!(&journal.dispositions[0].disposition, Disposition::Relayed { reply, .. } if reply.contains("OK id="))
    );
    exim.taken(ALICE, "Subject: edit\r\n\r\nx\r\n").await;
    let (left, _) = without_traces(&exim.delivered(ALICE, 2).await[1]);
    assert_eq!(left, "Subject: edit\r\nX-Filtered: yes\r\n\r\nx\r\n");

    for (to, subject, code, reply) in [
        (ALICE, "casino", 550, "5.7.1 No casino"),
        (ALICE, "later", 451, "4.7.1 Not now"),
        (BOB, "fine", 550, "5.7.1 Not for bob"),
        // Those behind refuse this one.
        ("nobody@example.test", "fine", 550, "there is nobody"),
    ] {
        let (found, text) = exim
            .send(to, &format!("Subject: {subject}\r\n\r\nx\r\n"))
            .await;
        assert_eq!(found, code, "{to} {subject}: {text}\n{}", exim.log());
        assert!(text.ends_with(reply), "{text}");
    }
    // Nothing is left that would come back as a bounce.
    until(|| exim.queued() == 0).await;
    assert_eq!(exim.delivered(ALICE, 2).await.len(), 2);
    assert!(exim.delivered(BOB, 0).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_queue_of_exim_the_refusal_of_one_recipient_makes_no_bounce() {
    let script = r#"message = ["when casino reject 550 5 No casino"]"#;
    let Some((_relay, exim)) = through(script, |before| before).await else {
        return;
    };
    for (subject, recipients, reply) in [
        ("fine", vec![ALICE, BOB], "250 OK id="),
        ("casino", vec![ALICE, BOB], "550 5.7.1 No casino"),
        (
            "casino",
            vec![ALICE, "nobody@example.test"],
            "451 Not all recipients were taken",
        ),
        (
            "fine",
            vec!["nobody@example.test", ALICE],
            "451 Not all recipients were taken",
        ),
        // As the client does then.
        ("fine", vec![ALICE], "250 OK id="),
    ] {
        let mut client = Client::silent(&Endpoint::Tcp(exim.address)).await;
        client.reply().await;
        assert!(client.say("EHLO client.example").await.starts_with("250"));
        client.say("MAIL FROM:<sender@client.example>").await;
        for to in recipients {
            let code = if to.starts_with("nobody") {
                "550"
            } else {
                "250"
            };
            let said = client.say(&format!("RCPT TO:<{to}>")).await;
            assert!(said.starts_with(code), "{to}: {said}");
        }
        let mut said = client.say("DATA").await;
        if said.starts_with("354") {
            let message = format!("Subject: {subject}\r\n\r\nx\r\n.\r\n");
            client.write(message.as_bytes()).await;
            said = client.reply().await;
        }
        assert!(said.starts_with(reply), "{said}\n{}", exim.log());
    }
    until(|| exim.queued() == 0).await;
    assert_eq!(exim.delivered(ALICE, 2).await.len(), 2);
    assert_eq!(exim.delivered(BOB, 1).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_the_queue_of_exim_what_is_refused_is_a_bounce() {
    let script =
        r#"message = ["when casino reject 550 5 No casino", "when edit add X-Filtered yes"]"#;
    let Some((relay, exim)) = through(script, behind).await else {
        return;
    };
    exim.taken(ALICE, &odd()).await;
    let (left, own) = without_traces(&exim.delivered(ALICE, 1).await[0]);
    assert_eq!(left, odd());
    assert_eq!(relay.journal(&own).await.session.helo, "client.example");
    exim.taken(ALICE, "Subject: edit\r\n\r\nx\r\n").await;
    let (left, _) = without_traces(&exim.delivered(ALICE, 2).await[1]);
    assert_eq!(left, "Subject: edit\r\nX-Filtered: yes\r\n\r\nx\r\n");
    // Whom it does not know it refuses itself.
    let (code, _) = exim.send("nobody@example.test", ODD).await;
    assert_eq!(code, 550);
    exim.taken(ALICE, "Subject: casino\r\n\r\nx\r\n").await;
    let bounce = exim.delivered(BOB, 1).await.remove(0);
    assert!(bounce.contains("550 5.7.1 No casino"), "{bounce}");
    // Which is no client's, and was not filtered.
    assert!(!bounce.contains("(wasmilter)"), "{bounce}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_we_are_gone_exim_has_clients_come_again_or_keeps_their_mail() {
    if Exim::program().is_none() {
        return;
    }
    for way in [|before: Lines| before, behind] {
        let home = tempfile::tempdir().unwrap();
        let (at, reinject) = (free(), free());
        let mut lines = way(lines(at, reinject));
        lines.retry = lines.retry.replace("1m", "1s");
        let waits = lines.acls.is_empty();
        let Some(exim) = Exim::start(&lines).await else {
            return;
        };
        let (code, text) = exim.send(ALICE, MESSAGE).await;
        if waits {
            assert_eq!(code, 250, "{text}");
            until(|| exim.log().contains("Connection refused")).await;
        } else {
            assert_eq!(
                (code, &text[..]),
                (451, "Could not complete recipient verify callout")
            );
        }
        assert_eq!(exim.queued(), usize::from(waits));
        let _server = Process::serve(&prepared(home.path(), at, reinject), 4);
        if !waits {
            exim.taken(ALICE, MESSAGE).await;
        }
        let delivered = exim.delivered(ALICE, 1).await;
        assert!(delivered[0].contains("X-Filtered: yes\r\n"));
        until(|| exim.queued() == 0).await;
        assert_eq!(exim.delivered(ALICE, 1).await.len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_queue_of_exim_nothing_is_lost_when_we_are_killed_under_load() {
    if Exim::program().is_none() {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let (at, reinject) = (free(), free());
    let mut lines = lines(at, reinject);
    lines.retry = lines.retry.replace("1m", "1s");
    let Some(exim) = Exim::start(&lines).await else {
        return;
    };
    let file = prepared(home.path(), at, reinject);
    let mut server = Process::serve(&file, 4);
    let (load, senders) = Load::start(exim.address);
    for stop in [Process::kill, |server: Process| {
        assert!(server.terminate().success());
    }] {
        load.acknowledges(20).await;
        stop(server);
        // Nobody is there.
        load.defers().await;
        server = Process::serve(&file, 4);
    }
    load.acknowledges(20).await;
    let acknowledged = load.end(senders);
    // What lost us between RCPT and DATA waits there and is handed over.
    until(|| exim.queued() == 0).await;
    let delivered = exim.delivered(ALICE, acknowledged.len()).await;
    nothing_is_lost(&acknowledged, &delivered, &exim.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_through_exim_ends_with_a_bounce() {
    if Exim::program().is_none() {
        return;
    }
    let reinject = free();
    let config = format!("{}[limits]\nown-hops = 3\n", config("smtp", reinject, ""));
    let relay = Relay::with(&config, "").await;
    let mut lines = behind(lines(relay.address(), reinject));
    // The usual mistake: what comes back is filtered again.
    lines.routers = lines.routers.replace(&reinject.port().to_string(), "1");
    let Some(exim) = Exim::start(&lines).await else {
        return;
    };
    exim.taken(ALICE, MESSAGE).await;
    let bounce = exim.delivered(BOB, 1).await.remove(0);
    assert!(bounce.contains("554 5.4.6 Too many hops"), "{bounce}");
}
