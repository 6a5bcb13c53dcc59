//! What small messages are made of, told by the text of each range.
//! Decoding is tested elsewhere.

use crate::mail::Content;
use crate::mail::mime::scan::{MAX_DEPTH, MAX_ENTITIES, scan_in_chunks};
use crate::mail::mime::{Entity, scan};
use proptest::prelude::*;
use std::fmt::Write;

fn scanned(message: &str) -> Entity {
    scan(&Content::from_bytes(message.to_owned())).unwrap()
}

/// One line an entity: indent, type, header and body as they stand, line ends of the body.
fn outline(message: &str) -> String {
    fn show(out: &mut String, message: &str, entity: &Entity, depth: usize) {
        let text = |range: &std::ops::Range<u64>| {
            message
                .get(range.start as usize..range.end as usize)
                .unwrap()
        };
        writeln!(
            out,
            "{}{} {:?} {:?} {}",
            "  ".repeat(depth),
            entity.content_type(),
            text(&entity.header),
            text(&entity.body),
            entity.lines,
        )
        .unwrap();
        for inside in entity.parts().iter().chain(entity.message()) {
            show(out, message, inside, depth + 1);
        }
    }
    let mut out = String::new();
    show(&mut out, message, &scanned(message), 0);
    out
}

/// Messages, and below each what it is made of, the outermost left out where it is clear.
const STRUCTURES: &[(&str, &str, &str)] = &[
    ("empty", "", r#"text/plain "" "" 0"#),
    ("no header", "\r\nhi\r\n", r#"text/plain "\r\n" "hi\r\n" 1"#),
    ("no body", "A: 1\r\n", r#"text/plain "A: 1\r\n" "" 0"#),
    (
        "no body, empty line",
        "A: 1\r\n\r\n",
        r#"text/plain "A: 1\r\n\r\n" "" 0"#,
    ),
    ("no line end", "A: 1", r#"text/plain "A: 1" "" 0"#),
    (
        "LF only",
        "A: 1\n\na\nb",
        r#"text/plain "A: 1\n\n" "a\nb" 1"#,
    ),
    (
        "type nonsense",
        "Content-Type: ;;/\r\n\r\nx",
        r#"text/plain "Content-Type: ;;/\r\n\r\n" "x" 0"#,
    ),
    (
        "two parts, preamble, epilogue, padding",
        "Content-Type: multipart/mixed; boundary=b\r\n\r\npre\r\n--b  \r\n\r\none\r\n\r\n--bb\r\n--b\r\nContent-Type: TEXT/HTML\r\n\r\ntwo\r\n--b--\t\r\n--b\r\nepi",
        r#"
  text/plain "\r\n" "one\r\n\r\n--bb" 2
  text/html "Content-Type: TEXT/HTML\r\n\r\n" "two" 0"#,
    ),
    (
        "LF only parts",
        "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\n\ntwo\n\n--b--\n",
        r#"
  text/plain "\n" "one" 0
  text/plain "\n" "two\n" 1"#,
    ),
    (
        "parts without body, without header, without anything",
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nA: 1\r\n--b\r\n\r\n--b\r\n--b\r\nA: 1\r\n\r\n\r\n--b--",
        r#"
  text/plain "A: 1\r\n" "" 0
  text/plain "\r\n" "" 0
  text/plain "" "" 0
  text/plain "A: 1\r\n\r\n" "" 0"#,
    ),
    (
        "never closed",
        "Content-Type: multipart/mixed; boundary=\"a b\"\r\n\r\n--a b\r\n\r\none\r\n",
        r#"
  text/plain "\r\n" "one\r\n" 1"#,
    ),
    (
        "an outer boundary ends the inner multipart",
        "Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: multipart/alternative; boundary=i\r\n\r\n--i\r\n\r\none\r\n--o\r\n\r\ntwo\r\n--i\r\nno part\r\n--o--\r\n",
        r#"
  multipart/alternative "Content-Type: multipart/alternative; boundary=i\r\n\r\n" "--i\r\n\r\none" 2
    text/plain "\r\n" "one" 0
  text/plain "\r\n" "two\r\n--i\r\nno part" 2"#,
    ),
    (
        "an inner boundary that starts like the outer one",
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: multipart/mixed; boundary=b1\r\n\r\n--b1\r\n\r\none\r\n--b1--\r\n--b--\r\n",
        r#"
  multipart/mixed "Content-Type: multipart/mixed; boundary=b1\r\n\r\n" "--b1\r\n\r\none\r\n--b1--" 3
    text/plain "\r\n" "one" 0"#,
    ),
    (
        "message, its multipart inside",
        "Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n\r\none\r\n--i--\r\n\r\n--o--\r\n",
        r#"
  message/rfc822 "Content-Type: message/rfc822\r\n\r\n" "Subject: in\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n\r\none\r\n--i--\r\n" 7
    multipart/mixed "Subject: in\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n" "--i\r\n\r\none\r\n--i--\r\n" 4
      text/plain "\r\n" "one" 0"#,
    ),
    (
        "message without body, message that is not there",
        "Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n--o\r\nContent-Type: message/rfc822\r\n--o--",
        r#"
  message/rfc822 "Content-Type: message/rfc822\r\n\r\n" "Subject: in\r\n" 1
    text/plain "Subject: in\r\n" "" 0
  message/rfc822 "Content-Type: message/rfc822\r\n" "" 0
    text/plain "" "" 0"#,
    ),
    (
        "encoded message",
        "Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: BASE64\r\n\r\nQTogMQ==\r\n--o--",
        r#"
  message/rfc822 "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: BASE64\r\n\r\n" "QTogMQ==" 0"#,
    ),
    (
        "digest",
        "Content-Type: multipart/digest; boundary=d\r\n\r\n--d\r\n\r\nSubject: a\r\n\r\nb\r\n--d\r\nContent-Type: text/plain\r\n\r\nc\r\n--d--",
        r#"
  message/rfc822 "\r\n" "Subject: a\r\n\r\nb" 2
    text/plain "Subject: a\r\n\r\n" "b" 0
  text/plain "Content-Type: text/plain\r\n\r\n" "c" 0"#,
    ),
    (
        "multipart without boundary",
        "Content-Type: multipart/mixed\r\n\r\n--x\r\n",
        r#"text/plain "Content-Type: multipart/mixed\r\n\r\n" "--x\r\n" 1"#,
    ),
    (
        "multipart whose boundary never comes",
        "Content-Type: multipart/mixed; boundary=b\r\n\r\ntext\r\n",
        r#"text/plain "Content-Type: multipart/mixed; boundary=b\r\n\r\n" "text\r\n" 1"#,
    ),
];

#[test]
fn structures() {
    for (name, message, expected) in STRUCTURES {
        let outline = outline(message);
        let found = match expected.strip_prefix('\n') {
            Some(_) => outline.split_once('\n').unwrap().1,
            None => &outline,
        };
        let expected = expected.trim_start_matches('\n');
        assert_eq!(found.trim_end_matches('\n'), expected, "{name}");
    }
}

#[test]
fn chunks_make_no_difference() {
    for (name, message, _) in STRUCTURES {
        let content = Content::from_bytes(*message);
        for chunk in 1..9 {
            let entity = scan_in_chunks(&content, chunk).unwrap();
            assert_eq!(entity, scanned(message), "{name} by {chunk}");
        }
    }
}

/// A message with everything that section numbers can name (compare the example of RFC 3501 §6.4.5).
const NESTED: &str = "Subject: top\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n\
--o\r\n\r\none\r\n\
--o\r\nContent-Type: multipart/alternative; boundary=i\r\n\r\n--i\r\n\r\ntwo one\r\n--i\r\n\r\ntwo two\r\n--i--\r\n\
--o\r\nContent-Type: message/rfc822\r\n\r\nSubject: simple\r\n\r\nthree\r\n\
--o\r\nContent-Type: message/rfc822\r\n\r\nSubject: parts\r\nContent-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\nContent-ID: <x>\r\n\r\nfour one\r\n--m--\r\n\
--o--\r\n";

#[test]
fn section_numbers() {
    let text = |range: &std::ops::Range<u64>| {
        NESTED
            .get(range.start as usize..range.end as usize)
            .unwrap()
    };
    let root = scanned(NESTED);
    let body = |section: &[u32]| root.find(section).map(|entity| text(&entity.body));
    assert_eq!(body(&[1]), Some("one"));
    assert_eq!(body(&[2, 1]), Some("two one"));
    assert_eq!(body(&[2, 2]), Some("two two"));
    assert_eq!(body(&[3]), Some("Subject: simple\r\n\r\nthree"));
    assert_eq!(body(&[3, 1]), Some("three"));
    assert_eq!(body(&[4, 1]), Some("four one"));
    for missing in [
        &[0][..],
        &[5],
        &[1, 1],
        &[2, 3],
        &[3, 2],
        &[3, 1, 1],
        &[4, 1, 1],
    ] {
        assert_eq!(body(missing), None, "{missing:?}");
    }
    let part = root.find(&[4]).unwrap();
    assert_eq!(text(&part.header), "Content-Type: message/rfc822\r\n\r\n");
    assert!(text(&part.message().unwrap().header).starts_with("Subject: parts\r\n"));
    let mime = text(&root.find(&[4, 1]).unwrap().header);
    assert_eq!(mime, "Content-ID: <x>\r\n\r\n");

    let paths: Vec<_> = root.leaves().into_iter().map(|(path, _)| path).collect();
    assert_eq!(paths, ["1", "2.1", "2.2", "3", "4"]);
}

#[test]
fn a_message_that_is_not_multipart_is_its_own_part() {
    for message in [
        "A: 1\r\n\r\nx",
        "Content-Type: message/rfc822\r\n\r\nA: 1\r\n\r\nx",
    ] {
        let root = scanned(message);
        assert_eq!(root.find(&[1]), Some(&root));
        assert_eq!(root.find(&[2]), None);
        assert_eq!(root.leaves(), [("1".to_owned(), &root)]);
    }
    let root = scanned("Content-Type: message/rfc822\r\n\r\nA: 1\r\n\r\nx");
    assert_eq!(root.find(&[1, 1]), root.message());
}

fn depth(entity: &Entity) -> usize {
    let inside = entity.parts().iter().chain(entity.message());
    1 + inside.map(depth).max().unwrap_or(0)
}

fn count(entity: &Entity) -> usize {
    let inside = entity.parts().iter().chain(entity.message());
    1 + inside.map(count).sum::<usize>()
}

#[test]
fn depth_is_limited() {
    let messages = "Content-Type: message/rfc822\r\n\r\n".repeat(5000);
    let multiparts: String = (0..5000)
        .map(|i| format!("Content-Type: multipart/mixed; boundary=\"={i}=\"\r\n\r\n--={i}=\r\n"))
        .collect();
    for message in [messages, multiparts] {
        let root = scanned(&message);
        assert_eq!(depth(&root), MAX_DEPTH + 1);
        check(message.as_bytes());
    }
}

#[test]
fn parts_are_limited_and_nothing_is_lost() {
    let parts = "--b\r\n\r\nx\r\n".repeat(3000);
    let message = format!("Content-Type: multipart/digest; boundary=b\r\n\r\n{parts}--b--\r\n");
    let root = scanned(&message);
    assert_eq!(count(&root), MAX_ENTITIES);
    assert_eq!(root.parts().last().unwrap().body.end, message.len() as u64);
    check(message.as_bytes());
}

#[test]
fn long_headers_and_lines_are_skipped_not_kept() {
    let long = "x".repeat(3 * 1024 * 1024);
    let message = format!(
        "Content-Type: text/html\r\nX: {long}\r\nContent-Language: de\r\n\r\n{long}\r\n--{long}"
    );
    let root = scanned(&message);
    assert_eq!(root.content_type(), "text/html");
    assert!(root.language.is_empty());
    let header = message.get(..root.header.end as usize).unwrap();
    assert!(header.ends_with("de\r\n\r\n"));
    assert_eq!(root.lines, 1);
}

/// What holds for every message.
fn check(message: &[u8]) {
    fn check_entity(message: &[u8], entity: &Entity) {
        assert!(entity.header.start <= entity.header.end);
        assert_eq!(entity.header.end, entity.body.start);
        assert!(entity.body.start <= entity.body.end);
        let body = &message[entity.body.start as usize..entity.body.end as usize];
        let lines = body.iter().filter(|byte| **byte == b'\n').count();
        assert_eq!(entity.lines, lines as u64);
        let mut from = entity.body.start;
        for inside in entity.parts().iter().chain(entity.message()) {
            assert!(from <= inside.header.start && inside.body.end <= entity.body.end);
            from = inside.body.end;
            check_entity(message, inside);
        }
        if let Some(message) = entity.message() {
            assert_eq!(entity.body.start, message.header.start);
            assert_eq!(entity.body.end, message.body.end);
        }
    }
    let content = Content::from_bytes(message.to_vec());
    let root = scan(&content).unwrap();
    assert_eq!(root.header.start, 0);
    assert_eq!(root.body.end, message.len() as u64);
    check_entity(message, &root);
    for (path, leaf) in root.leaves() {
        let section: Vec<u32> = path
            .split('.')
            .map(|number| number.parse().unwrap())
            .collect();
        assert_eq!(root.find(&section), Some(leaf));
    }
    for chunk in [1, 7] {
        assert_eq!(scan_in_chunks(&content, chunk).unwrap(), root);
    }
}

/// Lines that mean something in a MIME message, in any order.
fn mail_like() -> impl Strategy<Value = String> {
    let line = prop::sample::select(vec![
        "\r\n",
        "\n",
        "\r",
        "text\r\n",
        "--",
        "--a\r\n",
        "--a--\r\n",
        "--ab\n",
        "--ab--",
        "Subject: x\r\n",
        " folded\r\n",
        "Content-Type: multipart/mixed; boundary=a\r\n",
        "Content-Type: multipart/digest;\r\n boundary=\"ab\"\n",
        "Content-Type: message/rfc822\r\n\r\n",
        "Content-Transfer-Encoding: base64\r\n",
    ]);
    prop::collection::vec(line, 0..40).prop_map(|lines| lines.concat())
}

proptest! {
    #[test]
    fn mail_like_messages_nest(message in mail_like()) {
        check(message.as_bytes());
    }

    #[test]
    fn any_octets_nest(message: Vec<u8>) {
        check(&message);
    }
}
