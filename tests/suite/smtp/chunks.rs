//! BDAT over real sockets into the real store, read again by IMAP; the parameters of DSN on their way into the journal.

use super::client::Client;
use crate::support::{self, ALICE, PASSWORD, Server, imap::Reader, program};
use wasmilter::mail::{Address, Body, Disposition, Journal, MailboxName, Ret};
use wasmilter::net::Endpoint;
use wasmilter::store::Store;

async fn client(server: &Server) -> Client {
    Client::connect(&Endpoint::Tcp(server.smtp())).await
}

/// Of the transaction that this reply names.
pub async fn journal(server: &Server, reply: &str) -> Journal {
    let (_, id) = reply.rsplit_once(' ').unwrap();
    server.app.store().journal(id).await.unwrap().unwrap()
}

/// What a mail client gets, without the fields that we put on top.
async fn read(server: &Server, journal: &Journal) -> Vec<u8> {
    let Disposition::Filed { mailbox, uid, .. } = journal.dispositions[0].disposition.clone()
    else {
        panic!("not filed: {:?}", journal.dispositions)
    };
    let imap = server.imap();
    tokio::task::spawn_blocking(move || Reader::open(imap, ALICE, PASSWORD, &mailbox).fetch(uid))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binary_message_is_kept_to_the_octet_and_served_with_0x80_for_nul() {
    let server = Server::start().await;
    let mut client = client(&server).await;
    let offered = client.say("EHLO client.test").await;
    for extension in ["CHUNKING", "BINARYMIME"] {
        assert!(offered.contains(&format!("250-{extension}\n")), "{offered}");
    }
    client
        .dialogue(&[
            ("MAIL FROM:<> BODY=BINARYMIME", "250"),
            ("RCPT TO:<alice@example.test>", "250"),
            ("DATA", "503 5.5.1"),
        ])
        .await;
    let mut body: Vec<u8> = (0..=255).collect();
    body.extend_from_slice(b"\r\n.\r\nQUIT\r\n\n.\n\r");
    // More than is kept in memory, so that it goes through a file.
    let body = body.repeat(1000);
    let header = b"Subject: binary\r\nContent-Transfer-Encoding: binary\r\nContent-Type: application/octet-stream\r\n\r\n";
    let message = [&header[..], &body].concat();
    let mut reply = String::new();
    let pieces: Vec<_> = message.chunks(100_001).collect();
    for (number, piece) in pieces.iter().enumerate() {
        let last = if number + 1 == pieces.len() {
            " LAST"
        } else {
            ""
        };
        client
            .write(format!("BDAT {}{last}\r\n", piece.len()).as_bytes())
            .await;
        client.write(piece).await;
        reply = client.reply().await;
        assert!(reply.starts_with("250 2.0.0 "), "{reply}");
    }
    let journal = journal(&server, &reply).await;
    assert_eq!(journal.envelope.body, Body::Binary);
    assert_eq!(journal.size, message.len() as u64);
    let Disposition::Filed { mailbox, uid, .. } = &journal.dispositions[0].disposition else {
        panic!("not filed: {:?}", journal.dispositions)
    };
    let store = server.app.store();
    let alice = Address::parse(ALICE).unwrap();
    let alice = store.account(&alice).await.unwrap().unwrap();
    let name = MailboxName::new(mailbox).unwrap();
    let inbox = store.mailbox(alice.id, &name).await.unwrap();
    let kept = store.content(inbox.id, *uid).await.unwrap();
    assert!(kept.bytes().unwrap().ends_with(&message));
    // RFC 3501 §9: a literal has no NUL.
    let mut shown = message;
    for octet in shown.iter_mut().filter(|octet| **octet == 0) {
        *octet = 0x80;
    }
    let read = read(&server, &journal).await;
    assert!(read.ends_with(&shown), "{} octets read", read.len());
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_that_are_refused_leave_nothing_and_the_session_goes_on() {
    let server = Server::start().await;
    let staging = server.app.store().staging().to_owned();
    let mut client = client(&server).await;
    let begin = "MAIL FROM:<>\r\nRCPT TO:<alice@example.test>\r\n";
    let large = "x".repeat(300_000);
    client
        .write(
            format!("EHLO c.test\r\n{begin}BDAT 300000\r\n{large}BDAT 300000\r\n{large}RSET\r\n")
                .as_bytes(),
        )
        .await;
    for code in [
        "250",
        "250",
        "250",
        "250 2.0.0 300000",
        "250 2.0.0 300000",
        "250",
    ] {
        let reply = client.reply().await;
        assert!(reply.starts_with(code), "{reply}");
    }
    assert_eq!(std::fs::read_dir(&staging).unwrap().count(), 0);
    // Over the limit of 50 MiB by what the second chunk says of itself; its octets are no commands.
    client
        .write(format!("{begin}BDAT 300000\r\n{large}BDAT 60000000 LAST\r\n").as_bytes())
        .await;
    for _ in 0..3 {
        client.reply().await;
    }
    for _ in 0..60 {
        client.write(&b"QUIT\r\n\r\n\r\n".repeat(100_000)).await;
    }
    assert!(client.reply().await.starts_with("552 5.3.4"));
    assert_eq!(std::fs::read_dir(&staging).unwrap().count(), 0);
    client
        .write(format!("{begin}BDAT 4 LAST\r\na\nb\nMAIL FROM:<>\r\n").as_bytes())
        .await;
    for code in ["250", "250", "554 5.6.0", "250"] {
        let reply = client.reply().await;
        assert!(reply.starts_with(code), "{reply}");
    }
    client.dialogue(&[("QUIT", "221")]).await;
    let alice = server.app.store().accounts().await.unwrap();
    let inbox = server.app.store().mailboxes(alice[0].id).await.unwrap();
    assert_eq!(inbox.iter().map(|mailbox| mailbox.messages).sum::<u32>(), 0);
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parameters_for_notices_are_in_the_journal() {
    let server = Server::start().await;
    let mut client = client(&server).await;
    client
        .dialogue(&[
            ("EHLO c.test", "250"),
            ("MAIL FROM:<a@b.test> RET=HDRS ENVID=QQ+2B7", "250"),
            ("RCPT TO:<alice@example.test> notify=failure,delay ORCPT=rfc822;list+2Bx@example.test", "250"),
            ("RCPT TO:<bob@example.test> NOTIFY=NEVER,DELAY", "501 5.5.4"),
            ("RCPT TO:<bob@example.test> NOTIFY=NEVER", "250"),
            ("DATA", "354"),
        ])
        .await;
    let reply = client.say("Subject: x\r\n\r\n.").await;
    let envelope = journal(&server, &reply).await.envelope;
    assert_eq!(
        (envelope.ret, envelope.envid.as_deref()),
        (Some(Ret::Headers), Some("QQ+2B7"))
    );
    let [alice, bob] = envelope.recipients.as_slice() else {
        panic!("{:?}", envelope.recipients)
    };
    assert_eq!(alice.notify.as_deref(), Some("FAILURE,DELAY"));
    assert_eq!(
        alice.original.as_deref(),
        Some("rfc822;list+2Bx@example.test")
    );
    assert_eq!(bob.notify.as_deref(), Some("NEVER"));
    server.app.stop().await;
}

/// smtplib knows no BDAT of its own, but it negotiates, sends what it is told and reads the replies.
#[tokio::test(flavor = "multi_thread")]
async fn python_sends_chunks() {
    let Some(mut python) = program("python3") else {
        return;
    };
    let server = Server::start().await;
    let script = r#"
import smtplib, sys
with smtplib.SMTP("127.0.0.1", int(sys.argv[1])) as client:
    client.ehlo("client.test")
    assert client.has_extn("chunking") and client.has_extn("binarymime")
    assert client.mail("a@b.test", ["BODY=BINARYMIME", "RET=FULL", "ENVID=py"])[0] == 250
    assert client.rcpt("alice@example.test", ["NOTIFY=SUCCESS,FAILURE"])[0] == 250
    for chunk, last in ((b"Subject: x\r", ""), (b"\n\r\n\xff\n", ""), (b"", " LAST")):
        client.send(b"BDAT %d%s\r\n" % (len(chunk), last.encode()) + chunk)
        code, text = client.getreply()
        assert code == 250, text
"#;
    let port = server.smtp().port().to_string();
    python.args(["-c", script, &port]);
    support::run(python).await;
    server.app.stop().await;
}
