//! Header and MIME structure: no message makes them panic, every range lies where it must, and every part can be read to its end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wasmilter::mail::mime::Entity;
use wasmilter::mail::{Content, Message};

fn check(entity: &Entity, within: std::ops::Range<u64>) {
    assert!(within.start <= entity.header.start && entity.header.start <= entity.header.end);
    assert_eq!(entity.header.end, entity.body.start);
    assert!(entity.body.start <= entity.body.end && entity.body.end <= within.end);
    for inside in entity.parts().iter().chain(entity.message()) {
        check(inside, entity.body.clone());
    }
}

fuzz_target!(|octets: &[u8]| {
    let Ok(message) = Message::new(Content::from_bytes(octets.to_vec())) else {
        return;
    };
    for field in message.header.fields() {
        assert!(!field.text().contains(['\r', '\n', '\0']));
    }
    let mime = message.mime().expect("memory can be read");
    check(mime.root(), 0..octets.len() as u64);
    for (path, _) in mime.leaves() {
        let mut offset = 0;
        loop {
            let text = mime.text(&path, offset, 4096).expect("it is a leaf");
            if text.is_empty() {
                break;
            }
            offset += text.len() as u64;
        }
        mime.octets(&path, 0, usize::MAX).expect("it is a leaf");
    }
});
