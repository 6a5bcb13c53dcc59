#![no_main]
//! A next hop that says anything: the conversation comes to an end, and replies stay within their bounds.

use libfuzzer_sys::fuzz_target;
use wasmilter::mail::{Address, Envelope};
use wasmilter::proto::smtp::Dialect;
use wasmilter::proto::smtp::client::{After, Client, Facts, Step};

fuzz_target!(|input: &[u8]| {
    let Some((&choice, mut rest)) = input.split_first() else {
        return;
    };
    let dialect = if choice & 1 == 0 {
        Dialect::Smtp
    } else {
        Dialect::Lmtp
    };
    let recipient = Address::parse("b@example.test").unwrap().into();
    let facts = Facts::default();
    let mut step = Step::Read(Client::new(dialect, "mx.example.test", false));
    let mut told = false;
    loop {
        step = match step {
            Step::Read(_) if rest.is_empty() => return,
            Step::Read(mut client) | Step::Answer(_, After::More(mut client)) => {
                client.output().clear();
                // In pieces of the size that the input asks for.
                let piece = rest.len().min(usize::from(choice >> 1).max(1));
                let (used, next) = client.next(&rest[..piece]);
                assert!(used <= piece);
                rest = &rest[used..];
                if used == 0 && piece > 0 {
                    assert!(!matches!(next, Step::Read(_)));
                }
                next
            }
            Step::Ready(ready) | Step::Answer(_, After::Over(ready)) if !told => {
                told = true;
                ready.xforward(&facts)
            }
            Step::Ready(ready) | Step::Answer(_, After::Over(ready)) => {
                told = false;
                match ready.mail(&Envelope::default(), Some(3)) {
                    Ok(client) => Step::Read(client),
                    Err(_) => return,
                }
            }
            Step::Sender(open) => open.rcpt(&recipient),
            Step::Recipient(open, reply) => {
                assert!((200..600).contains(&reply.code));
                open.message(3)
            }
            Step::Go(mut sending) => {
                sending.push(b".\r\n");
                Step::Read(sending.end())
            }
            Step::StartTls(client) => Step::Read(client.secured()),
            Step::Refused(_) | Step::Fault(_) => return,
        };
    }
});
