//! What is asked over HTTP: no question makes it panic, and what is understood has an envelope that can be written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wasmilter::ingress::hooks::{asked::Stage, draft, stalwart};
use wasmilter::ingress::rspamd::{asked, rspamc};
use wasmilter::mail::{Address, Recipient};

fn check(recipient: &Recipient) {
    let written = recipient.address.to_string();
    assert_eq!(Address::parse(&written).as_ref(), Ok(&recipient.address));
}

fuzz_target!(|said: &[u8]| {
    for parse in [stalwart::parse, draft::parse] {
        if let Ok(question) = parse(said, "mx.example.test") {
            let named = question.recipients.iter();
            named.flat_map(|one| &one.recipient).for_each(check);
            assert!(question.stage != Stage::Data || !question.recipients.is_empty());
            assert!(question.queue_id.is_none_or(|id| !id.is_empty()));
        }
    }
    if let Some(end) = rspamc::end(said)
        && let Ok(head) = rspamc::parse(&said[..end])
        && let Ok(Ok(whole)) = asked::understand(&head.headers, "mx.example.test")
    {
        let named = whole.recipients.iter();
        named.flat_map(|one| &one.recipient).for_each(check);
    }
});
