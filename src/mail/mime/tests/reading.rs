//! Parts read by range, small ones and large ones.
//! What the decoders do with odd octets is tested beside them.

use crate::mail::mime::{Mime, PartError};
use crate::mail::{Content, Header, Message};
use base64::Engine as _;
use proptest::prelude::*;
use std::sync::Arc;

fn mime(header: &str, body: &[u8]) -> Mime {
    let mut message = format!("{header}\r\n\r\n").into_bytes();
    message.extend_from_slice(body);
    Mime::new(Content::from_bytes(message)).unwrap()
}

fn base64(octets: &[u8]) -> Vec<u8> {
    let encoded = base64::engine::general_purpose::STANDARD.encode(octets);
    let lines: Vec<_> = encoded.as_bytes().chunks(76).collect();
    lines.join(&b"\r\n"[..])
}

/// Text with characters of one to four octets.
fn text(octets: usize) -> String {
    "aé€😀 line\r\n".repeat(octets / 17 + 1)
}

fn read_text(mime: &Mime, step: usize) -> String {
    let mut text = String::new();
    loop {
        let piece = mime.text("1", text.len() as u64, step).unwrap();
        if piece.is_empty() {
            return text;
        }
        assert!(piece.len() <= step.max(4));
        text.push_str(&piece);
    }
}

#[test]
fn small_and_large_parts_read_the_same_in_steps_of_any_size() {
    for (size, steps) in [
        (500, &[1, 2, 3, 7, 100, 5000][..]),
        (1_500_000, &[4096, 65_536, 1 << 20]),
    ] {
        let text = text(size);
        let latin: Vec<u8> = (0..size).map(|i| (i * 7 % 251) as u8).collect();
        for step in steps {
            let part = mime(
                "Content-Transfer-Encoding: base64",
                &base64(text.as_bytes()),
            );
            assert_eq!(read_text(&part, *step), text, "{size} by {step}");
            let part = mime("Content-Transfer-Encoding: 8bit", text.as_bytes());
            assert_eq!(read_text(&part, *step), text, "{size} by {step}");
            let part = mime(
                "Content-Type: text/plain; charset=koi8-r\r\nContent-Transfer-Encoding: base64",
                &base64(&latin),
            );
            let expected = encoding_rs::KOI8_R.decode(&latin).0;
            assert_eq!(read_text(&part, *step), expected, "{size} by {step}");
        }
    }
}

#[test]
fn going_back_and_between_parts_gives_the_same_octets() {
    let octets: Vec<u8> = (0..2_000_000u32).map(|i| (i % 251) as u8).collect();
    let encoded = String::from_utf8(base64(&octets)).unwrap();
    let part = format!("--b\r\nContent-Transfer-Encoding: base64\r\n\r\n{encoded}\r\n");
    let mime = mime(
        "Content-Type: multipart/mixed; boundary=b",
        part.repeat(6).as_bytes(),
    );
    for offset in [1_000_000, 0, 1_999_990, 1_500_000, 2_000_000, u64::MAX - 3] {
        for path in ["1", "2", "3", "4", "5", "6", "1"] {
            let from = (offset as usize).min(octets.len());
            let to = (from + 100).min(octets.len());
            let found = mime.octets(path, offset, 100).unwrap();
            assert_eq!(&found[..], &octets[from..to], "{path} {offset}");
        }
    }
    assert_eq!(
        mime.octets("1", 0, usize::MAX).unwrap().len(),
        crate::mail::mime::MAX_READ
    );
    assert!(mime.octets("1", 0, 0).unwrap().is_empty());
}

#[test]
fn octets_that_are_not_encoded_come_as_they_are() {
    let mime = mime("Content-Type: image/gif", b"GIF89a\0\xff\r\n");
    assert_eq!(&mime.octets("1", 3, 5).unwrap()[..], b"89a\0\xff");
    assert_eq!(&mime.octets("1", 8, 50).unwrap()[..], b"\r\n");
    assert!(mime.octets("1", 11, 50).unwrap().is_empty());
    assert!(mime.octets("1", u64::MAX, usize::MAX).unwrap().is_empty());
}

#[test]
fn parts_are_named_by_section_number() {
    let mime = mime(
        "Content-Type: multipart/mixed; boundary=b",
        b"--b\r\n\r\none\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\ninside\r\n--b--\r\n",
    );
    let paths: Vec<_> = mime.leaves().into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["1", "2"]);
    assert_eq!(mime.text("1", 0, 100).unwrap(), "one");
    assert_eq!(mime.text("2", 0, 100).unwrap(), "Subject: x\r\n\r\ninside");
    assert_eq!(mime.text("2.1", 0, 100).unwrap(), "inside");
    for path in ["", "0", "3", "1.1", "x", "1.", "-1", "99999999999999999999"] {
        let error = mime.text(path, 0, 100).unwrap_err();
        assert!(matches!(error, PartError::NoSuchPart(_)), "{path}");
    }
}

#[test]
fn a_read_that_starts_inside_a_character_goes_on_to_the_next() {
    let mime = mime("A: 1", "€uro".as_bytes());
    assert_eq!(mime.text("1", 1, 4).unwrap(), "ur");
    assert_eq!(mime.text("1", 0, 1).unwrap(), "€");
}

#[test]
fn clones_of_a_message_share_its_structure() {
    let message = Message::new(Content::from_bytes("A: 1\r\n\r\nx")).unwrap();
    let mut clone = message.clone();
    clone.header = Header::parse(&"B: 2\r\n\r\n".into());
    assert!(Arc::ptr_eq(
        &message.mime().unwrap(),
        &clone.mime().unwrap()
    ));
}

proptest! {
    #[test]
    fn any_part_reads_the_same_in_any_steps(octets: Vec<u8>, encoding in 0usize..3, charset in 0usize..5, step in 1usize..50) {
        let encoding = ["base64", "quoted-printable", "8bit"][encoding];
        let charset = ["utf-8", "iso-2022-jp", "utf-16", "utf-7", "koi8-r"][charset];
        let header = format!("Content-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: {encoding}");
        let part = mime(&header, &octets);
        let whole = part.text("1", 0, usize::MAX).unwrap();
        prop_assert_eq!(read_text(&part, step), whole);
        let mut read = Vec::new();
        loop {
            let piece = part.octets("1", read.len() as u64, step).unwrap();
            if piece.is_empty() {
                break;
            }
            read.extend_from_slice(&piece);
        }
        prop_assert_eq!(&read[..], &part.octets("1", 0, usize::MAX).unwrap()[..]);
    }
}
