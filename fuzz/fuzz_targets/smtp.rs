//! The core of SMTP and LMTP, BDAT, XCLIENT and XFORWARD with it: nothing that a client sends makes it panic, and how the network cuts the octets changes nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use wasmilter::mail::{EnhancedCode, Replies, Reply};
use wasmilter::proto::smtp::{Config, Dialect, Piece, Receiving, Security, Server, Step, Trust};

enum Machine {
    Commands(Server),
    Message(Receiving),
    Gone,
}

/// Says yes to everything. What was sent, and the messages that were taken.
fn converse<'a>(
    dialect: Dialect,
    pieces: impl Iterator<Item = &'a [u8]>,
) -> (Vec<u8>, Vec<Vec<u8>>) {
    let config = Arc::new(Config {
        dialect,
        size: 500,
        recipients: 3,
        ..Config::default()
    });
    let yes = Replies::All(Reply::new(250, EnhancedCode(2, 0, 0), "Taken"));
    let trust = Trust {
        xclient: true,
        xforward: true,
    };
    let mut machine = Machine::Commands(Server::new(config, Security::Plain).trusting(trust));
    let (mut sent, mut content, mut messages) = (Vec::new(), Vec::new(), Vec::new());
    for mut input in pieces {
        loop {
            let (used, waits);
            (machine, used, waits) = match machine {
                Machine::Commands(server) => {
                    let (used, step) = server.next(input);
                    let mut waits = false;
                    let next = match step {
                        Step::Read(mut server) => {
                            sent.append(server.output());
                            waits = true;
                            Machine::Commands(server)
                        }
                        Step::Hello(asked) => {
                            content.clear();
                            Machine::Commands(asked.accept())
                        }
                        Step::Xclient(asked) => Machine::Commands(asked.accept(trust)),
                        Step::Xforward(asked) => Machine::Commands(asked.accept()),
                        Step::Mail(asked) => Machine::Commands(asked.accept()),
                        Step::Rcpt(asked) => Machine::Commands(asked.accept()),
                        Step::Data(asked) => Machine::Message(asked.accept()),
                        Step::Chunk(receiving) => Machine::Message(receiving),
                        Step::Reset(server) => {
                            content.clear();
                            Machine::Commands(server)
                        }
                        Step::StartTls(_) => unreachable!("it is not offered"),
                        Step::Close(rest, _) => {
                            sent.extend(rest);
                            Machine::Gone
                        }
                    };
                    (next, used, waits)
                }
                Machine::Message(receiving) => {
                    let (used, piece) = receiving.next(input);
                    let mut waits = false;
                    let next = match piece {
                        Piece::Read(mut receiving) => {
                            sent.append(receiving.output());
                            waits = true;
                            Machine::Message(receiving)
                        }
                        Piece::Content(receiving, octets) => {
                            content.extend_from_slice(octets);
                            assert!(content.len() <= 500);
                            Machine::Message(receiving)
                        }
                        Piece::Chunk(taken) => Machine::Commands(taken.accept()),
                        Piece::End(ended) => {
                            messages.push(std::mem::take(&mut content));
                            Machine::Commands(ended.reply(&yes))
                        }
                        Piece::Refused(server) => {
                            content.clear();
                            Machine::Commands(server)
                        }
                    };
                    (next, used, waits)
                }
                Machine::Gone => return (sent, messages),
            };
            input = &input[used..];
            if waits && input.is_empty() {
                break;
            }
        }
    }
    (sent, messages)
}

fuzz_target!(|said: &[u8]| {
    let Some((cut, said)) = said.split_first().filter(|(_, said)| !said.is_empty()) else {
        return;
    };
    let (dialect, cut) = match cut {
        128.. => (Dialect::Lmtp, cut - 128),
        _ => (Dialect::Smtp, *cut),
    };
    let whole = converse(dialect, std::iter::once(said));
    for message in &whole.1 {
        // The body of a binary message may hold anything.
        let binary = said
            .to_ascii_uppercase()
            .windows(10)
            .any(|text| text == b"BINARYMIME");
        let text = String::from_utf8_lossy(message).replace("\r\n", "");
        assert!(
            binary || !text.contains(['\r', '\n']),
            "a bare line end got through"
        );
    }
    assert_eq!(whole, converse(dialect, said.chunks(usize::from(cut) + 1)));
});
