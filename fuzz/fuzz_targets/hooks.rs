//! What is asked over HTTP: no question makes it panic, and what is understood has an envelope that can be written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wasmilter::ingress::hooks::{asked::Stage, draft, stalwart};
use wasmilter::ingress::rspamd::{asked, rspamc};

fuzz_target!(|said: &[u8]| {
    for parse in [stalwart::parse, draft::parse] {
        if let Ok(question) = parse(said, "mx.example.test") {
            assert_eq!(question.envelope.recipients.len(), question.written.len());
            assert!(question.stage != Stage::Data || !question.written.is_empty());
            assert!(question.queue_id.is_none_or(|id| !id.is_empty()));
        }
    }
    if let Some(end) = rspamc::end(said)
        && let Ok(head) = rspamc::parse(&said[..end])
        && let Ok((whole, _)) = asked::understand(&head.headers, "mx.example.test")
    {
        assert_eq!(whole.envelope.recipients.len(), whole.written.len());
    }
});
