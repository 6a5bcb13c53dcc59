//! What sender authentication reads by itself: SPF records from the DNS, and Authentication-Results fields that claim to be ours. None makes it panic,
//! and with the fields removed that it names none of them is left.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wasmilter::mail::{Content, Edit, Message};
use wasmilter::verify::{SpfRecord, field, removals};

const SERVER: &str = "mx.example.test";

fuzz_target!(|octets: &[u8]| {
    let _ = SpfRecord::parse(octets);
    let Ok(mut message) = Message::new(Content::from_bytes(octets.to_vec())) else {
        return;
    };
    for scoped in removals(&message.header, SERVER) {
        if let Edit::Header(edit) = &scoped.edit {
            message.header.apply(edit);
        }
    }
    assert!(removals(&message.header, SERVER).is_empty());
    assert!(field(SERVER, &[]).ends_with("\r\n"));
});
