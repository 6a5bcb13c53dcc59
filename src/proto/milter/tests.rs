use super::*;
use crate::mail::{EnhancedCode, Reply};
use proptest::prelude::*;
use std::net::IpAddr;

fn packet(command: u8, data: &[u8]) -> Vec<u8> {
    let mut out = (data.len() as u32 + 1).to_be_bytes().to_vec();
    out.push(command);
    out.extend_from_slice(data);
    out
}

fn parsed(command: u8, data: &[u8]) -> Result<Command<'_>, ProtocolError> {
    Command::parse(Packet { command, data })
}

fn offer(version: u32, actions: u32, steps: u32) -> Vec<u8> {
    let numbers = [version, actions, steps];
    let data: Vec<u8> = numbers
        .iter()
        .flat_map(|number| number.to_be_bytes())
        .collect();
    packet(b'O', &data)
}

/// Packets out of the stream, cut as they are.
fn packets(octets: &[u8], cut: usize) -> Result<Vec<(u8, Vec<u8>)>, ProtocolError> {
    let mut frames = Frames::default();
    let mut found = Vec::new();
    for mut piece in octets.chunks(cut) {
        while !piece.is_empty() {
            let (used, packet) = frames.next(piece)?;
            found.extend(packet.map(|packet| (packet.command, packet.data.to_vec())));
            piece = &piece[used..];
        }
    }
    Ok(found)
}

proptest! {
    #[test]
    fn how_the_octets_come_makes_no_difference(
        sent in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..8),
        cut in 1usize..60,
    ) {
        let octets: Vec<u8> = sent.iter().flat_map(|(command, data)| packet(*command, data)).collect();
        prop_assert_eq!(packets(&octets, cut).unwrap(), sent);
    }

    #[test]
    fn nothing_that_is_sent_makes_it_fail_otherwise_than_by_an_error(octets in proptest::collection::vec(any::<u8>(), 0..200), command in prop::sample::select(b"ABCDEHKLMNOQRTUx".to_vec())) {
        let _ = parsed(command, &octets);
        let mut server = Server::new();
        server.negotiate(&Offer { version: 6, actions: Actions(0x1ff), steps: Steps(0) }, &Wants::default()).unwrap();
        let _ = server.handle(Packet { command, data: &octets });
    }
}

#[test]
fn a_length_that_cannot_be_is_refused_at_once() {
    for length in [0, frame::MAX + 1, u32::MAX] {
        let mut frames = Frames::default();
        let error = frames.next(&length.to_be_bytes()).unwrap_err();
        assert_eq!(error, ProtocolError::Length(length));
    }
    let mut frames = Frames::default();
    assert_eq!(frames.next(&[0xff, 0xff]).unwrap(), (2, None));
    assert!(frames.is_within());
    assert!(frames.next(&[0xff, 0xff]).is_err());
}

#[test]
fn commands_are_understood() {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let connect = |name: &str, family| {
        Command::Connect(Connect {
            name: name.to_owned(),
            family,
        })
    };
    let path = |given: &str, parameters: &[&str]| Path {
        given: given.to_owned(),
        parameters: parameters.iter().map(|text| text.to_string()).collect(),
    };
    let v4 = Family::Ip {
        address: ip("192.0.2.1"),
        port: 258,
    };
    let v6 = |port| Family::Ip {
        address: ip("2001:db8::1"),
        port,
    };
    let table: &[(u8, &[u8], Command<'_>)] = &[
        (
            b'C',
            b"mail.example\x004\x01\x02192.0.2.1\0",
            connect("mail.example", v4.clone()),
        ),
        (b'C', b"x\x006\0\x002001:db8::1\0", connect("x", v6(0))),
        (
            b'C',
            b"x\x006\0\x19IPv6:2001:db8::1\0",
            connect("x", v6(25)),
        ),
        (b'C', b"x\x006\x01\x02::ffff:192.0.2.1\0", connect("x", v4)),
        (b'C', b"localhost\0U", connect("localhost", Family::Unknown)),
        (
            b'C',
            b"localhost\0L\0\0/run/x\0",
            connect("localhost", Family::Unix("/run/x".into())),
        ),
        (
            b'H',
            b"client.example\0",
            Command::Helo("client.example".into()),
        ),
        (
            b'M',
            b"<a@b.test>\0SIZE=5\0BODY=8BITMIME\0",
            Command::Mail(path("<a@b.test>", &["SIZE=5", "BODY=8BITMIME"])),
        ),
        (b'M', b"<>\0", Command::Mail(path("<>", &[]))),
        (b'R', b"a@b.test\0", Command::Rcpt(path("a@b.test", &[]))),
        (
            b'L',
            b"Subject\0 a\n\tb\0",
            Command::Header {
                name: b"Subject",
                value: b" a\n\tb",
            },
        ),
        (
            b'L',
            b"X\0\0",
            Command::Header {
                name: b"X",
                value: b"",
            },
        ),
        (b'B', b"a\0b", Command::Body(b"a\0b")),
        (b'E', b"", Command::End(b"")),
        (b'E', b"rest", Command::End(b"rest")),
        (
            b'D',
            b"Mi\0Q1\0{auth_authen}\0me\0",
            Command::Macros {
                command: b'M',
                pairs: vec![("i", b"Q1"), ("{auth_authen}", b"me")],
            },
        ),
        (
            b'D',
            b"C",
            Command::Macros {
                command: b'C',
                pairs: vec![],
            },
        ),
        (b'N', b"", Command::EndOfHeader),
        (b'T', b"", Command::Data),
        (b'A', b"", Command::Abort),
        (b'Q', b"", Command::Quit),
        (b'K', b"", Command::QuitNew),
        (b'U', b"FOO\0", Command::Unknown),
    ];
    for (command, data, expected) in table {
        let found = parsed(*command, data);
        assert_eq!(found.as_ref(), Ok(expected), "{:?}", char::from(*command));
    }
}

#[test]
fn malformed_commands_are_refused() {
    let table: &[(u8, &[u8])] = &[
        (b'C', b""),
        (b'C', b"name"),
        (b'C', b"name\0"),
        (b'C', b"name\x004"),
        (b'C', b"name\x004\0\x19192.0.2.1"),
        (b'C', b"name\x004\0\x19192.0.2.256\0"),
        (b'C', b"name\0X\0\x19x\0"),
        (b'H', b""),
        (b'H', b"no end"),
        (b'H', b"a\0b\0"),
        (b'M', b""),
        (b'M', b"<a@b.test>"),
        (b'L', b"Subject\0"),
        (b'L', b"Subject\0a\0b\0"),
        (b'D', b""),
        (b'D', b"Mi\0"),
        (b'D', b"M\xff\0x\0"),
        (b'O', b"\0\0\0\x06\0\0\0\0\0\0"),
        (b'z', b""),
        (0, b""),
    ];
    for (command, data) in table {
        assert!(parsed(*command, data).is_err(), "{command} {data:?}");
    }
}

#[test]
fn an_argument_gives_its_address_and_parameters() {
    let path = Path {
        given: "<a@b.test>".into(),
        parameters: vec!["ret=HDRS".into(), "SMTPUTF8".into()],
    };
    assert_eq!(path.address(), "a@b.test");
    assert_eq!(path.parameter("RET"), Some("HDRS"));
    assert_eq!(path.parameter("SMTPUTF8"), Some(""));
    assert_eq!(path.parameter("ENVID"), None);
}

fn wants() -> Wants {
    Wants {
        actions: Actions::ADD_HEADER | Actions::CHANGE_BODY,
        steps: Steps::NO_BODY | Steps::LEADING_SPACE | Steps::CONNECT_UNANSWERED,
        macros: vec![(Stage::Connect, "j"), (Stage::End, "i")],
    }
}

/// Does what every driver does with an answer that is always `continue`.
fn said(server: &mut Server, octets: &[u8]) -> Result<(), ProtocolError> {
    for (command, data) in packets(octets, octets.len().max(1))? {
        let event = server.handle(Packet {
            command,
            data: &data,
        })?;
        match event {
            Event::Negotiate(offer) => server.negotiate(&offer, &wants())?,
            Event::End(_) => {
                server.answer(Answer::Continue);
                server.end_message();
            }
            _ => drop(server.answer(Answer::Continue)),
        }
    }
    Ok(())
}

fn letters(server: &mut Server) -> String {
    let octets = std::mem::take(server.output());
    let found = packets(&octets, octets.len().max(1)).unwrap();
    found
        .iter()
        .map(|(command, _)| char::from(*command))
        .collect()
}

#[test]
fn only_what_both_want_is_in_force() {
    for (offered, version, actions, steps, macros) in [
        ((6, 0x1ff, 0x1f_ffff), 6, 0x103, 0x10_1010, true),
        ((6, 0x0ff, 0x00_07ff), 6, 0x003, 0x00_0010, false),
        ((2, 0x03f, 0x00_007f), 2, 0x003, 0x00_0010, false),
        ((9, 0x1ff, u32::MAX), 6, 0x103, 0x10_1010, true),
    ] {
        let mut server = Server::new();
        said(&mut server, &offer(offered.0, offered.1, offered.2)).unwrap();
        let answer = std::mem::take(server.output());
        let (command, data) = packets(&answer, 7).unwrap().remove(0);
        assert_eq!(command, b'O');
        let number = |at: usize| u32::from_be_bytes(data[at..at + 4].try_into().unwrap());
        assert_eq!((number(0), number(4), number(8)), (version, actions, steps));
        let expected: &[u8] = if macros {
            b"\0\0\0\0j\0\0\0\0\x05i\0"
        } else {
            b""
        };
        assert_eq!(&data[12..], expected);
    }
    let error = said(&mut Server::new(), &offer(1, 0, 0)).unwrap_err();
    assert_eq!(error, ProtocolError::Version(1));
}

#[test]
fn only_those_who_wait_are_answered() {
    let session = [
        packet(b'C', b"x\0U"),
        packet(b'H', b"client\0"),
        packet(b'M', b"<>\0"),
        packet(b'R', b"<a@b.test>\0"),
        packet(b'T', b""),
        packet(b'L', b"A\0b\0"),
        packet(b'N', b""),
        packet(b'B', b"body"),
        packet(b'E', b""),
    ]
    .concat();
    for (steps, answers) in [(0x1f_ffff, "Occcccccc"), (0, "Occccccccc")] {
        let mut server = Server::new();
        said(&mut server, &offer(6, 0x1ff, steps)).unwrap();
        said(&mut server, &session).unwrap();
        assert_eq!(letters(&mut server), answers, "{steps:x}");
        assert!(server.is_idle());
    }
}

#[test]
fn an_answer_that_nobody_waits_for_is_given_back() {
    let mut server = Server::new();
    said(&mut server, &offer(6, 0x1ff, 0x1f_ffff)).unwrap();
    let reply = Reply::new(550, EnhancedCode(5, 7, 1), "no");
    server.output().clear();
    let connect = Packet {
        command: b'C',
        data: b"x\0U",
    };
    server.handle(connect).unwrap();
    assert!(!server.answer(Answer::Refuse(&reply)));
    assert!(server.output().is_empty());
    let helo = Packet {
        command: b'H',
        data: b"x\0",
    };
    server.handle(helo).unwrap();
    assert!(server.answer(Answer::Refuse(&reply)));
    assert_eq!(*server.output(), packet(b'y', b"550 5.7.1 no\0"));
}

#[test]
fn what_comes_out_of_order_ends_it() {
    let mail = || packet(b'M', b"<>\0");
    let rcpt = || packet(b'R', b"<a@b.test>\0");
    for wrong in [
        vec![packet(b'C', b"x\0U")],
        vec![mail()],
        vec![offer(6, 0, 0), rcpt()],
        vec![offer(6, 0, 0), packet(b'E', b"")],
        vec![offer(6, 0, 0), packet(b'L', b"A\0b\0")],
        vec![offer(6, 0, 0), packet(b'B', b"b")],
        vec![offer(6, 0, 0), packet(b'C', b"x\0U"), packet(b'C', b"x\0U")],
        vec![offer(6, 0, 0), packet(b'C', b"x\0U"), offer(6, 0, 0)],
        vec![
            offer(6, 0, 0),
            mail(),
            packet(b'B', b"b"),
            packet(b'L', b"A\0b\0"),
        ],
        vec![offer(6, 0, 0), mail(), packet(b'T', b""), rcpt()],
        vec![offer(6, 0, 0), mail(), packet(b'A', b""), rcpt()],
        vec![offer(6, 0, 0), mail(), packet(b'H', b"x\0")],
    ] {
        let mut server = Server::new();
        let error = said(&mut server, &wrong.concat()).unwrap_err();
        assert!(
            matches!(error, ProtocolError::Order(_)),
            "{error} {wrong:?}"
        );
    }
}

#[test]
fn another_session_may_follow_on_a_connection() {
    let mut server = Server::new();
    said(&mut server, &offer(6, 0, 0)).unwrap();
    for _ in 0..2 {
        let session = [
            packet(b'D', b"Cj\0mx.example.test\0"),
            packet(b'C', b"x\0U"),
            packet(b'D', b"Mi\0Q1\0"),
            packet(b'M', b"<>\0"),
        ];
        said(&mut server, &session.concat()).unwrap();
        assert_eq!(server.macros().get("j"), Some("mx.example.test"));
        assert_eq!(server.macros().get("i"), Some("Q1"));
        said(&mut server, &packet(b'A', b"")).unwrap();
        assert_eq!(server.macros().get("i"), None);
        said(&mut server, &packet(b'K', b"")).unwrap();
        assert_eq!(server.macros().get("j"), None);
    }
}

#[test]
fn macros_are_bounded() {
    let mut server = Server::new();
    said(&mut server, &offer(6, 0, 0)).unwrap();
    let many = [b"C".to_vec(), b"a\0b\0".repeat(300)].concat();
    let error = said(&mut server, &packet(b'D', &many)).unwrap_err();
    assert_eq!(error, ProtocolError::Macros);
    let long = [b"Ca\0".to_vec(), vec![b'x'; 70_000], vec![0]].concat();
    let error = said(&mut server, &packet(b'D', &long)).unwrap_err();
    assert_eq!(error, ProtocolError::Macros);
}

#[test]
fn modifications_and_answers_as_octets() {
    let header = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    let (name, value) = header("X-A", " b\n\tc");
    let address = "<a@b.test>".to_owned();
    let table = [
        (
            Modification::AddHeader {
                name: name.clone(),
                value: value.clone(),
            },
            packet(b'h', b"X-A\0 b\n\tc\0"),
        ),
        (
            Modification::InsertHeader {
                at: 258,
                name: name.clone(),
                value,
            },
            packet(b'i', b"\0\0\x01\x02X-A\0 b\n\tc\0"),
        ),
        (
            Modification::ChangeHeader {
                nth: 2,
                name,
                value: Vec::new(),
            },
            packet(b'm', b"\0\0\0\x02X-A\0\0"),
        ),
        (
            Modification::ChangeSender {
                address: address.clone(),
                parameters: None,
            },
            packet(b'e', b"<a@b.test>\0"),
        ),
        (
            Modification::ChangeSender {
                address: "<>".into(),
                parameters: Some("RET=HDRS".into()),
            },
            packet(b'e', b"<>\0RET=HDRS\0"),
        ),
        (
            Modification::AddRecipient {
                address: address.clone(),
                parameters: None,
            },
            packet(b'+', b"<a@b.test>\0"),
        ),
        (
            Modification::AddRecipient {
                address: address.clone(),
                parameters: Some("NOTIFY=NEVER".into()),
            },
            packet(b'2', b"<a@b.test>\0NOTIFY=NEVER\0"),
        ),
        (
            Modification::DeleteRecipient { address },
            packet(b'-', b"<a@b.test>\0"),
        ),
        (
            Modification::Quarantine {
                reason: "a\0b".into(),
            },
            packet(b'q', b"ab\0"),
        ),
    ];
    for (modification, expected) in table {
        let mut server = Server::new();
        server.modify(&modification);
        assert_eq!(*server.output(), expected, "{modification:?}");
    }
    let mut server = Server::new();
    server.replace_body(&[b'x'; 70_000]);
    let pieces = packets(server.output(), 1000).unwrap();
    assert_eq!(
        pieces
            .iter()
            .map(|(_, data)| data.len())
            .collect::<Vec<_>>(),
        [65_535, 4_465]
    );
    assert!(pieces.iter().all(|(command, _)| *command == b'b'));
}

#[test]
fn a_reply_of_several_lines_repeats_its_codes_and_doubles_percent_signs() {
    let mut server = Server::new();
    said(&mut server, &offer(6, 0, 0)).unwrap();
    server.output().clear();
    let reply = Reply::new(550, EnhancedCode(5, 7, 1), "100% no\nreally");
    server
        .handle(Packet {
            command: b'M',
            data: b"<>\0",
        })
        .unwrap();
    assert!(server.answer(Answer::Refuse(&reply)));
    let expected = packet(b'y', b"550-5.7.1 100%% no\r\n550 5.7.1 really\0");
    assert_eq!(*server.output(), expected);
    let many = vec!["x"; 100].join("\n");
    server.output().clear();
    server
        .handle(Packet {
            command: b'R',
            data: b"<a@b.test>\0",
        })
        .unwrap();
    server.answer(Answer::Refuse(&Reply::new(
        451,
        EnhancedCode(4, 7, 1),
        &many,
    )));
    let lines = server
        .output()
        .iter()
        .filter(|octet| **octet == b'\n')
        .count();
    assert_eq!(lines, 31);
    assert!(server.output().ends_with(b"451 4.7.1 x\0"));
}
