//! What no mail server sends: nothing of it may harm the others.

use super::mta::packet;
use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const ALICE: &[&str] = &["alice@example.test"];

fn offer() -> Vec<u8> {
    let numbers = [6u32, 0x1ff, 0x1f_ffff];
    packet(b'O', &numbers.map(u32::to_be_bytes).concat())
}

/// It works for somebody who speaks the protocol.
async fn works(server: &Server) {
    let mut mta = connect(server).await;
    mta.session().await;
    let outcome = mta.message("Q1", ALICE, MESSAGE).await;
    assert_eq!(outcome.answer, 'c');
}

#[tokio::test]
async fn what_is_not_the_protocol_ends_the_connection() {
    let server = scripted(r#"message = ["log seen"]"#).await;
    let connect = || packet(b'C', b"x\0U");
    let mail = || packet(b'M', b"<a@client.test>\0");
    for wrong in [
        b"EHLO client.example\r\n".to_vec(),
        vec![0, 0, 0, 0],
        vec![0xff; 4],
        (2u32 << 20).to_be_bytes().to_vec(),
        packet(b'O', b"\0\0\0\x06"),
        packet(b'O', &[1u32, 0, 0].map(u32::to_be_bytes).concat()),
        packet(b'z', b""),
        connect(),
        [offer(), packet(b'z', b"")].concat(),
        [offer(), packet(b'C', b"x")].concat(),
        [offer(), packet(b'C', b"x\x004\0\x19not an address\0")].concat(),
        [offer(), packet(b'R', b"<a@b.test>\0")].concat(),
        [offer(), connect(), packet(b'E', b"")].concat(),
        [offer(), connect(), offer()].concat(),
        [offer(), connect(), mail(), packet(b'L', b"no end")].concat(),
        [
            offer(),
            connect(),
            mail(),
            packet(b'B', b"x"),
            packet(b'L', b"A\0b\0"),
        ]
        .concat(),
        [
            offer(),
            packet(b'D', &[b"C".to_vec(), b"a\0b\0".repeat(1000)].concat()),
        ]
        .concat(),
    ] {
        let mut stream = TcpStream::connect(server.address(Protocol::Milter))
            .await
            .unwrap();
        stream.write_all(&wrong).await.unwrap();
        let mut said = Vec::new();
        // It may be a reset: not all that was sent need have been read.
        let _ = soon(stream.read_to_end(&mut said)).await;
        let answers = if said.is_empty() { 0 } else { 1 };
        assert!(
            said.len() < 300 && (answers == 0 || said[4] == b'O'),
            "{wrong:?}: {said:?}"
        );
    }
    works(&server).await;
}

#[tokio::test]
async fn a_mail_server_that_vanishes_takes_its_message_with_it() {
    let server = scripted(r#"message = ["log seen"]"#).await;
    let whole = [
        offer(),
        packet(b'C', b"x\0U"),
        packet(b'M', b"<a@client.test>\0"),
        packet(b'R', b"<alice@example.test>\0"),
        packet(b'L', b"Subject\0 x\0"),
        packet(b'B', &[b'x'; 60_000]),
        packet(b'B', &[b'x'; 60_000]),
        packet(b'B', &[b'x'; 60_000]),
    ]
    .concat();
    for at in [3, 10, 20, 40, 70, 90, 1_000, 70_000, 150_000, whole.len()] {
        let mut stream = TcpStream::connect(server.address(Protocol::Milter))
            .await
            .unwrap();
        stream.write_all(&whole[..at]).await.unwrap();
    }
    works(&server).await;
    let staging = server.app.store().staging().to_owned();
    soon(async {
        while std::fs::read_dir(&staging).unwrap().count() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn commands_come_in_any_pieces() {
    let server = scripted(r#"message = ["add X-A 1"]"#).await;
    let octets = [
        offer(),
        packet(b'D', b"Cj\0mx.example.test\0"),
        packet(b'C', b"x\0U"),
        packet(b'M', b"<a@client.test>\0"),
        packet(b'R', b"<alice@example.test>\0"),
        packet(b'L', b"Subject\0 x\0"),
        packet(b'B', b"body"),
        packet(b'E', b"more"),
        packet(b'Q', b""),
    ]
    .concat();
    for size in [1, 3, 1000] {
        let mut stream = TcpStream::connect(server.address(Protocol::Milter))
            .await
            .unwrap();
        stream.set_nodelay(true).unwrap();
        for piece in octets.chunks(size) {
            stream.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut said = Vec::new();
        soon(stream.read_to_end(&mut said)).await.unwrap();
        let end = [packet(b'h', b"X-A\0 1\0"), packet(b'c', b"")].concat();
        assert!(said.ends_with(&end), "{said:?}");
    }
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_at_its_end() {
    let more = "[limits]\nmessage-size = \"64 KiB\"\n";
    let server = with(more, |home| {
        guest(home, "guest", r#"message = ["log seen"]"#)
    })
    .await;
    let mut mta = connect(&server).await;
    mta.session().await;
    let large = MESSAGE.replace("Hello.", &"x".repeat(70_000));
    let outcome = mta.message("Q1", ALICE, &large).await;
    assert_eq!(outcome.answer, 'y');
    assert!(outcome.text.starts_with("552 5.3.4"), "{}", outcome.text);
    let outcome = mta.message("Q2", ALICE, MESSAGE).await;
    assert_eq!(outcome.answer, 'c');
}

#[tokio::test]
async fn a_thousand_connections_are_served_at_once() {
    let server = scripted(r#"message = ["add X-A 1"]"#).await;
    let mut open = Vec::new();
    for _ in 0..1000 {
        let mut mta = connect(&server).await;
        mta.session().await;
        open.push(mta);
    }
    for mta in open.iter_mut().step_by(50) {
        let outcome = mta.message("Q1", ALICE, MESSAGE).await;
        assert_eq!(outcome.changes, "h");
    }
}

#[tokio::test]
async fn over_the_limit_of_connections_the_next_is_closed() {
    let server = with("[limits]\nconnections = 2\n", |_| ()).await;
    let _first = connect(&server).await;
    let _second = connect(&server).await;
    let mut third = TcpStream::connect(server.address(Protocol::Milter))
        .await
        .unwrap();
    assert!(matches!(
        soon(third.read(&mut [0; 1])).await,
        Ok(0) | Err(_)
    ));
}
