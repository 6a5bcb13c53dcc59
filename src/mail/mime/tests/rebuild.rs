//! Changes of parts: what comes out parses, holds what it should, and nothing else has changed by an octet.

use crate::mail::mime::{self, Entity, Inside, MediaType, encode, scan};
use crate::mail::{BodyEdit, Content, Message, NewOctets};
use bytes::Bytes;
use proptest::prelude::*;

fn replace(path: &str, media_type: &str, octets: &[u8]) -> BodyEdit {
    let media_type = MediaType::parse(media_type).unwrap();
    let (encoding, encoded) = encode(media_type.is_text(), octets);
    BodyEdit::ReplacePart {
        path: path.to_owned(),
        media_type: media_type.content_type(),
        with: NewOctets {
            size: octets.len() as u64,
            encoding: encoding.to_owned(),
            octets: encoded,
            ..NewOctets::default()
        },
    }
}

fn dropped(path: &str, note: Option<&str>) -> BodyEdit {
    BodyEdit::DropPart {
        path: path.to_owned(),
        note: note.map(str::to_owned),
    }
}

fn whole(octets: &'static str) -> BodyEdit {
    BodyEdit::Replace {
        with: NewOctets {
            octets: octets.into(),
            ..NewOctets::default()
        },
    }
}

fn edited(message: &[u8], edits: &[BodyEdit]) -> Bytes {
    let content = Content::from_bytes(message.to_vec());
    let mut message = Message::new(content).unwrap();
    edits.iter().for_each(|edit| message.edit_body(edit));
    message.render().unwrap().bytes().unwrap()
}

fn check(message: &str, edits: &[BodyEdit], expected: &str) {
    let edited = edited(message.as_bytes(), edits);
    assert_eq!(std::str::from_utf8(&edited).unwrap(), expected, "{edits:?}");
}

/// Of each leaf its path, type and text.
fn leaves(message: &[u8]) -> Vec<(String, String, String)> {
    let content = Content::from_bytes(message.to_vec());
    let mime = mime::Mime::new(content).unwrap();
    let leaf = |(path, entity): (String, &Entity)| {
        let text = mime.text(&path, 0, 1000).unwrap();
        (path, entity.content_type(), text)
    };
    mime.leaves().into_iter().map(leaf).collect()
}

const NESTED: &str = "Subject: s\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\npreamble\r\n--o\r\nContent-Type: multipart/alternative; boundary=i\r\n\r\n--i\r\n\r\nplain\r\n--i  \r\nContent-Type: text/html\r\nX-Kept:  as  it is\r\n\r\n<p>\r\n--i--\r\ninner epilogue\r\n--o\r\nContent-Type: application/x-msdownload; name=a.exe\r\nContent-Disposition: attachment; filename=a.exe\r\nContent-Transfer-Encoding: base64\r\n\r\nTVo=\r\n--o--\r\nepilogue\r\n";

#[test]
fn a_part_is_replaced_and_nothing_else() {
    check(
        NESTED,
        &[replace("1.2", "text/html", "<p>ü".as_bytes())],
        &NESTED.replace(
            "Content-Type: text/html\r\nX-Kept:  as  it is\r\n\r\n<p>\r\n",
            "Content-Type: text/html; charset=utf-8\r\nX-Kept:  as  it is\r\nContent-Transfer-Encoding: base64\r\n\r\nPHA+w7w=\r\n",
        ),
    );
    check(
        NESTED,
        &[replace("2", "application/json", b"{}")],
        &NESTED
            .replace("application/x-msdownload; name=a.exe", "application/json")
            .replace("Encoding: base64\r\n\r\nTVo=", "Encoding: 7bit\r\n\r\n{}"),
    );
}

#[test]
fn a_part_is_dropped_with_its_boundary_or_becomes_a_note() {
    let from = NESTED.find("--o\r\nContent-Type: application").unwrap();
    let exe = NESTED.get(from..NESTED.find("--o--").unwrap()).unwrap();
    check(NESTED, &[dropped("2", None)], &NESTED.replace(exe, ""));
    check(
        NESTED,
        &[dropped("2", Some("a.exe was removed"))],
        &NESTED.replace(
            exe,
            "--o\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\na.exe was removed\r\n",
        ),
    );
    check(
        NESTED,
        &[dropped("1.1", None)],
        &NESTED.replace("--i\r\n\r\nplain\r\n--i  \r\n", "--i\r\n"),
    );
    check(
        NESTED,
        &[dropped("1.2", None)],
        &NESTED.replace(
            "--i  \r\nContent-Type: text/html\r\nX-Kept:  as  it is\r\n\r\n<p>\r\n--i--",
            "--i--",
        ),
    );
    // The last part of a multipart stays, as an empty text.
    let bare = edited(
        NESTED.as_bytes(),
        &[
            dropped("1.1", None),
            dropped("1.2", None),
            dropped("2", None),
        ],
    );
    let left = leaves(&bare);
    assert_eq!(left.len(), 1);
    assert_eq!(
        left[0],
        ("1.1".to_owned(), "text/plain".to_owned(), String::new())
    );
}

#[test]
fn edits_compose_and_the_last_one_wins() {
    let both = edited(
        NESTED.as_bytes(),
        &[
            replace("1.1", "text/plain", b"first"),
            dropped("2", None),
            replace("1.1", "text/plain", b"second\n"),
        ],
    );
    let texts: Vec<_> = leaves(&both).into_iter().map(|leaf| leaf.2).collect();
    assert_eq!(texts, ["second\r\n", "<p>"]);
    check(
        NESTED,
        &[dropped("2", None), whole("new\r\n"), dropped("1.1", None)],
        "Subject: s\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\nnew\r\n",
    );
    check(
        NESTED,
        &[dropped("7", None), dropped("x", None), dropped("1", None)],
        NESTED,
    );
}

#[test]
fn messages_that_are_not_multipart_change_their_body_only() {
    check(
        "A: 1\r\n\r\nold",
        &[replace("1", "text/plain", b"new")],
        "A: 1\r\n\r\nnew\r\n",
    );
    check("A: 1\r\n\r\nold\r\n", &[dropped("1", None)], "A: 1\r\n\r\n");
    check("A: 1\n\nold\n", &[whole("new\r\n")], "A: 1\n\nnew\r\n");
    for (headless, expected) in [
        ("A: 1", "A: 1\r\n\r\nnew"),
        ("A: 1\r\n", "A: 1\r\n\r\nnew"),
        ("", "\r\nnew"),
        ("\r\n", "\r\nnew"),
    ] {
        check(headless, &[whole("new")], expected);
    }
}

#[test]
fn a_signed_part_beside_a_dropped_one_stays_to_the_octet() {
    let signed = "Content-Type: multipart/signed; boundary=s; micalg=sha256\r\n\r\n--s\r\nContent-Type: text/plain\r\n\r\nsigned  \r\ntext\r\n\r\n--s\r\nContent-Type: application/pgp-signature\r\n\r\nXXXX\r\n--s--\r\n";
    let message = format!(
        "Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n{signed}\r\n--m\r\nContent-Type: a/b\r\n\r\nx\r\n--m--\r\n"
    );
    let edited = edited(message.as_bytes(), &[dropped("2", Some("gone"))]);
    let edited = std::str::from_utf8(&edited).unwrap();
    assert!(
        edited.contains(&format!("--m\r\n{signed}\r\n--m\r\n")),
        "{edited}"
    );
    assert!(edited.ends_with("\r\n\r\ngone\r\n--m--\r\n"), "{edited}");
}

#[test]
fn parts_of_attached_messages_can_be_changed() {
    let message = "Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n\r\nsee\r\n--m\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\nContent-Type: a/b\r\nContent-Disposition: attachment\r\n\r\nold\r\n--m--\r\n";
    check(
        message,
        &[dropped("2.1", Some("gone"))],
        &message.replace(
            "Content-Type: a/b\r\nContent-Disposition: attachment\r\n\r\nold",
            "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\ngone",
        ),
    );
    // What holds it goes first.
    check(
        message,
        &[dropped("2.1", Some("gone")), dropped("2", None)],
        "Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n\r\nsee\r\n--m--\r\n",
    );
}

#[test]
fn hostile_structures_stay_what_they_are() {
    let deep: String = (0..100)
        .map(|level| {
            format!("Content-Type: multipart/mixed; boundary=b{level}\r\n\r\n--b{level}\r\n")
        })
        .collect();
    let unclosed =
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\nX: 1\r\n\r\ntwo";
    for (message, edits, expected) in [
        // No last boundary.
        (
            unclosed,
            vec![dropped("2", None)],
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none",
        ),
        (
            unclosed,
            vec![dropped("1", None)],
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nX: 1\r\n\r\ntwo",
        ),
        // Lines that end in LF only; a part without a body before the last boundary.
        (
            "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\nX: 1\n--b--\n",
            vec![dropped("2", None)],
            "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b--\n",
        ),
        (
            "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\nX: 1\n--b--\n",
            vec![replace("2", "text/plain", b"x")],
            "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\nX: 1\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\nx\r\n--b--\n",
        ),
        // A multipart without parts is a text.
        (
            "Content-Type: multipart/mixed; boundary=b\r\n\r\nno part\r\n",
            vec![replace("1", "text/plain", b"x")],
            "Content-Type: multipart/mixed; boundary=b\r\n\r\nx\r\n",
        ),
    ] {
        check(message, &edits, expected);
    }
    let paths = leaves(deep.as_bytes());
    let edited = edited(
        deep.as_bytes(),
        &[replace(&paths[0].0, "text/plain", b"deep")],
    );
    assert_eq!(leaves(&edited)[0].2, "deep");
}

#[test]
fn a_new_part_cannot_start_another() {
    let text = b"one\n--i\nContent-Type: text/html\n\n<script>\n--o--\n";
    let edited = edited(NESTED.as_bytes(), &[replace("1.1", "text/plain", text)]);
    let left = leaves(&edited);
    assert_eq!(left.len(), 3);
    assert_eq!(left[0].2.replace("\r\n", "\n").as_bytes(), text);
}

fn tree() -> impl Strategy<Value = String> {
    let leaf = "(Content-Type: (text/html|a/b|message/rfc822|multipart/mixed)\r?\n|X: y\n|){0,2}(\r\n|\n|)[a-z \r\n=-]{0,20}(--b[0-3](--)?\r\n)?";
    leaf.prop_recursive(4, 24, 4, |inner| {
        (
            0u8..4,
            proptest::collection::vec(inner, 0..4),
            any::<[bool; 2]>(),
        )
            .prop_map(|(boundary, parts, [closed, lf])| {
                let end = if lf { "\n" } else { "\r\n" };
                let mut out =
                    format!("Content-Type: multipart/mixed; boundary=b{boundary}{end}{end}");
                for part in parts {
                    out.push_str(&format!("--b{boundary}{end}{part}{end}"));
                }
                if closed {
                    out.push_str(&format!("--b{boundary}--{end}"));
                }
                out
            })
    })
}

/// Ranges of all entities that lie outside of this one, with their octets.
fn others(message: &[u8]) -> Vec<(String, Vec<u8>)> {
    let root = scan(&Content::from_bytes(message.to_vec())).unwrap();
    let octets = |entity: &Entity| {
        let (start, end) = (entity.header.start as usize, entity.body.end as usize);
        message[start..end].to_vec()
    };
    let leaves = root.leaves().into_iter();
    leaves
        .map(|(path, entity)| (path, octets(entity)))
        .collect()
}

fn depth(entity: &Entity) -> usize {
    match &entity.inside {
        Inside::Leaf => 1,
        Inside::Parts(parts) => 1 + parts.iter().map(depth).max().unwrap_or(0),
        Inside::Message(message) => 1 + depth(message),
    }
}

proptest! {
    #[test]
    fn any_part_of_any_message_can_be_replaced(message in tree(), which: prop::sample::Index, text in "[a-zü\n-]{0,40}") {
        let before = others(message.as_bytes());
        let (path, _) = &before[which.index(before.len())];
        let root = scan(&Content::from_bytes(message.clone())).unwrap();
        let edited = edited(message.as_bytes(), &[replace(path, "text/x-new", text.as_bytes())]);
        let after = others(&edited);
        prop_assert!(depth(&scan(&Content::from_bytes(edited.clone())).unwrap()) > 0);
        if !root.is_multipart() {
            return Ok(());
        }
        prop_assert_eq!(before.len(), after.len());
        for ((path_before, octets), (path_after, new)) in before.iter().zip(&after) {
            prop_assert_eq!(path_before, path_after);
            if path_before != path {
                prop_assert_eq!(octets, new);
            }
        }
        let found = leaves(&edited).into_iter().find(|leaf| leaf.0 == *path).unwrap();
        prop_assert_eq!(found.1, "text/x-new");
        let expected = text.replace('\n', "\r\n");
        prop_assert_eq!(found.2, expected);
    }

    #[test]
    fn any_parts_of_any_message_can_be_dropped(message in tree(), which: Vec<bool>) {
        let before = others(message.as_bytes());
        let gone = before.iter().zip(which.iter().chain(std::iter::repeat(&false)));
        let edits: Vec<_> = gone.filter(|(_, gone)| **gone).map(|((path, _), _)| dropped(path, None)).collect();
        let edited = edited(message.as_bytes(), &edits);
        let after = others(&edited);
        prop_assert!(after.len() <= before.len());
        let kept = before.iter().zip(which.iter().chain(std::iter::repeat(&false))).filter(|(_, gone)| !**gone);
        for ((path, octets), _) in kept {
            // Of nested multiparts without their last boundaries, the last part that stays may get the line end of one that goes.
            let is_it = |after: &Vec<u8>| after == octets || after.strip_suffix(b"\n").map(|a| a.strip_suffix(b"\r").unwrap_or(a)) == Some(octets);
            prop_assert!(after.iter().any(|(_, after)| is_it(after)), "{}: {:?}", path, String::from_utf8_lossy(&edited));
        }
    }

    #[test]
    fn any_octets_with_any_edits_come_out(message: Vec<u8>, path in "[0-9.]{0,5}") {
        edited(&message, &[dropped(&path, None), replace(&path, "a/b", b"\0")]);
        edited(&message, &[whole("x")]);
    }
}
