//! Tables of dialogues: what a client says, what it is told, what the caller is asked.

use super::*;
use crate::mail::{Address, Body, Recipient, Replies, Ret, ReversePath};
use std::sync::Arc;

mod chunks;
mod dsn;
mod handover;
mod hygiene;
mod limits;
mod lmtp;
mod message;
mod oracle;
mod splits;
mod tls;

/// What a caller would notice.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Event {
    Hello(Hello),
    Mail(Mail),
    Xclient(Told),
    Xforward(Told),
    Rcpt(String),
    Data,
    Chunk,
    Message(Vec<u8>),
    Refused,
    Reset,
    StartTls,
    Close,
}

enum Machine {
    Commands(Server),
    Message(Receiving),
    Gone,
}

/// A caller that says yes to all but recipients at "no.test", messages that hold "no thanks" and chunks that hold "no room".
/// Where each recipient has a reply, those of "second" are refused.
struct Caller {
    machine: Machine,
    given: Vec<Recipient>,
    content: Vec<u8>,
    events: Vec<Event>,
    sent: Vec<u8>,
    farewell: Option<Farewell>,
    /// Of each client that XCLIENT tells of.
    trust: Trust,
}

fn config() -> Config {
    Config {
        dialect: Dialect::Smtp,
        hostname: "mx.test".into(),
        postmaster_domain: "example.test".into(),
        size: 1000,
        recipients: 3,
        smuggling: Smuggling::Reject,
        line: 5000,
        errors: 5,
        blame: Blame::Refusals,
        commands: 100_000,
        dsn: false,
        idle_commands: 50_000,
    }
}

impl Caller {
    fn new(security: Security) -> Self {
        Self::with(config(), security)
    }

    fn with(config: Config, security: Security) -> Self {
        Self {
            machine: Machine::Commands(Server::new(Arc::new(config), security)),
            given: Vec::new(),
            content: Vec::new(),
            events: Vec::new(),
            sent: Vec::new(),
            farewell: None,
            trust: Trust::default(),
        }
    }

    fn feed(&mut self, mut input: &[u8]) {
        loop {
            let used = match std::mem::replace(&mut self.machine, Machine::Gone) {
                Machine::Commands(server) => {
                    let (used, step) = server.next(input);
                    if !self.step(step) && used == input.len() {
                        return;
                    }
                    used
                }
                Machine::Message(receiving) => {
                    let (used, piece) = receiving.next(input);
                    if !self.piece(piece) && used == input.len() {
                        return;
                    }
                    used
                }
                Machine::Gone => return,
            };
            input = &input[used..];
        }
    }

    /// Whether there is more to do without more octets.
    fn step(&mut self, step: Step) -> bool {
        let server = match step {
            Step::Read(mut server) => {
                self.sent.append(server.output());
                self.machine = Machine::Commands(server);
                return false;
            }
            Step::Hello(asked) => {
                self.events.push(Event::Hello(asked.command.clone()));
                self.content.clear();
                asked.accept()
            }
            Step::Mail(asked) => {
                self.events.push(Event::Mail(asked.command.clone()));
                self.given.clear();
                asked.accept()
            }
            Step::Xclient(asked) => {
                let told = Told::clone(&asked.command.0);
                let refused = told.name == Some(Some("bad.test".into()));
                self.events.push(Event::Xclient(told));
                match refused {
                    true => asked.turn_away(&refusal(554, (5, 7, 1), "Not you")),
                    false => asked.accept(self.trust),
                }
            }
            Step::Xforward(asked) => {
                self.events
                    .push(Event::Xforward(Told::clone(&asked.command.0)));
                asked.accept()
            }
            Step::Rcpt(asked) => {
                let address = asked.command.address.to_string();
                let refused = address.ends_with("@no.test");
                self.events.push(Event::Rcpt(address));
                if refused {
                    asked.refuse(&refusal(550, (5, 7, 1), "Not ours"))
                } else {
                    self.given.push(asked.command.clone());
                    asked.accept()
                }
            }
            Step::Chunk(receiving) => {
                self.machine = Machine::Message(receiving);
                return true;
            }
            Step::Data(asked) => {
                self.events.push(Event::Data);
                self.machine = Machine::Message(asked.accept());
                return true;
            }
            Step::Reset(server) => {
                self.events.push(Event::Reset);
                self.content.clear();
                server
            }
            Step::StartTls(mut server) => {
                self.events.push(Event::StartTls);
                self.sent.append(server.output());
                server.secured()
            }
            Step::Close(rest, farewell) => {
                self.farewell = Some(farewell);
                self.events.push(Event::Close);
                self.sent.extend(rest);
                return false;
            }
        };
        self.machine = Machine::Commands(server);
        true
    }

    fn piece(&mut self, piece: Piece<'_>) -> bool {
        match piece {
            Piece::Read(mut receiving) => {
                self.sent.append(receiving.output());
                self.machine = Machine::Message(receiving);
                false
            }
            Piece::Content(receiving, octets) => {
                self.content.extend_from_slice(octets);
                self.machine = Machine::Message(receiving);
                true
            }
            Piece::Chunk(taken) => {
                let server = if self.content.windows(7).any(|text| text == b"no room") {
                    self.content.clear();
                    taken.refuse(refusal(452, (4, 3, 1), "No room"))
                } else {
                    taken.accept()
                };
                self.events.push(Event::Chunk);
                self.machine = Machine::Commands(server);
                true
            }
            Piece::End(ended) => {
                let content = std::mem::take(&mut self.content);
                let taken = refusal(250, (2, 0, 0), "Taken");
                let replies = if content.windows(9).any(|text| text == b"no thanks") {
                    refusal(550, (5, 7, 1), "No thanks").into()
                } else {
                    let each = self.given.iter().map(|given| {
                        match given.address.to_string().starts_with("second@") {
                            true => refusal(550, (5, 2, 1), "Not for me"),
                            false => taken.clone(),
                        }
                    });
                    Replies::Each {
                        each: each.collect(),
                        whole: taken,
                    }
                };
                self.events.push(Event::Message(content));
                self.machine = Machine::Commands(ended.reply(&replies));
                true
            }
            Piece::Refused(server) => {
                self.content.clear();
                self.events.push(Event::Refused);
                self.machine = Machine::Commands(server);
                true
            }
        }
    }

    fn sent(&self) -> &str {
        std::str::from_utf8(&self.sent).unwrap()
    }

    /// Code and enhanced code of each reply after the greeting; several lines count once.
    fn codes(&self) -> Vec<String> {
        self.sent()
            .split_terminator("\r\n")
            .filter(|line| line.as_bytes().get(3) == Some(&b' '))
            .skip(1)
            .map(|line| {
                let mut words = line.split(' ');
                let code = words.next().unwrap();
                match words.next() {
                    Some(word)
                        if word.starts_with(|c| code.starts_with(c)) && word.contains('.') =>
                    {
                        format!("{code} {word}")
                    }
                    _ => code.to_owned(),
                }
            })
            .collect()
    }
}

fn codes(said: &[u8]) -> Vec<String> {
    let mut caller = Caller::new(Security::StartTls);
    caller.feed(said);
    caller.codes()
}

/// What each line of a dialogue is answered; `EHLO c.test` goes before unless the line before says otherwise.
#[test]
fn one_command_after_ehlo() {
    let long = format!("NOOP {}", "x".repeat(2050));
    for (line, code) in [
        ("EHLO again.test", "250"),
        ("HELO [192.0.2.1]", "250"),
        ("EHLO", "501 5.5.4"),
        ("EHLO two words", "501 5.5.4"),
        ("EHLO (comment)", "501 5.5.4"),
        ("ehlo lower.test", "250"),
        ("NOOP", "250 2.0.0"),
        ("NOOP with words", "250 2.0.0"),
        ("noop  ", "250 2.0.0"),
        ("RSET", "250 2.0.0"),
        ("RSET now", "501 5.5.4"),
        ("VRFY alice", "252 2.0.0"),
        ("VRFY", "501 5.5.4"),
        ("EXPN staff", "502 5.5.1"),
        ("HELP", "214 2.0.0"),
        ("HELP MAIL", "214 2.0.0"),
        ("QUIT", "221 2.0.0"),
        ("QUIT now", "501 5.5.4"),
        ("AUTH PLAIN", "502 5.5.1"),
        ("BDAT", "421 4.5.4"),
        ("BDAT five", "421 4.5.4"),
        ("BDAT -1", "421 4.5.4"),
        ("BDAT 99999999999999999999", "421 4.5.4"),
        ("BDAT  5", "421 4.5.4"),
        ("bdat 0", "503 5.5.1"),
        ("BDAT 0 LAST", "503 5.5.1"),
        ("LHLO c.test", "500 5.5.1"),
        ("ETRN x", "502 5.5.1"),
        ("", "500 5.5.2"),
        (" NOOP", "500 5.5.2"),
        ("FROBNICATE", "500 5.5.2"),
        ("MAILFROM:<a@b.test>", "500 5.5.2"),
        ("GET / HTTP/1.1", "421 4.7.0"),
        ("CONNECT mx.test:25 HTTP/1.1", "421 4.7.0"),
        (&long, "500 5.5.6"),
        ("NO\0OP", "501 5.5.4"),
        ("NOOP\rQUIT", "500 5.5.2"),
        ("NOOP\nQUIT", "500 5.5.2"),
        ("STARTTLS", "220 2.0.0"),
        ("STARTTLS x", "501 5.5.4"),
        ("DATA", "503 5.5.1"),
        ("RCPT TO:<a@example.test>", "503 5.5.1"),
        // MAIL
        ("MAIL FROM:<>", "250 2.1.0"),
        ("mail from:<a@b.test>", "250 2.1.0"),
        ("MAIL FROM: <a@b.test>", "250 2.1.0"),
        ("MAIL FROM:<a@b.test> ", "250 2.1.0"),
        ("MAIL FROM:<\"a>b\"@b.test>", "250 2.1.0"),
        ("MAIL FROM:<\"a\\\">b\"@b.test>", "250 2.1.0"),
        ("MAIL FROM:<a@[192.0.2.1]>", "250 2.1.0"),
        ("MAIL FROM:<a@[IPv6:2001:db8::1]>", "250 2.1.0"),
        ("MAIL FROM:<@x.test,@y.test:a@b.test>", "250 2.1.0"),
        ("MAIL FROM:<a@b.test> SIZE=1000", "250 2.1.0"),
        ("MAIL FROM:<a@b.test> size=10 body=8bitmime", "250 2.1.0"),
        ("MAIL FROM:<a@b.test>  BODY=7BIT  SMTPUTF8", "250 2.1.0"),
        ("MAIL FROM:<грета@почта.example> SMTPUTF8", "250 2.1.0"),
        ("MAIL FROM:<грета@почта.example>", "553 5.6.7"),
        ("MAIL", "501 5.5.4"),
        ("MAIL FROM", "501 5.5.4"),
        ("MAIL TO:<a@b.test>", "501 5.5.4"),
        ("MAIL FROM:a@b.test", "501 5.5.4"),
        ("MAIL FROM:", "501 5.5.4"),
        ("MAIL FROM:<a@b.test", "501 5.5.4"),
        ("MAIL FROM:<a@b.test>SIZE=1", "501 5.5.4"),
        ("MAIL FROM:<alice>", "501 5.1.7"),
        ("MAIL FROM:<a b@b.test>", "501 5.1.7"),
        ("MAIL FROM:<a@b@c.test>", "501 5.1.7"),
        ("MAIL FROM:<a@-b.test>", "501 5.1.7"),
        ("MAIL FROM:<@x.test:>", "501 5.5.4"),
        ("MAIL FROM:<@x.test>", "501 5.5.4"),
        ("MAIL FROM:<@.:a@b.test>", "501 5.5.4"),
        ("MAIL FROM:<@x.test,y.test:a@b.test>", "501 5.5.4"),
        ("MAIL FROM:<a@b.test> SIZE=1001", "552 5.3.4"),
        (
            "MAIL FROM:<a@b.test> SIZE=99999999999999999999",
            "552 5.3.4",
        ),
        (
            "MAIL FROM:<a@b.test> SIZE=999999999999999999999",
            "501 5.5.4",
        ),
        ("MAIL FROM:<a@b.test> SIZE", "501 5.5.4"),
        ("MAIL FROM:<a@b.test> SIZE=", "501 5.5.4"),
        ("MAIL FROM:<a@b.test> SIZE=-1", "501 5.5.4"),
        ("MAIL FROM:<a@b.test> SIZE=1 SIZE=1", "501 5.5.4"),
        ("MAIL FROM:<a@b.test> BODY=9BIT", "501 5.5.4"),
        ("MAIL FROM:<a@b.test> BODY=BINARYMIME", "250 2.1.0"),
        ("MAIL FROM:<a@b.test> SMTPUTF8=yes", "501 5.5.4"),
        ("MAIL FROM:<a@b.test> X-Y=z", "555 5.5.4"),
        ("MAIL FROM:<a@b.test> ?=z", "501 5.5.4"),
        ("MAIL FROM:<a@b.test> X=a=b", "501 5.5.4"),
    ] {
        let said = format!("EHLO c.test\r\n{line}\r\n");
        assert_eq!(codes(said.as_bytes()).get(1).unwrap(), code, "{line:?}");
    }
    assert_eq!(codes(b"EHLO c.test\r\nVRFY \xff\xfe\r\n")[1], "500 5.5.2");
    assert_eq!(codes(b"EHLO c.test\r\nBDAT 5 \xff\r\n")[1], "421 4.5.4");
}

#[test]
fn one_command_after_mail() {
    for (line, code) in [
        ("RCPT TO:<a@example.test>", "250 2.1.5"),
        ("rcpt to: <a@example.test>", "250 2.1.5"),
        ("RCPT TO:<postmaster>", "250 2.1.5"),
        ("RCPT TO:<PostMaster>", "250 2.1.5"),
        ("RCPT TO:<\"quoted local\"@example.test>", "250 2.1.5"),
        ("RCPT TO:<a@[127.0.0.1]>", "250 2.1.5"),
        ("RCPT TO:<@relay.test:a@example.test>", "250 2.1.5"),
        ("RCPT TO:<@[IPv6:::1]:a@example.test>", "250 2.1.5"),
        ("RCPT TO:<a@no.test>", "550 5.7.1"),
        ("RCPT TO:<@example.test:a@no.test>", "550 5.7.1"),
        ("RCPT TO:<>", "501 5.1.3"),
        ("RCPT TO:<alice>", "501 5.1.3"),
        ("RCPT TO:<a@exa mple.test>", "501 5.1.3"),
        ("RCPT TO:<a@exam\u{1}ple.test>", "501 5.1.3"),
        ("RCPT TO:<почта@example.test>", "553 5.6.7"),
        ("RCPT FROM:<a@example.test>", "501 5.5.4"),
        ("RCPT TO:a@example.test", "501 5.5.4"),
        ("RCPT TO:<a@example.test> X-Y=z", "555 5.5.4"),
        ("MAIL FROM:<again@b.test>", "503 5.5.1"),
        ("STARTTLS", "503 5.5.1"),
        ("DATA", "503 5.5.1"),
        ("DATA now", "501 5.5.4"),
    ] {
        let said = format!("EHLO c.test\r\nMAIL FROM:<s@b.test>\r\n{line}\r\n");
        assert_eq!(codes(said.as_bytes())[2], code, "{line:?}");
    }
}

#[test]
fn before_ehlo_there_is_no_mail() {
    assert_eq!(
        codes(b"MAIL FROM:<a@b.test>\r\nRCPT TO:<a@b.test>\r\nDATA\r\nNOOP\r\nRSET\r\nHELP\r\n"),
        [
            "503 5.5.1",
            "503 5.5.1",
            "503 5.5.1",
            "250 2.0.0",
            "250 2.0.0",
            "214 2.0.0"
        ]
    );
}

#[test]
fn ehlo_lists_what_there_is() {
    for (security, starttls) in [
        (Security::Plain, ""),
        (Security::StartTls, "250-STARTTLS\r\n"),
        (Security::Tls, "250-REQUIRETLS\r\n"),
    ] {
        let mut caller = Caller::new(security);
        caller.feed(b"EHLO c.test\r\n");
        let expected = format!(
            "220 mx.test ESMTP wasmilter\r\n250-mx.test\r\n250-PIPELINING\r\n250-SIZE 1000\r\n{starttls}\
             250-8BITMIME\r\n250-SMTPUTF8\r\n250-CHUNKING\r\n250-BINARYMIME\r\n250-LIMITS RCPTMAX=3\r\n250 ENHANCEDSTATUSCODES\r\n"
        );
        assert_eq!(caller.sent(), expected);
    }
}

#[test]
fn a_pipelined_transaction_is_asked_in_order_and_answered_in_one_batch() {
    let mut caller = Caller::new(Security::Plain);
    caller.feed(b"");
    caller.sent.clear();
    caller.feed(
        b"EHLO c.test\r\nMAIL FROM:<S@Sender.test> SIZE=12 BODY=8BITMIME SMTPUTF8\r\nRCPT TO:<a@example.test>\r\n\
          RCPT TO:<b@no.test>\r\nRCPT TO:<postmaster>\r\nDATA\r\nSubject: x\r\n\r\n..dot\r\n.\r\nQUIT\r\n",
    );
    assert_eq!(
        caller.events,
        [
            Event::Hello(Hello {
                name: "c.test".into(),
                extended: true
            }),
            Event::Mail(Mail {
                sender: ReversePath::Address(Address::parse("S@sender.test").unwrap()),
                size: Some(12),
                body: Body::EightBit,
                utf8: true,
                require_tls: false,
                ret: None,
                envid: None,
            }),
            Event::Rcpt("a@example.test".into()),
            Event::Rcpt("b@no.test".into()),
            Event::Rcpt("postmaster@example.test".into()),
            Event::Data,
            Event::Message(b"Subject: x\r\n\r\n.dot\r\n".to_vec()),
            Event::Close,
        ]
    );
    let replies: Vec<_> = caller.sent().lines().skip(9).collect();
    assert_eq!(
        replies,
        [
            "250 2.1.0 Sender ok",
            "250 2.1.5 Recipient ok",
            "550 5.7.1 Not ours",
            "250 2.1.5 Recipient ok",
            "354 End the message with <CRLF>.<CRLF>",
            "250 2.0.0 Taken",
            "221 2.0.0 Bye"
        ]
    );
}

#[test]
fn when_all_recipients_were_refused_data_is_too_and_the_message_is_not_taken_for_commands() {
    assert_eq!(
        codes(b"EHLO c.test\r\nMAIL FROM:<>\r\nRCPT TO:<a@no.test>\r\nDATA\r\nRSET\r\nMAIL FROM:<>\r\n"),
        ["250", "250 2.1.0", "550 5.7.1", "554 5.5.1", "250 2.0.0", "250 2.1.0"]
    );
}

#[test]
fn ehlo_and_rset_end_the_transaction() {
    for command in ["RSET", "EHLO c.test", "HELO c.test"] {
        let said = format!(
            "EHLO c.test\r\nMAIL FROM:<>\r\nRCPT TO:<a@x.test>\r\n{command}\r\nDATA\r\nMAIL FROM:<>\r\n"
        );
        assert_eq!(
            codes(said.as_bytes())[4..],
            ["503 5.5.1", "250 2.1.0"],
            "{command}"
        );
    }
    let mut caller = Caller::new(Security::Plain);
    caller.feed(b"EHLO c.test\r\nRSET\r\nMAIL FROM:<>\r\nRSET\r\n");
    // Without a transaction too: XFORWARD may have been said for one.
    assert_eq!(
        caller.events.iter().filter(|e| **e == Event::Reset).count(),
        2
    );
}

#[test]
fn a_message_that_was_refused_leaves_the_session_as_it_was() {
    let body = b"EHLO c.test\r\nMAIL FROM:<>\r\nRCPT TO:<a@x.test>\r\nDATA\r\nno thanks\r\n.\r\nMAIL FROM:<>\r\n";
    assert_eq!(codes(body)[4..], ["550 5.7.1", "250 2.1.0"]);
}

#[test]
fn a_faulty_line_is_passed_over_to_its_crlf_and_answered_once() {
    let long = "x".repeat(5000);
    for (said, expected) in [
        (format!("{long}\r\nNOOP\r\n"), "500 5.5.6"),
        (format!("NOOP {long}\nQUIT\n\r\nNOOP\r\n"), "500 5.5.6"),
        ("RCPT TO:<x\nQUIT\n>\r\nNOOP\r\n".into(), "500 5.5.2"),
        ("NOOP\n\n\n\r\nNOOP\r\n".into(), "500 5.5.2"),
        ("\n\r\nNOOP\r\n".into(), "500 5.5.2"),
        ("NOOP\r\r\nNOOP\r\n".into(), "500 5.5.2"),
    ] {
        assert_eq!(codes(said.as_bytes()), [expected, "250 2.0.0"], "{said:?}");
    }
    // Somebody with a plain socket tool is told at once.
    assert_eq!(codes(b"EHLO c.test\n"), ["500 5.5.2"]);
}

#[test]
fn long_replies_are_sent_before_more_commands_are_read() {
    let mut server = Server::new(Arc::new(config()), Security::Plain);
    let flood = b"HELP\r\n".repeat(10_000);
    let mut rest = &flood[..];
    let mut most = 0;
    while !rest.is_empty() {
        let (used, step) = server.next(rest);
        rest = &rest[used..];
        let Step::Read(mut next) = step else {
            panic!("{step:?}")
        };
        most = most.max(next.output().len());
        next.output().clear();
        server = next;
    }
    assert!(most < 10_000, "{most}");
}
