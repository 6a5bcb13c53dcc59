//! The PROXY header: no octets make its reader panic, ask for octets behind a header, or read another header when they are cut otherwise.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wasmilter::proto::proxy::{Fault, Header, Reader};

/// The header, and how many octets it took; none if they end before it does.
fn read(octets: &[u8], at_once: usize) -> Option<Result<(Header, usize), Fault>> {
    let (mut reader, mut used) = (Reader::new(), 0);
    while used < octets.len() {
        let wanted = reader.wanted();
        assert!(wanted > 0);
        let piece = &octets[used..octets.len().min(used + wanted.min(at_once))];
        used += piece.len();
        match reader.push(piece) {
            Ok(None) => assert!(used < 5000),
            Ok(Some(header)) => return Some(Ok((header, used))),
            Err(fault) => return Some(Err(fault)),
        }
    }
    None
}

fuzz_target!(|octets: &[u8]| {
    let whole = read(octets, usize::MAX);
    let cut = read(octets, 1);
    if let Some(Ok((_, used))) = whole {
        assert!(octets[..used].ends_with(b"\r\n") || octets.starts_with(b"\r\n\r\n\0"));
    }
    assert_eq!(whole.map(|read| read.ok()), cut.map(|read| read.ok()));
});
