//! The mail server's side of the milter core: nothing that a filter says makes it panic, and how the network cuts the octets changes nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wasmilter::proto::milter::{Client, Command, Frames, Heard, Next, Opening, Said, Waiting};

enum Turn {
    Opening(Opening),
    Waiting(Waiting),
}

/// The commands of one message, again and again.
fn ask(mut client: Client, at: &mut usize, out: &mut Vec<u8>) -> Waiting {
    let values = |name: &str| (name.len() > 3).then(|| name.to_owned());
    let commands = [
        Command::Helo("client.example".to_owned()),
        Command::Data,
        Command::Header {
            name: b"Subject",
            value: b" hello",
        },
        Command::Body(b"words\r\n"),
        Command::End(b""),
    ];
    loop {
        let command = &commands[*at % commands.len()];
        *at += 1;
        // The end of a message is always answered.
        match client.say(command, &values, out) {
            Next::Client(again) => client = again,
            Next::Filter(waiting) => return waiting,
        }
    }
}

/// What was asked and what was heard.
fn converse<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<u8>, Vec<String>) {
    let (mut out, mut heard, mut at) = (Vec::new(), Vec::new(), 0);
    let mut turn = Turn::Opening(Opening::new(&mut out));
    let mut frames = Frames::default();
    for mut input in pieces {
        while !input.is_empty() {
            let Ok((used, packet)) = frames.next(input) else {
                return (out, heard);
            };
            input = &input[used..];
            let Some(packet) = packet else { continue };
            let said = match turn {
                Turn::Opening(opening) => match opening.answered(packet) {
                    Ok(client) => Ok(Heard::Answer(client, Said::Continue)),
                    Err(error) => Err(error),
                },
                Turn::Waiting(waiting) => waiting.hear(packet),
            };
            turn = Turn::Waiting(match said {
                Err(error) => {
                    heard.push(error.to_string());
                    return (out, heard);
                }
                Ok(Heard::Progress(waiting)) => waiting,
                Ok(Heard::Body(waiting, octets)) => {
                    heard.push(format!("{octets:?}"));
                    waiting
                }
                Ok(Heard::Modification(waiting, modification)) => {
                    heard.push(format!("{modification:?}"));
                    waiting
                }
                Ok(Heard::Answer(client, said)) => {
                    heard.push(format!("{said:?}"));
                    ask(client, &mut at, &mut out)
                }
            });
        }
    }
    (out, heard)
}

fuzz_target!(|said: &[u8]| {
    let Some((cut, said)) = said.split_first().filter(|(_, said)| !said.is_empty()) else {
        return;
    };
    let whole = converse(std::iter::once(said));
    assert_eq!(whole, converse(said.chunks(usize::from(*cut) + 1)));
});
