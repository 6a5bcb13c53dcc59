//! XCLIENT and XFORWARD.

use super::*;

fn trusted(xclient: bool, xforward: bool) -> Caller {
    let server = Server::new(Arc::new(config()), Security::Plain);
    let trust = Trust { xclient, xforward };
    Caller {
        machine: Machine::Commands(server.trusting(trust)),
        trust,
        ..Caller::new(Security::Plain)
    }
}

#[test]
fn they_are_offered_to_those_who_may_say_them_and_to_no_others() {
    for (xclient, xforward) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut caller = trusted(xclient, xforward);
        caller.feed(b"EHLO c.test\r\nXCLIENT ADDR=192.0.2.1\r\nXFORWARD ADDR=192.0.2.1\r\n");
        let offered = |keyword| caller.sent().contains(keyword);
        assert_eq!(
            offered("\r\n250-XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT\r\n"),
            xclient
        );
        assert_eq!(
            offered("\r\n250-XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE\r\n"),
            xforward
        );
        let code = |trusted, code: &str| match trusted {
            true => code.to_owned(),
            false => "550 5.7.0".to_owned(),
        };
        assert_eq!(caller.codes()[1], code(xclient, "220"));
        assert_eq!(caller.codes()[2], code(xforward, "250 2.0.0"));
    }
}

#[test]
fn values_are_read_and_held_to_what_they_can_be() {
    let v6 = "2001:db8::1".parse().unwrap();
    let told = |set: fn(&mut Told)| {
        let mut told = Told::default();
        set(&mut told);
        Some(told)
    };
    for (arguments, expected) in [
        (
            "ADDR=192.0.2.1 NAME=a.test PORT=25 PROTO=ESMTP HELO=h.test LOGIN=bob+20b DESTADDR=IPV6:::1 DESTPORT=25",
            told(|told| {
                told.address = Some("192.0.2.1".parse().ok());
                told.name = Some(Some("a.test".into()));
                told.helo = Some(Some("h.test".into()));
                told.login = Some(Some("bob b".into()));
            }),
        ),
        (
            "addr=[unavailable] name=[TEMPUNAVAIL] HELO=[UNAVAILABLE] LOGIN=[UNAVAILABLE]",
            told(|told| {
                told.address = Some(None);
                told.name = Some(None);
                told.helo = Some(None);
                told.login = Some(None);
            }),
        ),
        (
            "ADDR=IPv6:2001:db8::1",
            Some(Told {
                address: Some(Some(v6)),
                ..Told::default()
            }),
        ),
        ("", None),
        ("ADDR", None),
        ("ADDR=", None),
        (
            "ADDR=2001:db8::1",
            Some(Told {
                address: Some(Some(v6)),
                ..Told::default()
            }),
        ),
        ("ADDR=IPV6:192.0.2.1", None),
        ("ADDR=192.0.2.1 ADDR=192.0.2.1", None),
        ("ADDR=[TEMPUNAVAIL]", None),
        ("PORT=65536", None),
        ("PROTO=HTTP", None),
        (
            "HELO=a+0D+0Ab+FF",
            Some(Told {
                helo: Some(Some("a??b?".to_owned())),
                ..Told::default()
            }),
        ),
        ("IDENT=a+0D+0Ab", None),
        (
            "HELO=a,+22b NAME=a+28b+29",
            Some(Told {
                helo: Some(Some("a??b".to_owned())),
                name: Some(Some("a?b?".to_owned())),
                ..Told::default()
            }),
        ),
        ("NAME=a+(b", None),
        ("NAME=a+2", None),
        ("LOGIN=+00", None),
        ("SOURCE=LOCAL", None),
        ("OTHER=x", None),
    ] {
        let mut caller = trusted(true, true);
        caller.feed(format!("XCLIENT {arguments}\r\n").as_bytes());
        match expected {
            Some(told) => assert_eq!(caller.events, [Event::Xclient(told)], "{arguments}"),
            None => assert_eq!(caller.codes(), ["501 5.5.4"], "{arguments}"),
        }
    }
    let mut caller = trusted(true, true);
    caller.feed(b"XFORWARD SOURCE=LOCAL IDENT=4Ab+20c\r\nXFORWARD LOGIN=x\r\n");
    let long = "\u{e9}".repeat(200);
    caller.feed(format!("XFORWARD HELO={long}\r\n").as_bytes());
    assert_eq!(caller.codes(), ["250 2.0.0", "501 5.5.4", "250 2.0.0"]);
    let Some(Event::Xforward(told)) = caller.events.last() else {
        panic!("{:?}", caller.events);
    };
    assert_eq!(told.helo, Some(Some("\u{e9}".repeat(127))));
}

/// A proxy passes on what its client says, once it has said whose words these are.
#[test]
fn the_client_told_of_may_say_what_is_for_it_to_say() {
    let mut caller = trusted(true, true);
    caller.trust = Trust::default();
    caller.feed(
        b"XCLIENT ADDR=192.0.2.1\r\nEHLO c.test\r\nXCLIENT ADDR=192.0.2.2\r\nXFORWARD ADDR=192.0.2.2\r\n",
    );
    assert_eq!(caller.codes(), ["220", "250", "550 5.7.0", "550 5.7.0"]);
    assert!(!caller.sent().contains("250-X"));
}

#[test]
fn nobody_pays_for_the_errors_of_the_client_before() {
    let mut caller = trusted(true, false);
    let errors = "WHAT\r\n".repeat(4);
    caller.feed(format!("{errors}XCLIENT NAME=a.test\r\n{errors}").as_bytes());
    assert!(!caller.sent().contains("421"), "{}", caller.sent());
}

#[test]
fn the_session_begins_anew_and_the_client_told_of_can_be_turned_away() {
    let mut caller = trusted(true, false);
    caller.feed(
        b"EHLO c.test\r\nXCLIENT NAME=a.test\r\nMAIL FROM:<>\r\nEHLO d.test\r\nMAIL FROM:<>\r\n\
          XCLIENT NAME=b.test\r\nRSET\r\nXCLIENT NAME=bad.test\r\nEHLO e.test\r\n",
    );
    let codes = [
        "250",
        "220",
        "503 5.5.1",
        "250",
        "250 2.1.0",
        "503 5.5.1",
        "250 2.0.0",
        "554 5.7.1",
        "503 5.5.1",
    ];
    assert_eq!(caller.codes(), codes);
}
