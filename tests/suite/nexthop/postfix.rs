//! Behind Postfix and in front of it: as its content filter and as its proxy filter, with the lines of docs/content-filter.md.

use super::*;
use crate::milter::addresses::ODD;
use crate::milter::postfix_rig::Postfix;
use crate::support::free;

/// The services that the page names; `reinject` is where messages come back.
pub fn services(reinject: SocketAddr, more: &str) -> String {
    format!(
        "scan unix - - n - 10 smtp\n\
         \x20 -o smtp_send_xforward_command=yes\n\
         \x20 -o disable_dns_lookups=yes\n\
         {reinject} inet n - n - - smtpd\n\
         \x20 -o content_filter=\n\
         \x20 -o smtpd_proxy_filter=\n\
         \x20 -o receive_override_options=no_unknown_recipient_checks,no_header_body_checks,no_milters\n\
         \x20 -o smtpd_authorized_xforward_hosts=127.0.0.0/8\n\
         \x20 -o smtpd_client_restrictions=\n\
         \x20 -o smtpd_helo_restrictions=\n\
         \x20 -o smtpd_sender_restrictions=\n\
         \x20 -o smtpd_relay_restrictions=\n\
         \x20 -o smtpd_recipient_restrictions=check_recipient_access,inline:{{nobody@example.test=REJECT}},permit_mynetworks,reject\n\
         {more}"
    )
}

async fn behind(way: &str, script: &str) -> Option<(Relay, Postfix)> {
    let reinject = free();
    let relay = Relay::start("smtp", reinject, "dsn = true", script).await;
    let way = way.replace("FILTER", &relay.address().to_string());
    let postfix = Postfix::with_services("", &way, &services(reinject, "")).await?;
    Some((relay, postfix))
}

const CONTENT_FILTER: &str =
    "content_filter = scan:FILTER\nreceive_override_options = no_address_mappings\n";
const PROXY: &str = "smtpd_proxy_filter = FILTER\n";

const EIGHT_BIT: &str =
    "From: a@client.test\r\nSubject: \u{fc}ber\r\nX-Folded:\r\n\t folded\r\n\r\n.dot\r\n\u{e4}\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn as_a_content_filter() {
    let Some((relay, postfix)) = behind(
        CONTENT_FILTER,
        r#"message = ["session", "add X-Filtered yes"]"#,
    )
    .await
    else {
        return;
    };
    let queue_id = postfix.taken(ALICE, EIGHT_BIT).await;
    let delivered = postfix.delivered(ALICE, 1).await.remove(0);
    let (_, ours) = delivered.split_once("Received: from ").unwrap();
    assert_eq!(ours.matches("(wasmilter)").count(), 1, "{delivered}");
    assert!(
        delivered.ends_with("X-Folded:\r\n\t folded\r\nX-Filtered: yes\r\n\r\n.dot\r\n\u{e4}\r\n"),
        "{delivered}"
    );
    let id = delivered
        .split("(wasmilter) with ")
        .nth(1)
        .unwrap()
        .split(" id ")
        .nth(1)
        .unwrap();
    let id = id
        .split(|c: char| c == ';' || c.is_whitespace())
        .next()
        .unwrap();
    let journal = relay.journal(id).await;
    // That of the client, not of Postfix.
    assert_eq!(journal.session.helo, "client.example");
    assert_eq!(relay.journal(&queue_id).await.id, journal.id);
    assert!(
        matches!(&journal.dispositions[0].disposition, Disposition::Relayed { reply, .. } if reply.contains("queued as"))
    );
    // Postfix says whose it was, and what we call it.
    let log = postfix.log();
    assert!(log.contains(&format!("orig_queue_id={id}")), "{log}");
}

/// What Postfix takes of strangers is not refused behind it.
#[tokio::test(flavor = "multi_thread")]
async fn what_postfix_takes_is_taken() {
    for way in [CONTENT_FILTER, PROXY] {
        let script = r#"message = ["session"]"#;
        let Some((_relay, postfix)) = behind(way, script).await else {
            return;
        };
        // Two domains it refuses itself.
        let odd = ODD.iter().filter(|(given, _)| *given != "a@b@c.test");
        let odd: Vec<_> = odd.collect();
        for (given, _) in &odd {
            let mut client = Client::silent(&Endpoint::Tcp(postfix.address)).await;
            client.reply().await;
            client
                .dialogue(&[
                    ("EHLO a,b", "250"),
                    (&format!("MAIL FROM:<{given}>"), "250"),
                    (&format!("RCPT TO:<{ALICE}>"), "250"),
                    ("DATA", "354"),
                    ("Subject: odd\r\n\r\nx\r\n.", "250"),
                ])
                .await;
        }
        let delivered = postfix.delivered(ALICE, odd.len()).await;
        assert_eq!(delivered.len(), odd.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_behind_the_queue_comes_back_as_a_bounce() {
    let Some((relay, postfix)) = behind(
        CONTENT_FILTER,
        r#"message = ["when casino reject 550 5 No"]"#,
    )
    .await
    else {
        return;
    };
    postfix.taken(ALICE, "Subject: casino\r\n\r\nx\r\n").await;
    until(|| postfix.log().contains("status=bounced")).await;
    assert!(postfix.log().contains("550 5.7.1 No"), "{}", postfix.log());
    postfix.taken(ALICE, "Subject: fine\r\n\r\nx\r\n").await;
    assert_eq!(postfix.delivered(ALICE, 1).await.len(), 1);
    drop(relay);
}

#[tokio::test(flavor = "multi_thread")]
async fn as_a_proxy_filter_the_client_hears_all_of_it() {
    let script = r#"message = ["when casino reject 550 5 No casino", "add X-Filtered yes"]"#;
    let Some((_relay, postfix)) = behind(PROXY, script).await else {
        return;
    };
    let (code, reply) = postfix.send(ALICE, EIGHT_BIT).await;
    assert_eq!(code, 250, "{reply}\n{}", postfix.log());
    assert!(
        reply.starts_with("2.0.0 Ok: ") && reply.contains(" queued as "),
        "{reply}"
    );
    let delivered = postfix.delivered(ALICE, 1).await.remove(0);
    assert!(delivered.contains("X-Filtered: yes\r\n"), "{delivered}");
    assert!(postfix.log().contains("orig_client="), "{}", postfix.log());
    let (code, reply) = postfix.send(ALICE, "Subject: casino\r\n\r\nx\r\n").await;
    assert_eq!(
        (code, &reply[..]),
        (550, "5.7.1 No casino"),
        "{}",
        postfix.log()
    );
    // The Postfix behind refuses this one, and the client hears it at RCPT.
    let (code, reply) = postfix.send("nobody@example.test", EIGHT_BIT).await;
    assert_eq!(code, 554, "{reply}");
    assert!(
        reply.contains("<nobody@example.test>: Recipient address rejected: Access denied"),
        "{reply}"
    );
}

/// More of them than the ten processes that services of Postfix's examples have.
#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_of_a_proxy_filter_stop_nobody() {
    for (way, refused) in [
        (PROXY.to_owned(), "554 5.7.1"),
        (
            format!("{PROXY}smtpd_proxy_options = speed_adjust\n"),
            "250",
        ),
    ] {
        let Some((_relay, postfix)) = behind(&way, "").await else {
            return;
        };
        let endpoint = Endpoint::Tcp(postfix.address);
        let mut clients = Vec::new();
        for _ in 0..11 {
            let mut client = Client::silent(&endpoint).await;
            soon(client.reply()).await;
            soon(client.dialogue(&[
                ("EHLO client.test", "250"),
                ("MAIL FROM:<a@client.test>", "250"),
                ("RCPT TO:<nobody@example.test>", refused),
                ("RSET", "250"),
                ("MAIL FROM:<a@client.test>", "250"),
                ("RCPT TO:<alice@example.test>", "250"),
            ]))
            .await;
            clients.push(client);
        }
        for client in &mut clients {
            soon(client.dialogue(&[("DATA", "354")])).await;
            client.write(stuffed(MESSAGE).as_bytes()).await;
            let reply = soon(client.reply()).await;
            assert!(reply.starts_with("250"), "{reply}\n{}", postfix.log());
        }
        assert_eq!(postfix.delivered(ALICE, 11).await.len(), 11);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_through_postfix_ends_with_a_bounce() {
    let reinject = free();
    let relay = Relay::with(
        &format!("{}[limits]\nown-hops = 3\n", config("smtp", reinject, "")),
        "",
    )
    .await;
    // The usual mistake: what comes back is filtered again.
    let services = services(reinject, "").replace("  -o content_filter=\n", "");
    let way = CONTENT_FILTER.replace("FILTER", &relay.address().to_string());
    let Some(postfix) = Postfix::with_services("", &way, &services).await else {
        return;
    };
    postfix.taken(ALICE, "Subject: round\r\n\r\nx\r\n").await;
    until(|| postfix.log().contains("554 5.4.6 Too many hops")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn xclient_makes_it_the_clients_session() {
    let Some(postfix) = Postfix::start("", "").await else {
        return;
    };
    let smtp = config("smtp", postfix.address, "client = \"xclient\"");
    let lmtp = smtp.replacen("\"smtp\"", "\"lmtp\"", 1);
    for (round, (config, told)) in [
        (&smtp, None),
        (&smtp, Some("HELO=real.client.test")),
        (&lmtp, None),
    ]
    .into_iter()
    .enumerate()
    {
        let relay = Relay::with(config, "").await;
        let mut client = relay.client().await;
        if let Some(told) = told {
            let told = format!("XFORWARD NAME=client.example ADDR=192.0.2.9 {told}");
            assert!(client.say(&told).await.starts_with("250"));
        }
        client
            .dialogue(&[
                ("MAIL FROM:<a@client.test>", "250"),
                ("RCPT TO:<alice@example.test>", "250"),
                ("DATA", "354"),
            ])
            .await;
        client.write(stuffed(MESSAGE).as_bytes()).await;
        let reply = soon(client.reply()).await;
        assert!(reply.starts_with("250"), "{reply}\n{}", postfix.log());
        let delivered = postfix.delivered(ALICE, round + 1).await;
        let from = match told {
            Some(_) => "Received: from real.client.test (client.example [192.0.2.9])",
            None => "Received: from client.test (unknown [127.0.0.1])",
        };
        let has = |message: &String| message.contains(from);
        assert!(delivered.iter().any(has), "{from}: {delivered:?}");
    }
}
