use super::*;
use crate::mail::{Address, Body, EnhancedCode, Envelope, Recipient, Reply, Ret, ReversePath};
use crate::proto::smtp::Dialect;
use proptest::prelude::*;

const EHLO: &str = "250-next.test\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250-XFORWARD NAME ADDR HELO IDENT\r\n250 ENHANCEDSTATUSCODES\r\n";

fn client(dialect: Dialect) -> Client {
    Client::new(dialect, "mx.example.test", false)
}

/// Until the machine wants something else than octets; what it sent.
fn feed(client: Client, octets: &[u8]) -> (Step, String) {
    let (mut sent, mut rest, mut client) = (Vec::new(), octets, client);
    loop {
        sent.append(client.output());
        let (used, step) = client.next(rest);
        rest = &rest[used..];
        match step {
            Step::Read(mut next) if rest.is_empty() => {
                sent.append(next.output());
                return (Step::Read(next), String::from_utf8(sent).unwrap());
            }
            Step::Read(next) => client = next,
            step => return (step, String::from_utf8(sent).unwrap()),
        }
    }
}

fn ready(dialect: Dialect, hello: &str) -> Ready {
    match feed(client(dialect), format!("220 hi\r\n{hello}").as_bytes()) {
        (Step::Ready(ready), _) => ready,
        other => panic!("{other:?}"),
    }
}

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn envelope() -> Envelope {
    Envelope {
        sender: ReversePath::Address(address("a@client.test")),
        ..Envelope::default()
    }
}

fn open(dialect: Dialect, hello: &str) -> Open {
    let client = ready(dialect, hello).mail(&envelope(), None).unwrap();
    match feed(client, b"250 2.1.0 fine\r\n") {
        (Step::Sender(open), _) => open,
        other => panic!("{other:?}"),
    }
}

fn with_recipients(mut open: Open, replies: &[&str]) -> Open {
    for reply in replies {
        let Step::Read(client) = open.rcpt(&address("b@example.test").into()) else {
            panic!()
        };
        open = match feed(client, reply.as_bytes()) {
            (Step::Recipient(open, _), _) => open,
            other => panic!("{other:?}"),
        };
    }
    open
}

#[test]
fn a_message_goes_as_the_rfc_says() {
    let (step, sent) = feed(
        client(Dialect::Smtp),
        format!("220 hi\r\n{EHLO}").as_bytes(),
    );
    assert_eq!(sent, "EHLO mx.example.test\r\n");
    let Step::Ready(ready) = step else {
        panic!("{step:?}")
    };
    let (step, sent) = feed(ready.mail(&envelope(), Some(9)).unwrap(), b"250 ok\r\n");
    assert_eq!(sent, "MAIL FROM:<a@client.test> SIZE=9\r\n");
    let Step::Sender(open) = step else {
        panic!("{step:?}")
    };
    let Step::Read(client) = open.rcpt(&address("b@example.test").into()) else {
        panic!()
    };
    let (step, sent) = feed(client, b"250 ok\r\n");
    assert_eq!(sent, "RCPT TO:<b@example.test>\r\n");
    let Step::Recipient(open, reply) = step else {
        panic!("{step:?}")
    };
    assert_eq!((open.accepted(), reply.code), (1, 250));
    let Step::Read(client) = open.message(9) else {
        panic!()
    };
    let (step, sent) = feed(client, b"354 go\r\n");
    assert_eq!(sent, "DATA\r\n");
    let Step::Go(mut sending) = step else {
        panic!("{step:?}")
    };
    sending.push(b".a\r\n..b");
    let (step, sent) = feed(sending.end(), b"250-2.0.0 queued\r\n250 2.0.0 as 17\r\n");
    assert_eq!(sent, "..a\r\n...b\r\n.\r\n");
    let Step::Answer(reply, After::Over(ready)) = step else {
        panic!("{step:?}")
    };
    assert_eq!(
        reply,
        Reply::new(250, EnhancedCode(2, 0, 0), "queued\nas 17")
    );
    assert_eq!(ready.quit(), b"QUIT\r\n");
}

#[test]
fn chunks_go_as_they_are_where_they_are_offered() {
    let open = open(Dialect::Smtp, "250-next.test\r\n250 CHUNKING\r\n");
    let Step::Go(mut sending) = with_recipients(open, &["250 ok\r\n"]).message(6) else {
        panic!()
    };
    sending.push(b".\r\n\0.x");
    let (step, sent) = feed(sending.end(), b"250 ok\r\n");
    assert_eq!(sent, "BDAT 6 LAST\r\n.\r\n\0.x");
    assert!(matches!(step, Step::Answer(_, After::Over(_))));
}

#[test]
fn lmtp_answers_for_each_recipient_that_was_accepted() {
    let open = open(Dialect::Lmtp, EHLO);
    let open = with_recipients(open, &["250 ok\r\n", "550 5.1.1 no\r\n", "251 ok\r\n"]);
    let Step::Read(client) = open.message(1) else {
        panic!()
    };
    let Step::Go(sending) = feed(client, b"354 go\r\n").0 else {
        panic!()
    };
    let (step, _) = feed(sending.end(), b"250 one\r\n");
    let Step::Answer(_, After::More(client)) = step else {
        panic!("{step:?}")
    };
    let (step, _) = feed(client, b"452 4.2.2 full\r\n");
    let Step::Answer(reply, After::Over(_)) = step else {
        panic!("{step:?}")
    };
    assert_eq!(reply.enhanced, Some(EnhancedCode(4, 2, 2)));
}

/// Envelope, what the server offers, and the command or the refusal.
#[test]
fn parameters_are_said_where_they_are_offered_and_refused_where_they_matter() {
    let none = "250 next.test\r\n";
    let all = "250-next.test\r\n250-8BITMIME\r\n250-CHUNKING\r\n250-BINARYMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250 REQUIRETLS\r\n";
    let plain = envelope();
    let eight = Envelope {
        body: Body::EightBit,
        ..plain.clone()
    };
    let binary = Envelope {
        body: Body::Binary,
        ..plain.clone()
    };
    let utf8 = Envelope {
        utf8: true,
        ..plain.clone()
    };
    let tls = Envelope {
        require_tls: true,
        ..plain.clone()
    };
    let dsn = Envelope {
        ret: Some(Ret::Headers),
        envid: Some("a+2Bb".into()),
        ..plain.clone()
    };
    let foreign = Envelope {
        sender: ReversePath::Address(address("j\u{fc}rgen@client.test")),
        ..utf8.clone()
    };
    let unannounced = Envelope {
        utf8: false,
        ..foreign.clone()
    };
    let bounce = Envelope {
        sender: ReversePath::Null,
        ..plain.clone()
    };
    for (envelope, offered, said) in [
        (&plain, none, Ok("")),
        (&bounce, none, Ok("")),
        // Whether the message needs it is not known yet.
        (&eight, none, Ok("")),
        (&eight, all, Ok(" BODY=8BITMIME")),
        (&binary, none, Err((554, EnhancedCode(5, 6, 3)))),
        (
            &binary,
            "250-x\r\n250 BINARYMIME\r\n",
            Err((554, EnhancedCode(5, 6, 3))),
        ),
        (&binary, all, Ok(" BODY=BINARYMIME")),
        (&utf8, none, Ok("")),
        (&utf8, all, Ok(" SMTPUTF8")),
        (&foreign, none, Err((553, EnhancedCode(5, 6, 7)))),
        (&foreign, all, Ok(" SMTPUTF8")),
        (&unannounced, all, Err((553, EnhancedCode(5, 6, 7)))),
        // Not under TLS.
        (&tls, all, Err((550, EnhancedCode(5, 7, 30)))),
        (&dsn, none, Ok("")),
        (&dsn, all, Ok(" RET=HDRS ENVID=a+2Bb")),
    ] {
        let said_now = ready(Dialect::Smtp, offered).mail(envelope, Some(5));
        match (said_now, said) {
            (Ok(mut client), Ok(parameters)) => {
                let line = format!("MAIL FROM:<{}>{parameters}\r\n", envelope.sender);
                assert_eq!(String::from_utf8_lossy(client.output()), line);
            }
            (Err(reply), Err((code, enhanced))) => {
                assert_eq!((reply.code, reply.enhanced), (code, Some(enhanced)));
            }
            (got, wanted) => panic!("{envelope:?} {offered:?}: {got:?}, not {wanted:?}"),
        }
    }
    let reply = ready(Dialect::Smtp, EHLO)
        .mail(&plain, Some(1001))
        .unwrap_err();
    assert_eq!(
        (reply.code, reply.enhanced),
        (552, Some(EnhancedCode(5, 3, 4)))
    );
    // What is only found out at its end.
    let opened = with_recipients(open(Dialect::Smtp, EHLO), &["250 ok\r\n"]);
    let Step::Refused(reply) = opened.message(1001) else {
        panic!()
    };
    assert_eq!(reply.code, 552);
    let recipient = Recipient {
        notify: Some("NEVER".into()),
        original: Some("rfc822;b@example.test".into()),
        ..address("b@example.test").into()
    };
    for (offered, line) in [
        (none, "RCPT TO:<b@example.test>\r\n"),
        (
            all,
            "RCPT TO:<b@example.test> NOTIFY=NEVER ORCPT=rfc822;b@example.test\r\n",
        ),
    ] {
        let Step::Read(mut client) = open(Dialect::Smtp, offered).rcpt(&recipient) else {
            panic!()
        };
        assert_eq!(String::from_utf8_lossy(client.output()), line);
    }
}

#[test]
fn what_was_left_out_of_mail_is_not_said_in_another_way() {
    let offered = "250-next.test\r\n250 DSN\r\n";
    let wide = Envelope {
        body: Body::EightBit,
        utf8: true,
        ..envelope()
    };
    let client = ready(Dialect::Smtp, offered).mail(&wide, None).unwrap();
    let (Step::Sender(open), _) = feed(client, b"250 ok\r\n") else {
        panic!()
    };
    let unsaid = open.unsaid();
    let code = |header, body| {
        unsaid
            .refusal(header, body)
            .map(|reply| reply.enhanced.unwrap())
    };
    assert_eq!(code(false, false), None);
    assert_eq!(code(true, false), Some(EnhancedCode(5, 6, 7)));
    assert_eq!(code(false, true), Some(EnhancedCode(5, 6, 3)));
    let recipient = Recipient {
        original: Some("utf-8;j\u{fc}rgen@example.test".into()),
        ..address("b@example.test").into()
    };
    let Step::Read(client) = open.rcpt(&recipient) else {
        panic!()
    };
    let (step, sent) = feed(client, b"250 ok\r\n");
    assert_eq!(
        sent,
        "RCPT TO:<b@example.test> ORCPT=utf-8;j\\x{FC}rgen@example.test\r\n"
    );
    let Step::Recipient(open, _) = step else {
        panic!()
    };
    let Step::Recipient(open, reply) = open.rcpt(&address("j\u{fc}rgen@example.test").into())
    else {
        panic!()
    };
    assert_eq!((reply.code, open.accepted()), (553, 1));
}

#[test]
fn the_client_is_told_of_in_xtext_and_only_where_that_is_taken() {
    let facts = Facts {
        name: None,
        address: Some("2001:db8::1".parse().unwrap()),
        helo: Some("a b=c".into()),
        protocol: Some("ESMTP".into()),
        ident: Some("17".into()),
        login: Some("x".into()),
    };
    let Step::Read(client) = ready(Dialect::Smtp, EHLO).xforward(&facts) else {
        panic!()
    };
    let (step, sent) = feed(client, b"550 not you\r\n");
    assert_eq!(
        sent,
        "XFORWARD NAME=[UNAVAILABLE] ADDR=IPV6:2001:db8::1 HELO=a+20b+3Dc IDENT=17\r\n"
    );
    // It is of no consequence for the message.
    assert!(matches!(step, Step::Ready(_)));
    assert!(matches!(
        ready(Dialect::Smtp, EHLO).xclient(&facts),
        Step::Ready(_)
    ));
    let hello = "250-next.test\r\n250 XCLIENT ADDR LOGIN PROTO\r\n";
    // Whom EHLO names: no name that is none, nor one that isn't ASCII.
    for (helo, protocol, name, proto) in [
        ("a b=c", Some("ESMTP"), "mx.example.test", " PROTO=ESMTP"),
        (
            "\u{fc}.test",
            Some("SMTP"),
            "mx.example.test",
            " PROTO=SMTP",
        ),
        ("client.test", None, "client.test", ""),
        ("[192.0.2.1]", None, "[192.0.2.1]", ""),
    ] {
        let facts = Facts {
            helo: Some(helo.into()),
            protocol: protocol.map(Into::into),
            ..facts.clone()
        };
        let Step::Read(client) = ready(Dialect::Smtp, hello).xclient(&facts) else {
            panic!()
        };
        let (step, sent) = feed(client, format!("220 again\r\n{hello}").as_bytes());
        assert_eq!(
            sent,
            format!("XCLIENT ADDR=IPV6:2001:db8::1 LOGIN=x{proto}\r\nEHLO {name}\r\n")
        );
        assert!(matches!(step, Step::Ready(_)));
    }
}

#[test]
fn what_is_told_of_a_client_fills_no_line_beyond_its_limit() {
    let facts = Facts {
        name: Some("n".repeat(255)),
        address: Some("192.0.2.1".parse().unwrap()),
        helo: Some("h".repeat(255)),
        protocol: Some("ESMTP".into()),
        // Three octets each as it is written.
        ident: Some("=".repeat(86)),
        login: Some("l".repeat(200)),
    };
    let hello = "250-next.test\r\n250-XFORWARD NAME ADDR HELO IDENT PROTO\r\n250 XCLIENT NAME ADDR PROTO HELO LOGIN\r\n";
    let (name, helo, login) = ("n".repeat(255), "h".repeat(255), "l".repeat(200));
    let Step::Read(client) = ready(Dialect::Smtp, hello).xforward(&facts) else {
        panic!()
    };
    let (step, sent) = feed(client, b"250 ok\r\n250 ok\r\n");
    assert_eq!(
        sent,
        format!(
            "XFORWARD HELO={helo} PROTO=ESMTP IDENT=[UNAVAILABLE]\r\nXFORWARD NAME={name} ADDR=192.0.2.1\r\n"
        )
    );
    assert!(matches!(step, Step::Ready(_)));
    let Step::Read(client) = ready(Dialect::Smtp, hello).xclient(&facts) else {
        panic!()
    };
    let octets = format!("220 again\r\n220 again\r\n{hello}");
    let (step, sent) = feed(client, octets.as_bytes());
    // Who the client is comes last: it may not say XCLIENT.
    assert_eq!(
        sent,
        format!(
            "XCLIENT HELO={helo} PROTO=ESMTP\r\n\
             XCLIENT NAME={name} ADDR=192.0.2.1 LOGIN={login}\r\nEHLO {helo}\r\n"
        )
    );
    assert!(sent.lines().all(|line| line.len() <= 510));
    assert!(matches!(step, Step::Ready(_)));
    let Step::Read(client) = ready(Dialect::Smtp, hello).xclient(&facts) else {
        panic!()
    };
    let (step, _) = feed(client, b"220 again\r\n550 not you\r\n");
    assert!(matches!(step, Step::Refused(_)), "{step:?}");
}

#[test]
fn what_was_known_before_tls_is_forgotten() {
    let hello = "250-next.test\r\n250-CHUNKING\r\n250 STARTTLS\r\n";
    let client = ready(Dialect::Smtp, hello).start_tls().unwrap();
    let (step, sent) = feed(client, b"220 go\r\n");
    assert_eq!(sent, "STARTTLS\r\n");
    let Step::StartTls(client) = step else {
        panic!("{step:?}")
    };
    let (step, sent) = feed(client.secured(), b"250 next.test\r\n");
    assert_eq!(sent, "EHLO mx.example.test\r\n");
    let Step::Ready(ready) = step else {
        panic!("{step:?}")
    };
    assert!(!ready.extensions().chunking && ready.start_tls().is_none());
}

#[test]
fn who_knows_no_ehlo_is_greeted_with_helo() {
    let (step, sent) = feed(client(Dialect::Smtp), b"220 hi\r\n502 what?\r\n250 ok\r\n");
    assert_eq!(sent, "EHLO mx.example.test\r\nHELO mx.example.test\r\n");
    assert!(matches!(step, Step::Ready(_)));
    let (step, _) = feed(client(Dialect::Lmtp), b"220 hi\r\n502 what?\r\n");
    assert!(matches!(step, Step::Refused(_)), "{step:?}");
}

/// Octets for the greeting, and how they are taken.
#[test]
fn lies_are_told_from_replies() {
    let long = format!("220 {}\r\n", "x".repeat(5000));
    let endless = "x".repeat(5000);
    let many = "220-x\r\n".repeat(200);
    let fault = |octets: &str| match feed(client(Dialect::Smtp), octets.as_bytes()).0 {
        Step::Fault(fault) => Some(fault),
        Step::Refused(_) => None,
        other => panic!("{octets:?}: {other:?}"),
    };
    for (octets, said) in [
        ("554 5.3.2 go away\r\n", None),
        ("421 busy\n", None),
        ("hello\r\n", Some(Fault::NotAReply("hello".into()))),
        ("\r\n", Some(Fault::NotAReply(String::new()))),
        ("99 x\r\n", Some(Fault::NotAReply("99 x".into()))),
        ("199 x\r\n", Some(Fault::NotAReply("199 x".into()))),
        ("600 x\r\n", Some(Fault::NotAReply("600 x".into()))),
        ("220_x\r\n", Some(Fault::NotAReply("220_x".into()))),
        ("+20 x\r\n", Some(Fault::NotAReply("+20 x".into()))),
        ("220-a\r\n250 b\r\n", Some(Fault::MixedCodes)),
        ("354 go\r\n", Some(Fault::Unexpected(354))),
        (&long, Some(Fault::LongLine)),
        (&endless, Some(Fault::LongLine)),
        (&many, Some(Fault::LongReply)),
    ] {
        assert_eq!(fault(octets), said, "{octets:.40?}");
    }
    // 250 in place of 354.
    let open = with_recipients(open(Dialect::Smtp, EHLO), &["250 ok\r\n"]);
    let Step::Read(client) = open.message(1) else {
        panic!()
    };
    let (step, _) = feed(client, b"250 ok\r\n");
    assert!(
        matches!(step, Step::Fault(Fault::Unexpected(250))),
        "{step:?}"
    );
}

#[test]
fn replies_come_out_as_they_went_in() {
    for text in [
        "550-5.7.1 no\r\n550 5.7.1 really not\r\n",
        "550 no code\r\n",
        "550-5.7.1 one\r\n550-5.7.2 another\r\n550 5.7.1 one\r\n",
        "550-5.7.1 one\r\n550 none\r\n",
        "550 4.7.1 another class\r\n",
        "550 5.07.1 not as it would be written\r\n",
        "550 5.7.1.1 too long\r\n",
        "550 \r\n",
    ] {
        let (step, _) = feed(client(Dialect::Smtp), text.as_bytes());
        let Step::Refused(reply) = step else {
            panic!("{step:?}")
        };
        let mut out = Vec::new();
        reply.write_to(&mut out);
        assert_eq!(String::from_utf8(out).unwrap(), text);
    }
}

proptest! {
    /// However a reply is cut into pieces.
    #[test]
    fn pieces_make_no_difference(cuts in proptest::collection::vec(0usize..200, 0..6)) {
        let text = format!("220 hi\r\n{EHLO}");
        let mut cuts: Vec<_> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
        cuts.push(text.len());
        cuts.sort_unstable();
        let (mut at, mut step) = (0, Step::Read(client(Dialect::Smtp)));
        for cut in cuts {
            let piece = &text.as_bytes()[at..cut];
            at = cut;
            step = match step {
                Step::Read(client) => feed(client, piece).0,
                other => { prop_assert!(piece.is_empty()); other }
            };
        }
        let Step::Ready(ready) = step else { panic!("{step:?}") };
        prop_assert_eq!(ready.extensions().size, Some(1000));
        prop_assert_eq!(&ready.extensions().xforward[..], ["NAME", "ADDR", "HELO", "IDENT"]);
    }

    /// What a server makes of what is sent is the message, its lines ended as lines are; nothing in it ends it early.
    #[test]
    fn no_message_ends_early(message in "[.\r\na]{0,40}", cut in 0usize..40) {
        let open = with_recipients(open(Dialect::Smtp, EHLO), &["250 ok\r\n"]);
        let Step::Read(client) = open.message(1) else { panic!() };
        let Step::Go(mut sending) = feed(client, b"354 go\r\n").0 else { panic!() };
        let (first, second) = message.as_bytes().split_at(cut.min(message.len()));
        sending.push(first);
        sending.push(second);
        let mut client = sending.end();
        let sent = String::from_utf8(std::mem::take(client.output())).unwrap();
        let body = sent.strip_suffix(".\r\n").unwrap();
        prop_assert!(body.is_empty() || body.ends_with("\r\n"));
        let lines: Vec<_> = body.split_terminator("\r\n").collect();
        for line in &lines {
            prop_assert!(*line != "." && !line.contains(['\r', '\n']), "{sent:?}");
        }
        let got: Vec<_> = lines.iter().map(|line| line.strip_prefix('.').unwrap_or(line)).collect();
        let unified = message.replace("\r\n", "\n").replace('\r', "\n");
        let wanted: Vec<_> = unified.split_terminator('\n').collect();
        prop_assert_eq!(got, wanted);
    }

    /// Whatever a next hop says, there is an end to it and no panic.
    #[test]
    fn any_octets_lead_somewhere(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
        feed_all(&octets);
    }
}

/// A whole conversation with whatever the server says.
fn feed_all(octets: &[u8]) {
    for dialect in [Dialect::Smtp, Dialect::Lmtp] {
        converse(dialect, octets);
    }
}

fn converse(dialect: Dialect, octets: &[u8]) {
    let text = [
        b"220 x\r\n250 x\r\n250 x\r\n250 x\r\n354 x\r\n".as_slice(),
        octets,
    ]
    .concat();
    let (mut rest, mut step) = (text.as_slice(), Step::Read(client(dialect)));
    loop {
        step = match step {
            Step::Read(client) if rest.is_empty() => {
                drop(client);
                return;
            }
            Step::Read(client) | Step::Answer(_, After::More(client)) => {
                let (used, next) = client.next(rest);
                rest = &rest[used..];
                next
            }
            Step::Ready(ready) | Step::Answer(_, After::Over(ready)) => {
                match ready.mail(&envelope(), None) {
                    Ok(client) => Step::Read(client),
                    Err(_) => return,
                }
            }
            Step::Sender(open) => open.rcpt(&address("b@example.test").into()),
            Step::Recipient(open, _) => open.message(3),
            Step::Go(mut sending) => {
                sending.push(b"x\r\n");
                Step::Read(sending.end())
            }
            Step::StartTls(_) | Step::Refused(_) | Step::Fault(_) => return,
        };
    }
}
