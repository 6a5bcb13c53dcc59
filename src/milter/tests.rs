use super::changes::Changes;
use crate::mail::{Content, Edit, Envelope, Failure, Message};
use crate::proto::milter::Modification;
use proptest::prelude::*;

const MESSAGE: &str = "A: 1\r\nB: x\r\nA: 2\r\nA: 3\r\n\r\nbody\r\n";

fn change(nth: u32, name: &str, value: &str) -> Modification {
    Modification::ChangeHeader {
        nth,
        name: name.into(),
        value: value.into(),
    }
}

fn add(name: &str, value: &str) -> Modification {
    Modification::AddHeader {
        name: name.into(),
        value: value.into(),
    }
}

fn insert(at: u32, name: &str, value: &str) -> Modification {
    Modification::InsertHeader {
        at,
        name: name.into(),
        value: value.into(),
    }
}

/// The message with these changes, and how many edits they came to.
fn edited(list: &[Modification], space: bool) -> Result<(String, usize), Failure> {
    let mut message = Message::new(Content::from_bytes(MESSAGE)).unwrap();
    let mut changes = Changes::new(100);
    for modification in list {
        changes.add(modification.clone())?;
    }
    let header = message.header.clone();
    let edits = changes.edits(&header, &Envelope::default(), "mx.test", space)?;
    for scoped in &edits {
        match &scoped.edit {
            Edit::Header(edit) => assert!(message.header.apply(edit), "{edit:?}"),
            Edit::Body(edit) => message.edit_body(edit),
            _ => {}
        }
    }
    let octets = message.render().unwrap().bytes().unwrap();
    let text = String::from_utf8(octets.to_vec()).unwrap();
    Ok((text.replace("\r\n", "|"), edits.len()))
}

#[test]
fn fields_are_counted_with_those_that_were_removed() {
    for (list, expected) in [
        (vec![change(2, "a", "")], "A: 1|B: x|A: 3||body|"),
        (
            vec![change(1, "A", ""), change(2, "A", ""), change(3, "A", "")],
            "B: x||body|",
        ),
        (
            vec![change(3, "A", ""), change(2, "A", ""), change(1, "A", "")],
            "B: x||body|",
        ),
        (
            vec![change(1, "A", ""), change(2, "A", "two")],
            "B: x|A: two|A: 3||body|",
        ),
        (
            vec![change(1, "A", ""), change(1, "A", "")],
            "B: x|A: 2|A: 3||body|",
        ),
        // One that was removed comes back where it was.
        (
            vec![change(2, "A", ""), change(2, "A", "again")],
            "A: 1|B: x|A: again|A: 3||body|",
        ),
        (
            vec![change(0, "A", "none")],
            "A: none|B: x|A: 2|A: 3||body|",
        ),
        (vec![change(4, "A", "4")], "A: 1|B: x|A: 2|A: 3|A: 4||body|"),
        (vec![change(4, "A", "")], "A: 1|B: x|A: 2|A: 3||body|"),
        (
            vec![add("A", "4"), change(4, "A", "four")],
            "A: 1|B: x|A: 2|A: 3|A: four||body|",
        ),
        (
            vec![
                insert(0, "T", "0"),
                insert(1, "U", "1"),
                insert(2, "V", "2"),
            ],
            "U: 1|V: 2|T: 0|A: 1|B: x|A: 2|A: 3||body|",
        ),
        (vec![insert(2, "T", "1")], "A: 1|T: 1|B: x|A: 2|A: 3||body|"),
        (
            vec![insert(99, "T", "1")],
            "A: 1|B: x|A: 2|A: 3|T: 1||body|",
        ),
        (
            vec![
                change(1, "A", ""),
                insert(1, "A", "new"),
                change(2, "A", ""),
                change(1, "A", "newer"),
            ],
            "A: newer|B: x|A: 2|A: 3||body|",
        ),
    ] {
        let (found, _) = edited(&list, false).unwrap();
        assert_eq!(found, expected, "{list:?}");
    }
}

#[test]
fn values_stand_as_they_were_written() {
    for (value, space, expected) in [
        ("v=1; a=b;\n\tc=d", false, "S: v=1; a=b;|\tc=d|"),
        ("v=1; a=b;\r\n\tc=d", false, "S: v=1; a=b;|\tc=d|"),
        (" v=1", true, "S: v=1|"),
        ("v=1", true, "S:v=1|"),
        ("  v=1", false, "S:   v=1|"),
        ("v=1\n", false, "S: v=1|"),
        ("", false, "S: |"),
    ] {
        let (found, _) = edited(&[add("S", value)], space).unwrap();
        let expected = format!("A: 1|B: x|A: 2|A: 3|{expected}|body|");
        assert_eq!(found, expected, "{value:?}");
    }
    // Too long for mail, it is folded.
    let (found, _) = edited(&[add("S", &"word ".repeat(400))], false).unwrap();
    assert!(found.split('|').all(|line| line.len() < 998), "{found}");
}

#[test]
fn what_would_be_another_field_is_refused() {
    for bad in [
        add("S", "a\nBcc: x@y.test"),
        add("S", "a\r b"),
        add("S", "a\n \n b"),
        add("S", "a\n\nbody"),
        add("S: x", "a"),
        add("", "a"),
        add("S\n", "a"),
        Modification::AddRecipient {
            address: "<a@b c>".to_owned(),
            parameters: None,
        },
        Modification::ChangeSender {
            address: "a@b@c\r\nDATA".to_owned(),
            parameters: None,
        },
    ] {
        assert!(
            edited(std::slice::from_ref(&bad), false).is_err(),
            "{bad:?}"
        );
    }
}

#[test]
fn there_is_an_end_to_what_can_be_asked_for() {
    assert!(edited(&vec![add("A", "b"); 1000], false).is_ok());
    assert!(edited(&vec![add("A", "b"); 1001], false).is_err());
    assert!(edited(&vec![add("A", &"b".repeat(60_000)); 20], false).is_err());
    let mut changes = Changes::new(10);
    changes.body(b"123456789").unwrap();
    assert!(changes.body(b"12").is_err());
}

proptest! {
    #[test]
    fn every_edit_that_comes_out_can_be_made(
        list in proptest::collection::vec((0u8..3, 0u32..6, "[ab]", "[xy]{0,2}"), 0..12),
    ) {
        let list: Vec<_> = list.iter().map(|(kind, number, name, value)| match kind {
            0 => add(name, value),
            1 => insert(*number, name, value),
            _ => change(*number, name, value),
        }).collect();
        let (text, count) = edited(&list, false).unwrap();
        prop_assert!(count <= list.len());
        prop_assert!(text.ends_with("||body|"));
    }
}
