//! Mail that is taken, and mail that is not.

use super::*;
use crate::support::{ALICE, BOB};
use wasmilter::mail::{Address, Body, ReversePath};

#[tokio::test]
async fn a_message_is_stored_as_it_was_sent_with_what_is_known_of_its_way() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client
        .dialogue(&[
            ("EHLO client.test", "250-mx.example.test\n250-PIPELINING"),
            (
                "MAIL FROM:<sender@client.test> SIZE=40 BODY=8BITMIME",
                "250 2.1.0",
            ),
            ("RCPT TO:<alice+list@example.test>", "250 2.1.5"),
            ("RCPT TO:<nobody@example.test>", "550 5.1.1"),
            ("RCPT TO:<alice@elsewhere.test>", "550 5.7.1"),
            ("RCPT TO:<@example.test:alice@elsewhere.test>", "550 5.7.1"),
            ("RCPT TO:<alice%elsewhere.test@example.test>", "550 5.1.1"),
            (
                "RCPT TO:<\"alice@elsewhere.test\"@example.test>",
                "550 5.1.1",
            ),
            ("RCPT TO:<postmaster>", "250 2.1.5"),
            ("DATA", "354 "),
            ("Subject: Grüße\r\n\r\n..\r\n..x\r\n.", "250 2."),
            ("QUIT", "221 2.0.0"),
        ])
        .await;
    assert_eq!(client.rest().await, "");
    let delivered = server.store.only().await;
    assert_eq!(
        delivered.octets,
        "Subject: Grüße\r\n\r\n.\r\n.x\r\n".as_bytes()
    );
    let journal = &delivered.journal;
    assert_eq!(
        journal.envelope.sender,
        ReversePath::Address(Address::parse("sender@client.test").unwrap())
    );
    let recipients: Vec<_> = journal
        .envelope
        .recipients
        .iter()
        .map(|r| r.address.to_string())
        .collect();
    assert_eq!(
        recipients,
        ["alice+list@example.test", "postmaster@example.test"]
    );
    assert_eq!(journal.envelope.body, Body::EightBit);
    assert!(!journal.envelope.utf8);
    assert_eq!(journal.session.protocol, "ESMTP");
    assert_eq!(journal.session.helo, "client.test");
    assert_eq!(
        journal.session.client_address,
        Some("127.0.0.1".parse().unwrap())
    );
    let rendered = String::from_utf8(delivered.rendered).unwrap();
    assert!(
        rendered.contains("Received: from client.test "),
        "{rendered}"
    );
    server.finish().await;
}

#[tokio::test]
async fn the_protocol_keyword_says_how_it_came() {
    let server = Server::start().await;
    for (hello, mail, keyword) in [
        ("HELO c.test", "MAIL FROM:<>", "SMTP"),
        ("EHLO c.test", "MAIL FROM:<>", "ESMTP"),
        (
            "EHLO c.test",
            "MAIL FROM:<грета@почта.example> SMTPUTF8",
            "UTF8SMTP",
        ),
    ] {
        let mut client = server.client().await;
        let to = ("RCPT TO:<bob@example.test>", "250 ");
        client
            .dialogue(&[
                (hello, "250"),
                (mail, "250 "),
                to,
                ("DATA", "354 "),
                (".", "250 "),
            ])
            .await;
        let last = server.store.delivered().await.pop().unwrap();
        assert_eq!(last.journal.session.protocol, keyword);
    }
    server.finish().await;
}

#[tokio::test]
async fn many_messages_over_one_connection_pipelined() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let mut said = b"EHLO client.test\r\n".to_vec();
    for number in 0..200 {
        said.extend_from_slice(
            format!(
                "MAIL FROM:<>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\nSubject: {number}\r\n\r\ntext\r\n.\r\n"
            )
            .as_bytes(),
        );
    }
    said.extend_from_slice(b"QUIT\r\n");
    client.write(&said).await;
    let replies = client.rest().await;
    assert_eq!(replies.matches("\r\n250 2.1.5 ").count(), 200);
    assert_eq!(replies.matches("\r\n354 ").count(), 200);
    assert!(replies.ends_with("221 2.0.0 Bye\r\n"), "{replies}");
    let delivered = server.store.delivered().await;
    assert_eq!(delivered.len(), 200);
    for (number, message) in delivered.iter().enumerate() {
        assert_eq!(
            message.octets,
            format!("Subject: {number}\r\n\r\ntext\r\n").as_bytes()
        );
    }
    server.finish().await;
}

#[tokio::test]
async fn a_large_message_goes_through_a_file_that_is_gone_afterwards() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.up_to_data().await;
    let line = [b"y".repeat(997).as_slice(), b"\r\n"].concat();
    let message = [b"Subject: large\r\n\r\n".as_slice(), &line.repeat(3000)].concat();
    client.write(&message).await;
    client.dialogue(&[(".", "250 2.")]).await;
    let delivered = server.store.only().await;
    assert!(delivered.in_file);
    assert!(delivered.octets == message);
    client.dialogue(&[("QUIT", "221")]).await;
    assert_eq!(server.staged(), 0);
    server.finish().await;
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_declared_or_not() {
    let server = Server::with(|config| config.core.size = 100_000).await;
    let mut client = server.client().await;
    client
        .dialogue(&[
            ("EHLO c.test", "250"),
            ("MAIL FROM:<> SIZE=100001", "552 5.3.4"),
        ])
        .await;
    client.up_to_data().await;
    client.write(&b"0123456789abcdef\r\n".repeat(10_000)).await;
    client.dialogue(&[(".", "552 5.3.4")]).await;
    assert_eq!(server.staged(), 0);
    assert!(server.store.delivered().await.is_empty());
    // The session goes on.
    client.up_to_data().await;
    client.dialogue(&[(".", "250 2.")]).await;
    server.finish().await;
}

#[tokio::test]
async fn a_full_disk_is_temporary() {
    let server = Server::on_a_disk(2 << 20).await;
    server.store.fill().await;
    let mut client = server.client().await;
    client.up_to_data().await;
    let message = format!("Subject: x\r\n\r\n{}.", "text\r\n".repeat(5_000));
    client.dialogue(&[(&message, "452 4.3.1")]).await;
    assert!(server.store.delivered().await.is_empty());
    server.store.make_room().await;
    client.up_to_data().await;
    client.dialogue(&[(&message, "250 2.")]).await;
    server.finish().await;
}

#[tokio::test]
async fn a_staging_directory_that_fails_is_temporary_and_the_message_is_not_taken_for_commands() {
    let server = Server::start().await;
    let staging = server.staging();
    let message = [b"\r\n", &b"QUIT\r\n".repeat(MEMORY / 4)[..], b"."].concat();
    let message = String::from_utf8(message).unwrap();
    std::fs::remove_dir(&staging).unwrap();
    let mut client = server.client().await;
    client.up_to_data().await;
    client.dialogue(&[(&message, "451 4.3.0")]).await;
    std::fs::create_dir(&staging).unwrap();
    client.up_to_data().await;
    client.dialogue(&[(&message, "250 2.")]).await;
    assert_eq!(server.store.delivered().await.len(), 1);
    server.finish().await;
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing_behind() {
    let server = Server::start().await;
    for cut in ["", "\r", "\r\n", "\r\n.", "\r\n.\r"] {
        let mut client = server.client().await;
        client.up_to_data().await;
        client.write(&b"z".repeat(2 * MEMORY)).await;
        client.write(cut.as_bytes()).await;
        drop(client);
    }
    // Ends once the connections have.
    let (store, staging) = (server.store.clone(), server.staging());
    server.stop.cancel();
    server.running.await.unwrap();
    assert!(store.delivered().await.is_empty());
    assert_eq!(std::fs::read_dir(staging).unwrap().count(), 0);
}

#[tokio::test]
async fn the_stop_lets_a_transaction_end_and_sends_idle_clients_away() {
    let server = Server::start().await;
    let mut idle = server.client().await;
    let mut busy = server.client().await;
    idle.dialogue(&[("EHLO c.test", "250")]).await;
    busy.up_to_data().await;
    server.stop.cancel();
    assert!(idle.rest().await.starts_with("421 4.3.2 mx.example.test "));
    drop(idle);
    busy.write(b"Subject: x\r\n").await;
    busy.dialogue(&[(".", "250 2.")]).await;
    assert!(busy.rest().await.starts_with("421 4.3.2 "));
    drop(busy);
    let store = server.store.clone();
    soon(server.finish()).await;
    assert_eq!(store.delivered().await.len(), 1);
}

#[tokio::test]
async fn a_transaction_that_outlasts_the_stop_is_told_so() {
    let server = Server::with(|config| config.drain = Duration::from_secs(4)).await;
    let mut between = server.client().await;
    let mut within = server.client().await;
    between
        .dialogue(&[("EHLO c.test", "250"), ("MAIL FROM:<>", "250")])
        .await;
    within.up_to_data().await;
    within.write(b"Subject: x\r\n").await;
    server.stop.cancel();
    for client in [&mut between, &mut within] {
        let last = soon(client.rest()).await;
        assert!(last.starts_with("421 4.3.2 mx.example.test "), "{last}");
    }
    server.running.await.unwrap();
}

#[tokio::test]
async fn a_unix_socket_is_as_good() {
    let directory = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::Unix(directory.path().join("smtp.sock"));
    let listener = Listener::bind(&endpoint).await.unwrap();
    let server = Server::on(listener, directory, |_| ()).await;
    let mut client = server.client().await;
    client.up_to_data().await;
    client.dialogue(&[(".", "250 2.")]).await;
    assert_eq!(
        server.store.only().await.journal.session.client_address,
        None
    );
    server.finish().await;
}

#[tokio::test]
async fn without_any_account_mail_is_put_off_and_not_bounced() {
    let server = Server::start().await;
    let mut client = server.client().await;
    for (reply, account) in [
        ("550 5.1.1", ALICE),
        ("550 5.1.1", BOB),
        ("451 4.3.0", "carol@example.test"),
    ] {
        client
            .dialogue(&[
                ("EHLO client.test", "250"),
                ("MAIL FROM:<>", "250"),
                ("RCPT TO:<nobody@example.test>", reply),
                ("RCPT TO:<alice@elsewhere.test>", "550 5.7.1"),
                ("RSET", "250"),
            ])
            .await;
        let (store, login) = (&server.store.store, Address::parse(account).unwrap());
        match reply.starts_with("550") {
            true => store.remove_account(&login).await.unwrap(),
            false => drop(store.add_account(&login, "").await.unwrap()),
        }
    }
    client
        .dialogue(&[
            ("MAIL FROM:<>", "250"),
            ("RCPT TO:<alice@example.test>", "550 5.1.1"),
            ("RCPT TO:<carol@example.test>", "250"),
        ])
        .await;
}
