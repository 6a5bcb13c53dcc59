//! SEARCH.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_key() {
    let server = Server::start().await;
    let mut client = server.logged_in().await;
    let messages = [
        ("(\\Seen \\Flagged)", "01-Jan-2026 12:00:00 +0000", MESSAGE),
        (
            "(\\Deleted $Work)",
            "02-Jan-2026 12:00:00 +0000",
            "From: =?utf-8?q?J=C3=B6rg?= <joerg@example.test>\r\nCc: carol@example.test\r\nBcc: dan@example.test\r\nSubject: =?utf-8?b?R3LDvMOfZSBhdXMgS8O2bG4=?=\r\nDate: Tue, 3 Feb 2026 23:00:00 -0800\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nSch=F6ne wei=DFe W=\r\nolken\r\n",
        ),
        (
            "(\\Answered \\Draft)",
            "03-Jan-2026 12:00:00 +0000",
            "Subject: outer\r\nX-Empty:\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\nPHA+aGlkZGVuIHdvcmRzPC9wPg==\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner subject\r\n\r\ninner body\r\n--b--\r\n",
        ),
    ];
    for (flags, date, message) in messages {
        let command = format!(
            "APPEND INBOX {flags} \"{date}\" {{{}+}}\r\n{message}",
            message.len()
        );
        client.say(command).await.ok();
    }
    client.say("SELECT INBOX").await.ok();
    for (keys, expected) in [
        ("ALL", "1 2 3"),
        ("2:*", "2 3"),
        ("UID 1,3", "1 3"),
        ("NOT 2", "1 3"),
        ("OR 1 3", "1 3"),
        ("(1:2) (2:3)", "2"),
        ("SEEN", "1"),
        ("UNSEEN", "2 3"),
        ("FLAGGED", "1"),
        ("UNFLAGGED", "2 3"),
        ("DELETED", "2"),
        ("UNDELETED", "1 3"),
        ("ANSWERED", "3"),
        ("UNANSWERED", "1 2"),
        ("DRAFT", "3"),
        ("UNDRAFT", "1 2"),
        ("KEYWORD $work", "2"),
        ("UNKEYWORD $Work", "1 3"),
        ("RECENT", "1 2 3"),
        ("NEW", "2 3"),
        ("OLD", ""),
        ("BEFORE 2-Jan-2026", "1"),
        ("ON 2-Jan-2026", "2"),
        ("SINCE 2-Jan-2026", "2 3"),
        ("SENTON 2-Feb-2026", "1"),
        ("SENTON 3-Feb-2026", "2"),
        ("SENTSINCE 3-Feb-2026", "2"),
        ("SENTBEFORE 3-Feb-2026", "1"),
        ("LARGER 200", "2 3"),
        ("SMALLER 200", "1"),
        ("FROM alice", "1"),
        ("TO BOB@EXAMPLE", "1"),
        ("CC carol", "2"),
        ("BCC dan", "2"),
        ("SUBJECT HELLO", "1"),
        ("CHARSET UTF-8 FROM {5+}\r\nJÖRG", "2"),
        ("CHARSET UTF-8 SUBJECT {6+}\r\ngrüß", "2"),
        ("SUBJECT \"aus köln\"", "2"),
        ("HEADER X-Empty \"\"", "3"),
        ("HEADER Message-ID <1@example.test>", "1"),
        ("HEADER X-None \"\"", ""),
        ("BODY morning", "1"),
        ("CHARSET UTF-8 BODY {16+}\r\nschöne weiße w", "2"),
        ("BODY wolken", "2"),
        ("BODY \"hidden words\"", "3"),
        ("BODY \"inner body\"", "3"),
        ("BODY \"inner subject\"", "3"),
        ("BODY outer", ""),
        ("TEXT outer", "3"),
        ("TEXT \"x-empty\"", "3"),
        ("UNSEEN BODY morning", ""),
        ("OR BODY morning BODY wolken", "1 2"),
        ("NOT BODY morning", "2 3"),
        ("99", ""),
    ] {
        let answer = client.say(format!("SEARCH {keys}")).await.ok();
        let expected = format!("SEARCH {expected}");
        assert_eq!(answer, [expected.trim_end()], "{keys}");
    }
    assert_eq!(client.say("UID SEARCH SEEN").await.ok(), ["SEARCH 1"]);
    client
        .say("SEARCH CHARSET KOI8-R ALL")
        .await
        .is("NO [BADCHARSET");
    server.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_too_deeply_nested_are_no_syntax_error() {
    let server = Server::start().await;
    let mut client = server.with_mail(&[MESSAGE]).await;
    let any_of = |most: usize| format!("SEARCH {}FROM alice", "OR FROM nobody ".repeat(most));
    assert_eq!(client.say(any_of(8)).await.ok(), ["SEARCH 1"]);
    client.say(any_of(9)).await.is("NO [LIMIT]");
    client.say("UID SEARCH OR FROM nobody").await.is("BAD");
    server.finish().await;
}
