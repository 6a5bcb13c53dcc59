use super::*;
use crate::mail::{EnhancedCode, Line, Reply};
use proptest::prelude::*;

fn octets(command: &Command<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    command.write(&mut out);
    out
}

fn packet_of(octets: &[u8]) -> Packet<'_> {
    assert_eq!(
        octets[..4],
        (octets.len() as u32 - 4).to_be_bytes(),
        "{octets:?}"
    );
    Packet {
        command: octets[4],
        data: &octets[5..],
    }
}

fn offer(version: u32, actions: u32, steps: u32, more: &[u8]) -> Vec<u8> {
    let numbers = [version, actions, steps].map(u32::to_be_bytes).concat();
    [numbers.as_slice(), more].concat()
}

fn client(version: u32, actions: u32, steps: u32, more: &[u8]) -> Result<Client, ProtocolError> {
    let data = offer(version, actions, steps, more);
    let command = b'O';
    Opening::new(&mut Vec::new()).answered(Packet {
        command,
        data: &data,
    })
}

fn none(_: &str) -> Option<String> {
    None
}

/// Says it; what went out and whether an answer is to come.
fn said(client: Client, command: &Command<'_>) -> (Vec<u8>, Next) {
    let mut out = Vec::new();
    let next = client.say(command, &none, &mut out);
    (out, next)
}

fn asked(client: Client, command: &Command<'_>) -> Waiting {
    match said(client, command).1 {
        Next::Filter(waiting) => waiting,
        Next::Client(_) => panic!("{command:?} is not answered"),
    }
}

fn path(given: &str) -> Path {
    Path {
        given: given.to_owned(),
        parameters: vec!["SIZE=5".to_owned()],
    }
}

#[test]
fn the_offer_is_what_a_mail_server_offers() {
    let mut out = Vec::new();
    Opening::new(&mut out);
    assert_eq!(packet_of(&out).data, offer(6, 0x1ff, 0x1f_f7ff, b""));
}

#[test]
fn what_is_written_is_what_is_understood() {
    let address = |text: &str| text.parse().unwrap();
    let connect = |family| {
        Command::Connect(Connect {
            name: "mail.example".to_owned(),
            family,
        })
    };
    let ip = |text| Family::Ip {
        address: address(text),
        port: 258,
    };
    for command in [
        connect(Family::Unknown),
        connect(Family::Unix("/run/x".to_owned())),
        connect(ip("192.0.2.1")),
        connect(ip("2001:db8::1")),
        Command::Helo("client.example".to_owned()),
        Command::Mail(path("<>")),
        Command::Rcpt(path("<a@b.test>")),
        Command::Data,
        Command::Header {
            name: b"Subject",
            value: b" a\n\tb\xfc",
        },
        Command::EndOfHeader,
        Command::Body(b"a\0b\r\n"),
        Command::End(b""),
        Command::Abort,
        Command::Quit,
        Command::QuitNew,
        Command::Unknown,
        Command::Macros {
            command: b'M',
            pairs: vec![("{auth_type}", b"PLAIN")],
        },
    ] {
        let octets = octets(&command);
        assert_eq!(Command::parse(packet_of(&octets)).unwrap(), command);
    }
}

#[test]
fn a_command_comes_with_the_macros_of_its_stage() {
    let values = |name: &str| Some(format!("<{name}>"));
    let ours = client(6, 0x1ff, 0, b"").unwrap();
    let mut out = Vec::new();
    ours.say(&Command::Rcpt(path("<a@b.test>")), &values, &mut out);
    let expected = b"Ri\0<i>\0{rcpt_addr}\0<rcpt_addr>\0{rcpt_host}\0<rcpt_host>\0{rcpt_mailer}\0<rcpt_mailer>\0";
    assert_eq!(out[4], b'D');
    assert!(out[5..].starts_with(expected), "{out:?}");
    // Those that it asked for, and no others.
    let ours = client(6, 0x1ff, 0, b"\0\0\0\x03i, {other}\0").unwrap();
    let mut out = Vec::new();
    let only = |name: &str| (name == "other").then(|| "v\0w".to_owned());
    ours.say(&Command::Rcpt(path("<a@b.test>")), &only, &mut out);
    assert!(out[5..].starts_with(b"R{other}\0vw\0"), "{out:?}");
}

#[test]
fn it_is_spared_what_it_does_not_want() {
    let field = Command::Header {
        name: b"A",
        value: b"b",
    };
    for (steps, command, letters, answered) in [
        (Steps::NO_CONNECT, Command::Helo("x".to_owned()), "DH", true),
        (Steps::NO_HELO, Command::Helo("x".to_owned()), "", false),
        (
            Steps::HELO_UNANSWERED,
            Command::Helo("x".to_owned()),
            "DH",
            false,
        ),
        (Steps::NO_HEADER, field.clone(), "", false),
        (Steps::HEADER_UNANSWERED, field.clone(), "L", false),
        (Steps(0), field, "L", true),
        (Steps::NO_BODY, Command::Body(b"x"), "", false),
        (Steps::BODY_UNANSWERED, Command::Body(b"x"), "B", false),
        (Steps(0x1f_f7ff), Command::End(b""), "DE", true),
        (Steps(0), Command::Data, "DT", true),
        (Steps(0), Command::Quit, "Q", false),
    ] {
        let (out, next) = said(client(6, 0, steps.0, b"").unwrap(), &command);
        let mut found = String::new();
        let mut rest = &out[..];
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            found.push(char::from(after[0]));
            rest = &after[u32::from_be_bytes(*length) as usize..];
        }
        assert_eq!(found, letters, "{command:?}");
        assert_eq!(matches!(next, Next::Filter(_)), answered, "{command:?}");
    }
    // DATA came with version 4.
    let (out, next) = said(client(2, 0, 0, b"").unwrap(), &Command::Data);
    assert!(out.is_empty() && matches!(next, Next::Client(_)));
}

#[test]
fn nonsense_at_the_negotiation_is_refused() {
    for (version, actions, steps, more) in [
        (1, 0, 0, &b""[..]),
        (7, 0, 0, b""),
        (6, 0x200, 0, b""),
        (6, 0, 0x800, b""),
        (6, 0x100, 0, b"\0\0\0\x01i"),
        (6, 0x100, 0, b"\0\0\0\x09i\0"),
        (6, 0x100, 0, b"\0\0"),
    ] {
        assert!(
            client(version, actions, steps, more).is_err(),
            "{version} {more:?}"
        );
    }
    // What comes behind it and was not asked for is not looked at.
    assert!(client(6, 0, 0, b"nonsense").is_ok());
}

#[test]
fn answers_and_replies_are_understood() {
    let reply = |code, (class, subject, detail), lines: &[&str]| {
        Some(Said::Refuse(Reply {
            code,
            enhanced: Some(EnhancedCode(class, subject, detail)),
            lines: lines.iter().map(|line| Line::new(*line).unwrap()).collect(),
            limit: None,
        }))
    };
    let table: &[(u8, &[u8], Option<Said>)] = &[
        (b'c', b"", Some(Said::Continue)),
        (b'a', b"", Some(Said::Accept)),
        (b'd', b"", Some(Said::Discard)),
        (b'r', b"", Some(Said::Reject)),
        (b't', b"", Some(Said::Tempfail)),
        (b'4', b"", Some(Said::Shutdown)),
        (b'y', b"550 5.7.1 no\0", reply(550, (5, 7, 1), &["no"])),
        (
            b'y',
            b"550-5.1.1 one\r\n550 5.1.1 two\0",
            reply(550, (5, 1, 1), &["one", "two"]),
        ),
        (b'y', b"451\0", reply(451, (4, 7, 1), &[""])),
        (
            b'y',
            b"451 100%% no\r\n\0",
            reply(451, (4, 7, 1), &["100% no"]),
        ),
        // Of another class than the code, it is text.
        (
            b'y',
            b"550 4.7.1 no\0",
            reply(550, (5, 7, 1), &["4.7.1 no"]),
        ),
        (b'y', b"\xff50 x\0", None),
        (b'y', b"250 ok\0", None),
        (b'y', b"600 x\0", None),
        (b'y', b"550x\0", None),
        (b'y', b"550 a\rb\0", None),
        (b'y', b"550-a\r\n551 b\0", None),
        (b'y', b"550 a", None),
        (b'y', b"", None),
        (b'y', b"\0", None),
        (b'z', b"", None),
        (b'O', b"", None),
    ];
    for (command, data, expected) in table {
        let waiting = asked(client(6, 0x1ff, 0, b"").unwrap(), &Command::End(b""));
        let heard = waiting.hear(Packet {
            command: *command,
            data,
        });
        match (heard, expected) {
            (Ok(Heard::Answer(_, said)), Some(expected)) => assert_eq!(said, *expected),
            (Err(_), None) => {}
            (heard, _) => panic!("{:?} {data:?}: {heard:?}", char::from(*command)),
        }
    }
}

#[test]
fn modifications_are_those_that_the_other_side_writes() {
    let text = |text: &str| text.as_bytes().to_vec();
    let table = [
        Modification::AddHeader {
            name: text("A"),
            value: text(" b\n\tc"),
        },
        Modification::InsertHeader {
            at: 258,
            name: text("A"),
            value: text(""),
        },
        Modification::ChangeHeader {
            nth: 2,
            name: text("A"),
            value: text("b"),
        },
        Modification::ChangeSender {
            address: "<>".to_owned(),
            parameters: Some("ENVID=1".to_owned()),
        },
        Modification::AddRecipient {
            address: "<a@b.test>".to_owned(),
            parameters: None,
        },
        Modification::AddRecipient {
            address: "<a@b.test>".to_owned(),
            parameters: Some("NOTIFY=NEVER".to_owned()),
        },
        Modification::DeleteRecipient {
            address: "<a@b.test>".to_owned(),
        },
        Modification::Quarantine {
            reason: "odd".to_owned(),
        },
    ];
    for modification in table {
        let mut server = Server::new();
        server.modify(&modification);
        let octets = std::mem::take(server.output());
        let needed = modification.action().0;
        for (actions, at_end) in [(needed, true), (0x1ff & !needed, true), (0x1ff, false)] {
            let ours = client(6, actions, 0, b"").unwrap();
            let command = if at_end {
                Command::End(b"")
            } else {
                Command::EndOfHeader
            };
            let heard = asked(ours, &command).hear(packet_of(&octets));
            match heard {
                Ok(Heard::Modification(_, heard)) if at_end && actions == needed => {
                    assert_eq!(heard, modification);
                }
                Err(ProtocolError::NotAgreed(_)) if at_end && actions != needed => {}
                Err(ProtocolError::Order(_)) if !at_end => {}
                heard => panic!("{modification:?}: {heard:?}"),
            }
        }
    }
}

proptest! {
    #[test]
    fn nothing_that_a_filter_says_makes_it_fail_otherwise_than_by_an_error(
        data in proptest::collection::vec(any::<u8>(), 0..200),
        letter in prop::sample::select(b"Ocadrtsy4fpbhime+2-qz".to_vec()),
        at_end in any::<bool>(),
    ) {
        let packet = Packet { command: letter, data: &data };
        let _ = Opening::new(&mut Vec::new()).answered(packet);
        let ours = client(6, 0x1ff, 0x400, b"").unwrap();
        let command = if at_end { Command::End(b"") } else { Command::Body(b"x") };
        if let Ok(Heard::Answer(_, Said::Refuse(reply))) = asked(ours, &command).hear(packet) {
            prop_assert!(!reply.is_positive());
        }
    }
}
