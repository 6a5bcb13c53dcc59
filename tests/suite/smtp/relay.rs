//! Nothing is relayed: every trick with addresses gets its refusal at RCPT, whoever the sender claims to be.

use super::*;

/// Recipients, and what they are told after MAIL with SMTPUTF8.
const TRICKS: &[(&str, &str)] = &[
    ("<alice@other.test>", "550 5.7.1"),
    // The percent hack, bang paths and quoted routes mean nothing: they are local parts, and nobody's.
    ("<alice%other.test@example.test>", "550 5.1.1"),
    ("<alice%other.test%x.test@example.test>", "550 5.1.1"),
    ("<other.test!alice@example.test>", "550 5.1.1"),
    ("<other.test!alice>", "501 5.1.3"),
    ("<\"alice@other.test\"@example.test>", "550 5.1.1"),
    ("<\"alice%other.test\"@example.test>", "550 5.1.1"),
    ("<\"@other.test:alice\"@example.test>", "550 5.1.1"),
    ("<\"alice@example.test\"@other.test>", "550 5.7.1"),
    ("<alice%example.test@other.test>", "550 5.7.1"),
    // Source routes (RFC 5321 appendix C): only where they end counts.
    ("<@example.test:alice@other.test>", "550 5.7.1"),
    (
        "<@example.test,@mx.example.test:alice@other.test>",
        "550 5.7.1",
    ),
    ("<@[127.0.0.1]:alice@other.test>", "550 5.7.1"),
    ("<@other.test:alice@example.test>", "250 2.1.5"),
    ("<@example.test:@other.test:alice@example.test>", "501"),
    ("<@example.test>", "501"),
    // More than one address.
    ("<alice@example.test@other.test>", "501 5.1.3"),
    ("<alice@other.test@example.test>", "501 5.1.3"),
    ("<alice@other.test,alice@example.test>", "501"),
    ("<alice@other.test> <alice@example.test>", "501 5.5.4"),
    ("<alice@example.test>,<alice@other.test>", "501 5.5.4"),
    ("<alice@example.test><alice@other.test>", "501 5.5.4"),
    ("<<alice@other.test>@example.test>", "501"),
    ("alice@other.test", "501 5.5.4"),
    ("<alice(@other.test)@example.test>", "501 5.1.3"),
    ("<alice@example.test(other.test)>", "501 5.1.3"),
    // Address literals, ours too: we are known by our domains only.
    ("<alice@[127.0.0.1]>", "550 5.7.1"),
    ("<alice@[IPv6:::1]>", "550 5.7.1"),
    ("<alice@[192.0.2.1]>", "550 5.7.1"),
    ("<alice@127.0.0.1>", "550 5.7.1"),
    ("<alice@[example.test]>", "501 5.1.3"),
    ("<alice@#2130706433>", "501 5.1.3"),
    ("<alice@2130706433>", "550 5.7.1"),
    ("<alice@localhost>", "550 5.7.1"),
    ("<alice@mx.example.test>", "550 5.7.1"),
    // What looks like us.
    ("<alice@example.test.other.test>", "550 5.7.1"),
    ("<alice@notexample.test>", "550 5.7.1"),
    ("<alice@sub.example.test>", "550 5.7.1"),
    ("<alice@example.test.>", "501 5.1.3"),
    ("<a..b@example.test>", "501 5.1.3"),
    ("<alice.@example.test>", "501 5.1.3"),
    ("<alice@.example.test>", "501 5.1.3"),
    ("<alice@example..test>", "501 5.1.3"),
    ("<alice@example>", "550 5.7.1"),
    ("<alice@EXAMPLE.Test>", "250 2.1.5"),
    // Cyrillic е, a fullwidth e, an ideographic full stop, a soft hyphen.
    ("<alice@\u{435}xample.test>", "550 5.7.1"),
    ("<alice@\u{ff45}xample.test>", "550 5.7.1"),
    ("<alice@example\u{3002}test>", "550 5.7.1"),
    ("<alice@exam\u{ad}ple.test>", "550 5.7.1"),
    ("<\u{430}lice@example.test>", "550 5.1.1"),
    ("<alice\u{ff20}other.test>", "501 5.1.3"),
    ("<alice\u{ff20}other.test@example.test>", "550 5.1.1"),
    ("<alice@example.test\0@other.test>", "501"),
    ("<>", "501 5.1.3"),
    ("<postmaster>", "250 2.1.5"),
    ("<postmaster@other.test>", "550 5.7.1"),
    ("<nobody@example.test>", "550 5.1.1"),
];

#[tokio::test]
async fn no_trick_with_an_address_gets_mail_relayed() {
    let server = Server::with(|config| {
        config.core.errors = u32::MAX;
        config.core.idle_commands = u32::MAX;
    })
    .await;
    for sender in [
        "<>",
        "<spammer@other.test>",
        "<alice@example.test>",
        "<root@localhost>",
        "<@example.test:spammer@other.test>",
        "<\"alice@example.test\"@other.test>",
        "<alice%example.test@other.test>",
        "<root@[127.0.0.1]>",
    ] {
        let mut client = server.client().await;
        client.dialogue(&[("EHLO example.test", "250")]).await;
        for (recipient, code) in TRICKS {
            client
                .dialogue(&[
                    (&format!("MAIL FROM:{sender} SMTPUTF8"), "250 2.1.0"),
                    (&format!("RCPT TO:{recipient}"), code),
                ])
                .await;
            // Pressing on changes nothing.
            let data = match &code[..3] {
                "250" => "354",
                "501" => "503 5.5.1",
                _ => "554 5.5.1",
            };
            client.dialogue(&[("DATA", data)]).await;
            if data == "354" {
                client
                    .dialogue(&[("Subject: x\r\n\r\ntext\r\n.", "250")])
                    .await;
            } else {
                client.dialogue(&[("RSET", "250")]).await;
            }
        }
    }
    let to: std::collections::BTreeSet<_> = server
        .store
        .delivered()
        .await
        .into_iter()
        .flat_map(|message| message.journal.envelope.recipients)
        .map(|recipient| recipient.address.to_string())
        .collect();
    let to: Vec<_> = to.iter().map(String::as_str).collect();
    assert_eq!(to, ["alice@example.test", "postmaster@example.test"]);
    server.finish().await;
}

#[tokio::test]
async fn users_and_lists_cannot_be_read_off() {
    let server = Server::start().await;
    let mut client = server.client().await;
    for user in [
        "alice",
        "nobody",
        "<alice@example.test>",
        "nobody@example.test",
    ] {
        let (vrfy, expn) = (format!("VRFY {user}"), format!("EXPN {user}"));
        client
            .dialogue(&[(&vrfy, "252 2.0.0 Cannot verify"), (&expn, "502 5.5.1")])
            .await;
    }
    server.finish().await;
}
