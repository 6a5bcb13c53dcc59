//! IMAP commands: nothing that a client sends makes their reader panic or hold more than its limit, and how the network cuts the octets
//! changes nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wasmilter::proto::imap::{Event, Expect, Input, Limits};

/// What was read: commands and complaints as they are, messages of APPEND as their octets.
fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<String>, Vec<u8>) {
    let mut input = Input::new(Limits {
        command: 400,
        skip: 1000,
    });
    let (mut said, mut message) = (Vec::new(), Vec::new());
    for piece in pieces {
        input.push(piece);
        while let Some(event) = input.next(Expect::Command) {
            match event {
                Event::Command(command) => said.push(format!("{command:?}")),
                Event::Append(append) => {
                    said.push(append.tag);
                    input.accept();
                }
                Event::Octets(octets) => message.extend_from_slice(&octets),
                Event::Invalid(invalid) => said.push(format!("{invalid:?}")),
                Event::Continue => {}
                Event::AppendEnd => said.push("end".to_owned()),
                Event::Answer(_) => unreachable!("none was asked for"),
                Event::Fatal(reason) => {
                    said.push(reason.to_owned());
                    return (said, message);
                }
            }
        }
    }
    (said, message)
}

fuzz_target!(|said: &[u8]| {
    let Some((cut, said)) = said.split_first().filter(|(_, said)| !said.is_empty()) else {
        return;
    };
    let whole = read(std::iter::once(said));
    assert_eq!(whole, read(said.chunks(usize::from(*cut) + 1)));
});
