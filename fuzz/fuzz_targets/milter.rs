//! The milter core: nothing that a mail server sends makes it panic, and how the network cuts the octets changes nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wasmilter::mail::{EnhancedCode, Reply};
use wasmilter::proto::milter::{
    Actions, Answer, Event, Frames, Modification, Server, Stage, Steps, Wants,
};

/// Refuses recipients, changes messages. What it said, and whether it goes on.
fn converse<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<u8>, bool) {
    let wants = Wants {
        actions: Actions(0x1ff),
        steps: Steps::HEADER_UNANSWERED | Steps::SKIP | Steps::LEADING_SPACE,
        macros: vec![(Stage::End, "i")],
    };
    let reply = Reply::new(550, EnhancedCode(5, 7, 1), "100% no\nreally");
    let (mut frames, mut server) = (Frames::default(), Server::new());
    for mut input in pieces {
        while !input.is_empty() {
            let Ok((used, packet)) = frames.next(input) else {
                return (std::mem::take(server.output()), false);
            };
            input = &input[used..];
            let Some(packet) = packet else { continue };
            match server.handle(packet) {
                Err(_) | Ok(Event::Quit) => return (std::mem::take(server.output()), false),
                Ok(Event::Negotiate(offer)) => {
                    if server.negotiate(&offer, &wants).is_err() {
                        return (std::mem::take(server.output()), false);
                    }
                }
                Ok(Event::Rcpt(_)) => drop(server.answer(Answer::Refuse(&reply))),
                Ok(Event::Body(octets)) => {
                    let answer = if octets.len() > 9 {
                        Answer::Skip
                    } else {
                        Answer::Continue
                    };
                    server.answer(answer);
                }
                Ok(Event::End(octets)) => {
                    server.modify(&Modification::Quarantine {
                        reason: server.macros().get("i").unwrap_or("none").to_owned(),
                    });
                    server.replace_body(octets);
                    server.answer(Answer::Continue);
                    server.end_message();
                }
                Ok(_) => drop(server.answer(Answer::Continue)),
            }
        }
    }
    (std::mem::take(server.output()), true)
}

fuzz_target!(|said: &[u8]| {
    let Some((cut, said)) = said.split_first().filter(|(_, said)| !said.is_empty()) else {
        return;
    };
    let whole = converse(std::iter::once(said));
    // All that is said is packets.
    let mut rest = &whole.0[..];
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        assert!(length > 0 && length <= after.len());
        rest = &after[length..];
    }
    assert!(rest.is_empty());
    assert_eq!(whole, converse(said.chunks(usize::from(*cut) + 1)));
});
