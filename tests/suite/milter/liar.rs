//! Milters that lie, hang and vanish: each costs its own turn, and the server goes on.

use super::link::{linked, messages, octets, send, told};
use super::mta::packet;
use super::*;
use crate::support::{ALICE, BOB};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What it does at a command.
#[derive(Clone)]
enum At {
    Says(u8, Vec<u8>),
    Vanishes(u8),
    Hangs(u8),
}

/// Answers all as it should, but for one command; takes what it is sent to the end.
async fn liar(offer: Vec<u8>, at: At) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(lie(stream, offer.clone(), at.clone()));
        }
    });
    address
}

async fn lie(mut stream: TcpStream, offer: Vec<u8>, at: At) -> std::io::Result<()> {
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length).await?;
        let mut octets = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut octets).await?;
        let command = octets[0];
        match &at {
            At::Says(letter, said) if *letter == command => stream.write_all(said).await?,
            At::Vanishes(letter) if *letter == command => return Ok(()),
            At::Hangs(letter) if *letter == command => {}
            _ if command == b'O' => stream.write_all(&offer).await?,
            _ if b"DAQK".contains(&command) => {}
            _ => stream.write_all(&packet(b'c', b"")).await?,
        }
    }
}

fn offer(version: u32, actions: u32, steps: u32) -> Vec<u8> {
    packet(
        b'O',
        &[version, actions, steps].map(u32::to_be_bytes).concat(),
    )
}

fn honest() -> Vec<u8> {
    offer(6, 0x1ff, 0)
}

async fn refused(offer: Vec<u8>, at: At, what: &str) {
    let address = liar(offer, at).await;
    let more = "connect-timeout-s = 1\ncommand-timeout-s = 1\ncontent-timeout-s = 1\n";
    let server = linked(&address, more).await;
    let (code, reply) = send(&server, ALICE, MESSAGE).await;
    assert_eq!(code, 451, "{what}: {reply}");
    assert!(messages(&server, ALICE).await.is_empty(), "{what}");
    assert_eq!(server.app.milters()[0].failures, 1, "{what}");
    server.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_the_protocol_is_a_failure_and_changes_nothing() {
    let end = |said: Vec<u8>| At::Says(b'E', said);
    let done = |said: Vec<u8>| end([said, packet(b'c', b"")].concat());
    let header = |value: &[u8]| packet(b'h', &[b"X-A\0".as_slice(), value, b"\0"].concat());
    for (what, offer, at) in [
        ("a later version", offer(7, 0, 0), At::Hangs(b'-')),
        ("an early version", offer(1, 0, 0), At::Hangs(b'-')),
        ("unknown actions", offer(6, 0x200, 0), At::Hangs(b'-')),
        ("unknown steps", offer(6, 0, 0x8000_0000), At::Hangs(b'-')),
        (
            "half an offer",
            packet(b'O', b"\0\0\0\x06"),
            At::Hangs(b'-'),
        ),
        ("no offer", packet(b'c', b""), At::Hangs(b'-')),
        (
            "macros of no stage",
            packet(
                b'O',
                &[
                    [0, 0, 0, 6, 0, 0, 1, 0, 0, 0, 0, 0].as_slice(),
                    b"\0\0\0\x09i\0",
                ]
                .concat(),
            ),
            At::Hangs(b'-'),
        ),
        ("an unknown reply", honest(), end(packet(b'z', b""))),
        ("an oversized packet", honest(), end(vec![0xff; 8])),
        ("an empty packet", honest(), end(vec![0; 4])),
        (
            "a change before the end",
            honest(),
            At::Says(b'M', header(b"1")),
        ),
        (
            "skip where there is no body",
            honest(),
            At::Says(b'L', packet(b's', b"")),
        ),
        (
            "skip that was not agreed on",
            honest(),
            At::Says(b'B', packet(b's', b"")),
        ),
        (
            "a change that was not agreed on",
            offer(6, 0, 0),
            done(header(b"1")),
        ),
        (
            "a body that was not agreed on",
            offer(6, 1, 0),
            done(packet(b'b', b"x")),
        ),
        (
            "a field in a value",
            honest(),
            done(header(b"1\r\nBcc: x@y.test")),
        ),
        ("a bare CR", honest(), done(header(b"1\rBcc: x@y.test"))),
        (
            "the end of the header in a value",
            honest(),
            done(header(b"1\n \n 2")),
        ),
        ("a NUL in a value", honest(), done(header(b"1\0 2"))),
        ("no name", honest(), done(packet(b'h', b"\x001\0"))),
        (
            "a name with a colon",
            honest(),
            done(packet(b'h', b"A: b\0c\0")),
        ),
        ("no address", honest(), done(packet(b'+', b"<a@b c>\0"))),
        (
            "a reply without a code",
            honest(),
            end(packet(b'y', b"no\0")),
        ),
        (
            "a reply that accepts",
            honest(),
            end(packet(b'y', b"250 ok\0")),
        ),
        (
            "a reply with a NUL",
            honest(),
            end(packet(b'y', b"550 \0x\0")),
        ),
        (
            "two answers",
            honest(),
            end([packet(b'c', b""), packet(b'c', b"")].concat()),
        ),
        (
            "too many changes",
            honest(),
            done(header(b"1").repeat(1001)),
        ),
    ] {
        refused(offer, at, what).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_hangs_or_vanishes_is_not_waited_for() {
    for command in *b"OCHMRLNBE" {
        let what = char::from(command).to_string();
        refused(honest(), At::Vanishes(command), &what).await;
    }
    for command in *b"OME" {
        let what = char::from(command).to_string();
        refused(honest(), At::Hangs(command), &what).await;
    }
}

/// Its word that it is at work gives it time, and old ones are understood.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_right_counts() {
    let end = |said: &[Vec<u8>]| At::Says(b'E', said.concat());
    let progress = packet(b'p', b"");
    for (offer, at, code, text) in [
        (
            honest(),
            end(&[progress.clone(), progress, packet(b'c', b"")]),
            250,
            "",
        ),
        (
            offer(2, 0x3f, 0),
            end(&[packet(b'h', b"X-A\0b\0"), packet(b'a', b"")]),
            250,
            "",
        ),
        (honest(), At::Says(b'L', packet(b'a', b"")), 250, ""),
        (
            honest(),
            At::Says(b'M', packet(b'r', b"")),
            550,
            "5.7.1 Refused by a filter",
        ),
        (
            honest(),
            At::Says(b'C', packet(b't', b"")),
            451,
            "4.7.1 A filter asks you to try again later",
        ),
        (
            honest(),
            At::Says(b'R', packet(b'4', b"")),
            451,
            "4.7.1 A filter asks you to try again later",
        ),
        (
            honest(),
            end(&[packet(b'y', b"550-5.7.9 one\r\n550 5.7.9 100%% two\0")]),
            550,
            "5.7.9 100% two",
        ),
        (
            honest(),
            end(&[packet(b'y', b"421 4.3.2 away\0")]),
            451,
            "4.3.2 away",
        ),
    ] {
        let address = liar(offer, at).await;
        let server = linked(&address, "").await;
        let (found, reply) = send(&server, ALICE, MESSAGE).await;
        assert_eq!(found, code, "{reply}");
        assert!(reply.contains(text), "{reply}");
        assert_eq!(server.app.milters()[0].failures, 0);
        assert_eq!(
            messages(&server, ALICE).await.len(),
            usize::from(code == 250)
        );
    }
    // For this client all addresses are ASCII.
    let said = [
        packet(b'+', "<j\u{fc}rgen@example.test>\0".as_bytes()),
        packet(b'e', "<j\u{fc}rgen@client.test>\0".as_bytes()),
        packet(b'c', b""),
    ];
    let server = linked(&liar(honest(), end(&said)).await, "").await;
    let (_, reply) = send(&server, ALICE, MESSAGE).await;
    let journal = told(&server, &reply).await;
    let refused = &journal.turns.last().unwrap().refused;
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert!(
        refused
            .iter()
            .all(|why| why.contains("did not ask for SMTPUTF8")),
        "{refused:?}"
    );
    // What libmilter says for smfi_addrcpt_par without parameters.
    let added = end(&[packet(b'2', b"<bob@example.test>\0"), packet(b'c', b"")]);
    let server = linked(&liar(honest(), added).await, "").await;
    let (found, reply) = send(&server, ALICE, MESSAGE).await;
    assert_eq!(found, 250, "{reply}");
    assert_eq!(messages(&server, BOB).await.len(), 1);
    // Octets of a charset of old.
    let subject = b"\0\0\0\x01Subject\0Gr\xfc\xdfe\0";
    let changed = end(&[packet(b'm', subject), packet(b'c', b"")]);
    let server = linked(&liar(honest(), changed).await, "").await;
    let (found, reply) = send(&server, ALICE, MESSAGE).await;
    assert_eq!(found, 250, "{reply}");
    let octets = octets(&server, ALICE).await.remove(0);
    let field = b"\r\nSubject: Gr\xfc\xdfe\r\n";
    assert!(octets.windows(field.len()).any(|window| window == field));
    let journal = told(&server, &reply).await;
    assert_eq!(journal.turns.last().unwrap().edits.len(), 1);
    // Discarded: the client is told that it was taken.
    for command in *b"MRE" {
        let at = At::Says(command, packet(b'd', b""));
        let server = linked(&liar(honest(), at).await, "").await;
        let (found, reply) = send(&server, ALICE, MESSAGE).await;
        assert_eq!(found, 250, "{reply}");
        assert!(messages(&server, ALICE).await.is_empty());
    }
}
