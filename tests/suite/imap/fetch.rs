//! FETCH.

use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const NESTED: &str = "From: a@b.test\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nfirst\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nbody\r\n--b--\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn items() {
    let server = Server::start().await;
    let mut client = server.logged_in().await;
    client
        .say(format!(
            "APPEND INBOX (\\Flagged) \" 2-Feb-2026 10:00:00 +0100\" {{{}+}}\r\n{MESSAGE}",
            MESSAGE.len()
        ))
        .await
        .ok();
    client.say("SELECT INBOX").await.ok();
    let (header, body) = MESSAGE.split_at(MESSAGE.find("Good").unwrap());
    for (items, expected) in [
        ("FLAGS", "FLAGS (\\Flagged \\Recent)".to_owned()),
        ("(UID RFC822.SIZE)", format!("UID 1 RFC822.SIZE {}", MESSAGE.len())),
        ("INTERNALDATE", "INTERNALDATE \" 2-Feb-2026 09:00:00 +0000\"".into()),
        ("FAST", format!("FLAGS (\\Flagged \\Recent) INTERNALDATE \" 2-Feb-2026 09:00:00 +0000\" RFC822.SIZE {}", MESSAGE.len())),
        ("ENVELOPE", "ENVELOPE (\"Mon, 2 Feb 2026 10:00:00 +0100\" \"hello\" ((\"Alice\" NIL \"alice\" \"example.test\")) ((\"Alice\" NIL \"alice\" \"example.test\")) ((\"Alice\" NIL \"alice\" \"example.test\")) ((NIL NIL \"bob\" \"example.test\")) NIL NIL NIL \"<1@example.test>\")".into()),
        ("BODY", "BODY (\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 15 1)".into()),
        ("BODYSTRUCTURE", "BODYSTRUCTURE (\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 15 1 NIL NIL NIL NIL)".into()),
        ("RFC822.HEADER", format!("RFC822.HEADER {{{}}}\r\n{header}", header.len())),
        ("BODY.PEEK[HEADER.FIELDS (Subject X)]", "BODY[HEADER.FIELDS (Subject X)] {18}\r\nSubject: hello\r\n\r\n".into()),
        ("BODY.PEEK[TEXT]<5.7>", "BODY[TEXT]<5> {7}\r\nmorning".into()),
        ("BODY.PEEK[1.MIME]", format!("BODY[1.MIME] {{{}}}\r\n{header}", header.len())),
        ("BODY.PEEK[2]", "BODY[2] NIL".into()),
        ("BODY.PEEK[]<9999.5>", "BODY[]<9999> \"\"".into()),
        ("BODY.PEEK[1]", format!("BODY[1] {{15}}\r\n{body}")),
        ("BODY.PEEK[]", format!("BODY[] {{{}}}\r\n{MESSAGE}", MESSAGE.len())),
    ] {
        let answer = client.say(format!("FETCH 1 {items}")).await.ok();
        assert_eq!(answer, [format!("1 FETCH ({expected})")], "{items}");
    }
    // Those without PEEK mark it as seen once, and tell.
    for (items, expected, tells) in [
        (
            "RFC822.HEADER",
            format!("RFC822.HEADER {{{}}}\r\n{header}", header.len()),
            false,
        ),
        (
            "(FLAGS RFC822.TEXT)",
            format!("FLAGS (\\Flagged \\Recent) RFC822.TEXT {{15}}\r\n{body}"),
            true,
        ),
        (
            "RFC822",
            format!("RFC822 {{{}}}\r\n{MESSAGE}", MESSAGE.len()),
            false,
        ),
    ] {
        let mut wanted = vec![format!("1 FETCH ({expected})")];
        if tells {
            wanted.push("1 FETCH (UID 1 FLAGS (\\Flagged \\Seen \\Recent))".into());
        }
        assert_eq!(client.say(format!("FETCH 1 {items}")).await.ok(), wanted);
    }
    assert_eq!(
        client.say("UID FETCH 1:* FLAGS").await.ok(),
        ["1 FETCH (UID 1 FLAGS (\\Flagged \\Seen \\Recent))"]
    );
    assert_eq!(client.say("UID FETCH 77 FLAGS").await.ok(), lines(&[]));
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nested_sections() {
    let server = Server::start().await;
    let mut client = server.with_mail(&[NESTED]).await;
    let answer = client
        .say("FETCH 1 (BODY.PEEK[1] BODY.PEEK[2.HEADER] BODY.PEEK[2.TEXT] BODY.PEEK[2.1])")
        .await
        .ok();
    assert_eq!(
        answer,
        [
            "1 FETCH (BODY[1] {5}\r\nfirst BODY[2.HEADER] {18}\r\nSubject: inner\r\n\r\n BODY[2.TEXT] {4}\r\nbody BODY[2.1] {4}\r\nbody)"
        ]
    );
    let full = client.say("FETCH 1 FULL").await.ok().remove(0);
    assert!(full.contains("\"=?utf-8?q?Gr=C3=BC=C3=9Fe?=\""), "{full}");
    assert!(
        full.contains("(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 22 (NIL \"inner\""),
        "{full}"
    );
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_and_odd_messages_come_back_as_they_were() {
    let server = Server::start().await;
    let mut client = server.selected().await;
    let line = "0123456789abcdefghijklmnopqrstuvwxyz and more of the same on every line\r\n";
    let large = format!("Subject: large\r\n\r\n{}", line.repeat(40_000));
    for message in [
        large.as_str(),
        "no header at all",
        "\r\n",
        "Subject: x\nbare line feeds\n\nbody\n",
        "a: \u{e4}\r\n\r\n\u{1f600}",
    ] {
        client.append("INBOX", message).await.ok();
        let answer = client.say("FETCH * BODY.PEEK[]").await.ok();
        let expected = format!("BODY[] {{{}}}\r\n{message})", message.len());
        assert!(answer[0].ends_with(&expected), "{:.100}", message);
        let partial = client
            .say("FETCH * (BODY.PEEK[]<1.70000> ENVELOPE BODYSTRUCTURE)")
            .await
            .ok();
        let wanted = &message.as_bytes()[1..message.len().min(70_001)];
        let wanted = String::from_utf8_lossy(wanted);
        assert!(partial[0].contains(&*wanted), "{:.100}", message);
    }
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_client_has_not_got_is_not_seen() {
    let server = Server::start().await;
    let mut client = server.logged_in().await;
    let long = format!("{MESSAGE}{}", "morning after morning\r\n".repeat(18_000));
    for _ in 0..70 {
        client.append("INBOX", &long).await.ok();
    }
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut socket = socket.connect(server.address).await.unwrap();
    socket
        .write_all(b"a LOGIN alice@example.test secret\r\nb SELECT INBOX\r\nc FETCH 1:* BODY[]\r\n")
        .await
        .unwrap();
    soon(socket.read_exact(&mut [0; 100_000])).await.unwrap();
    // It goes without the rest.
    drop(socket);
    // Those who accept and who serves the client that is left.
    while server.connections.len() > 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let status = client.say("STATUS INBOX (UNSEEN)").await.ok().remove(0);
    let digits = status.trim_end_matches(')').rsplit(' ').next().unwrap();
    let unseen: u32 = digits.parse().unwrap();
    assert!((60..=70).contains(&unseen), "{status}");

    // All of it is fetched: each is seen, and the client is told.
    client.say("SELECT INBOX").await.ok();
    let answer = client.say("FETCH 1:* BODY[TEXT]<0.5>").await.ok();
    let told = answer.iter().filter(|line| line.contains("\\Seen"));
    assert_eq!(told.count() as u32, unseen);
    let status = client.say("STATUS INBOX (UNSEEN)").await.ok();
    assert_eq!(status, ["STATUS \"INBOX\" (UNSEEN 0)"]);
    server.finish().await;
}
