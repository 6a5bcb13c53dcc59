use super::scan::scan_in_chunks;
use super::*;
use crate::mail::Content;
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
