//! What is said of a message and its client goes on with it: 8-bit and binary bodies, SMTPUTF8, DSN, XFORWARD; TLS on the way.

use super::*;
use crate::milter::addresses::ODD;
use crate::support;

const ALL: &str = "250-next.test\r\n250-SIZE 100000\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250-CHUNKING\r\n250 BINARYMIME\r\n";

#[tokio::test]
async fn parameters_go_on() {
    let hop = Hop::start(&[("EHLO", Say::Text(ALL))]).await;
    let relay = Relay::start("smtp", hop.address, "dsn = true", "").await;
    let mut client = Client::silent(&relay.listener).await;
    client.reply().await;
    assert!(client.say("EHLO client.test").await.contains("250-DSN\n"));
    client
        .dialogue(&[
            (
                "MAIL FROM:<j\u{fc}rgen@client.test> BODY=BINARYMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb",
                "250",
            ),
            (
                "RCPT TO:<alice@example.test> NOTIFY=NEVER ORCPT=rfc822;a@example.test",
                "250",
            ),
        ])
        .await;
    let message = b"Subject: x\r\n\r\n\0\r.\n.\r\n\xff";
    client
        .write(format!("BDAT {} LAST\r\n", message.len()).as_bytes())
        .await;
    client.write(message).await;
    assert_eq!(client.reply().await, "250 2.0.0 taken as 17");
    assert!(
        hop.told(
            "MAIL FROM:<j\u{fc}rgen@client.test> BODY=BINARYMIME SMTPUTF8 RET=HDRS ENVID=a+2Bb"
        )
    );
    assert!(hop.told("RCPT TO:<alice@example.test> NOTIFY=NEVER ORCPT=rfc822;a@example.test"));
    let seen = hop.seen();
    assert!(seen.messages[0].ends_with(message), "{:?}", seen.messages);
}

#[tokio::test]
async fn addresses_that_a_mail_server_of_ours_has_taken_go_on() {
    let hop = Hop::start(&[]).await;
    let relay = Relay::start("smtp", hop.address, "", "").await;
    for (given, read) in ODD {
        let mut client = relay.client().await;
        client
            .dialogue(&[
                (&format!("MAIL FROM:<{given}>"), "250"),
                (&format!("RCPT TO:<{given}>"), "250"),
            ])
            .await;
        assert!(hop.told(&format!("MAIL FROM:<{read}>")), "{given}");
        assert!(hop.told(&format!("RCPT TO:<{read}>")), "{given}");
    }
    let mut client = relay.client().await;
    client
        .dialogue(&[("MAIL FROM:<a@x y.test>", "501 5.1.7")])
        .await;
}

#[tokio::test]
async fn what_the_next_hop_cannot_take_is_refused_at_mail() {
    let bare: Vec<_> = (0..5)
        .map(|_| ("EHLO", Say::Text("250 next.test\r\n")))
        .collect();
    let hop = Hop::start(&bare).await;
    let relay = Relay::start("smtp", hop.address, "", "").await;
    for (mail, code) in [
        ("<a@client.test> BODY=BINARYMIME", "554 5.6.3"),
        ("<j\u{fc}rgen@client.test> SMTPUTF8", "553 5.6.7"),
        // The message may do without.
        ("<a@client.test> BODY=8BITMIME", "250"),
        ("<a@client.test> SMTPUTF8", "250"),
        ("<a@client.test> BODY=7BIT", "250"),
    ] {
        let mut client = relay.client().await;
        client
            .dialogue(&[(&format!("MAIL FROM:{mail}"), code)])
            .await;
    }
}

#[tokio::test]
async fn what_the_next_hop_lacks_is_left_out_where_the_message_does_without() {
    let ascii = "Subject: x\r\n\r\nHello.\r\n";
    let subject = "Subject: \u{fc}\r\n\r\nHello.\r\n";
    let body = "Subject: x\r\n\r\n\u{fc}\r\n";
    // As Dovecot's LMTP; as a server that knows nothing.
    let (dovecot, bare) = (
        "250-next.test\r\n250-8BITMIME\r\n250 CHUNKING\r\n",
        "250 next.test\r\n",
    );
    for (offered, message, reply, told) in [
        (dovecot, ascii, "250 2.0.0 taken as 17", " BODY=8BITMIME"),
        (dovecot, body, "250 2.0.0 taken as 17", " BODY=8BITMIME"),
        (
            dovecot,
            subject,
            "554 5.6.7 The next hop takes no internationalised mail (SMTPUTF8)",
            " BODY=8BITMIME",
        ),
        (bare, ascii, "250 2.0.0 taken as 17", ""),
        (
            bare,
            body,
            "554 5.6.3 The next hop takes no 8-bit messages (8BITMIME)",
            "",
        ),
    ] {
        for protocol in ["smtp", "lmtp"] {
            let hop =
                Hop::start(&[("EHLO", Say::Text(offered)), ("LHLO", Say::Text(offered))]).await;
            let relay = Relay::start(protocol, hop.address, "", "").await;
            let mut client = relay.client().await;
            client
                .dialogue(&[
                    ("MAIL FROM:<a@client.test> BODY=8BITMIME SMTPUTF8", "250"),
                    ("RCPT TO:<j\u{fc}rgen@example.test>", "553 5.6.7"),
                    ("RCPT TO:<alice@example.test>", "250"),
                    ("DATA", "354"),
                ])
                .await;
            client.write(stuffed(message).as_bytes()).await;
            assert_eq!(soon(client.reply()).await, reply, "{message:?}");
            let seen = hop.seen();
            assert!(
                hop.told(&format!("MAIL FROM:<a@client.test>{told}")),
                "{seen:?}"
            );
            assert_eq!(
                seen.messages.len(),
                usize::from(reply.starts_with("250")),
                "{seen:?}"
            );
        }
    }
}

#[tokio::test]
async fn the_size_goes_on_and_a_message_that_is_too_large_does_not() {
    let small = "250-next.test\r\n250 SIZE 1000\r\n";
    let hop = Hop::start(&[
        ("EHLO", Say::Text(small)),
        ("EHLO", Say::Text(small)),
        ("EHLO", Say::Text(small)),
    ])
    .await;
    let relay = Relay::start("smtp", hop.address, "", "").await;
    let mut client = relay.client().await;
    client
        .dialogue(&[
            ("MAIL FROM:<a@client.test> SIZE=5000", "552 5.3.4"),
            ("MAIL FROM:<a@client.test> SIZE=100", "250"),
            ("RCPT TO:<alice@example.test>", "250"),
            ("DATA", "354"),
        ])
        .await;
    assert!(hop.told("MAIL FROM:<a@client.test> SIZE=100"));
    // The client was wrong.
    let large = format!("Subject: x\r\n\r\n{}", "hello\r\n".repeat(200));
    client.write(stuffed(&large).as_bytes()).await;
    let reply = soon(client.reply()).await;
    assert!(reply.starts_with("552 5.3.4"), "{reply}");
    assert!(!hop.told("DATA") && hop.seen().messages.is_empty());
    let reply = relay.send(&[ALICE], MESSAGE).await;
    assert!(reply.starts_with("250"), "{reply}");
}

#[tokio::test]
async fn the_next_hop_learns_whose_message_it_is() {
    let hop = Hop::start(&[]).await;
    let relay = Relay::start("smtp", hop.address, "", "").await;
    let mut client = relay.client().await;
    client
        .dialogue(&[
            (
                "XFORWARD NAME=client.example ADDR=192.0.2.7 HELO=there",
                "250",
            ),
            ("MAIL FROM:<a@client.test>", "250"),
        ])
        .await;
    let lines = hop.seen().lines;
    let told = lines
        .iter()
        .find(|line| line.starts_with("XFORWARD"))
        .unwrap();
    let told: Vec<_> = told.split(' ').collect();
    assert_eq!(
        told[..5],
        [
            "XFORWARD",
            "NAME=client.example",
            "ADDR=192.0.2.7",
            "HELO=there",
            "PROTO=[UNAVAILABLE]"
        ]
    );
    assert!(
        told[5].starts_with("IDENT=") && told[5].len() > 10,
        "{told:?}"
    );
}

#[tokio::test]
async fn under_tls_the_certificate_is_verified() {
    // Another server of ours: its own certificate is what is to be trusted.
    let next = Server::start().await;
    let certificate = next.home.path().join("data/self-signed-certificate.pem");
    let ca = format!("tls-ca = \"{}\"", certificate.display());
    for (tls, taken) in [
        (
            format!("tls = \"starttls\"\ntls-name = \"mx.example.test\"\n{ca}"),
            true,
        ),
        // For its address too.
        (format!("tls = \"starttls\"\n{ca}"), true),
        (
            format!("tls = \"starttls\"\ntls-name = \"other.test\"\n{ca}"),
            false,
        ),
        ("tls = \"starttls\"".to_owned(), false),
        ("tls = \"none\"".to_owned(), true),
    ] {
        let relay = Relay::start("smtp", next.smtp(), &tls, "").await;
        let reply = relay.send(&[ALICE], MESSAGE).await;
        match taken {
            true => assert!(reply.starts_with("250 2.0.0 Ok: stored"), "{tls}: {reply}"),
            false => assert!(reply.starts_with("451 4.4.1"), "{tls}: {reply}"),
        }
        if taken {
            let id = reply.rsplit(' ').next().unwrap();
            let journal = next.app.store().journal(id).await.unwrap().unwrap();
            assert_eq!(journal.session.tls.is_some(), tls.contains("starttls"));
        }
    }
    let plain = Hop::start(&[]).await;
    let relay = Relay::start(
        "smtp",
        plain.address,
        &format!("tls = \"starttls\"\n{ca}"),
        "",
    )
    .await;
    assert!(relay.send(&[ALICE], MESSAGE).await.starts_with("451 4.4.1"));
    assert!(!plain.told("MAIL FROM:<a@client.test>"));
}

#[tokio::test]
async fn swaks_hands_a_large_message_through() {
    let Some(mut swaks) = support::program("swaks") else {
        return;
    };
    let next = Server::start().await;
    let relay = Relay::start("smtp", next.smtp(), "", "").await;
    let body = format!("Subject: large\\n\\n{}", "0123456789abcdef.\\n".repeat(20));
    let attachment = next.home.path().join("attachment");
    std::fs::write(&attachment, vec![b'.'; 3 << 20]).unwrap();
    swaks.args([
        "--server",
        "127.0.0.1",
        "--port",
        &relay.address().port().to_string(),
    ]);
    swaks.args([
        "--from",
        "a@client.test",
        "--to",
        ALICE,
        "--to",
        BOB,
        "--data",
        &body,
    ]);
    swaks
        .arg("--attach")
        .arg(format!("@{}", attachment.display()));
    support::run(swaks).await;
}
