use super::*;

const MESSAGE: &str = "Received: from a\r\n\tby b\r\nsubject:  =?utf-8?q?Gr=C3=BC=C3=9Fe?= and\r\n more\r\nX-Odd : 1\r\nTo: a@b\r\nTo: c@d\r\n\r\nbody: not a field\r\n";

fn name(name: &str) -> FieldName {
    FieldName::new(name).unwrap()
}

fn line(text: &str) -> FieldValue {
    FieldValue::from(crate::mail::Line::new(text).unwrap())
}

fn edited(edits: &[HeaderEdit]) -> String {
    let content = Content::from_bytes(MESSAGE);
    let mut header = Header::read(&content).unwrap();
    for edit in edits {
        assert!(header.apply(edit));
    }
    let content = content.with_splices(header.splices()).unwrap();
    String::from_utf8(content.bytes().unwrap().to_vec()).unwrap()
}

fn add(field: &str, value: &str) -> HeaderEdit {
    HeaderEdit::Add {
        name: name(field),
        value: line(value),
    }
}

fn insert(at: u32, field: &str, value: &str) -> HeaderEdit {
    HeaderEdit::Insert {
        at,
        name: name(field),
        value: line(value),
    }
}

fn change(field: &str, nth: u32, value: &str) -> HeaderEdit {
    HeaderEdit::Change {
        name: name(field),
        nth,
        value: line(value),
        was: String::new(),
    }
}

fn remove(field: &str, nth: u32) -> HeaderEdit {
    HeaderEdit::Remove {
        name: name(field),
        nth,
        was: String::new(),
    }
}

#[test]
fn fields_are_found_and_decoded() {
    let header = Header::parse(&Bytes::from_static(MESSAGE.as_bytes()));
    let names: Vec<_> = header.fields().iter().map(Field::name).collect();
    assert_eq!(names, ["Received", "subject", "X-Odd", "To", "To"]);
    let subject = header.nth("Subject", 1).unwrap();
    assert_eq!(subject.text(), "Grüße and more");
    assert_eq!(header.get("to").count(), 2);
    assert!(header.nth("To", 3).is_none() && header.nth("To", 0).is_none());
    assert_eq!(header.nth("x-odd", 1).unwrap().value(), b" 1");
}

#[test]
fn an_untouched_message_needs_no_splice() {
    let header = Header::parse(&Bytes::from_static(MESSAGE.as_bytes()));
    assert!(header.splices().is_empty());
}

#[test]
fn edits_leave_every_other_octet_alone() {
    let table: &[(&[HeaderEdit], &str, &str)] = &[
        (&[add("X-A", "1")], "To: c@d\r\n", "To: c@d\r\nX-A: 1\r\n"),
        (&[insert(0, "X-A", "1")], "Received:", "X-A: 1\r\nReceived:"),
        (&[insert(2, "X-A", "1")], "X-Odd :", "X-A: 1\r\nX-Odd :"),
        (&[insert(99, "X-A", "1")], "c@d\r\n", "c@d\r\nX-A: 1\r\n"),
        (&[change("To", 2, "e@f")], "To: c@d", "To: e@f"),
        (&[remove("to", 1)], "To: a@b\r\n", ""),
        (
            &[remove("to", 1), remove("to", 1)],
            "To: a@b\r\nTo: c@d\r\n",
            "",
        ),
        (
            &[change("To", 2, "e@f"), remove("To", 2)],
            "To: c@d\r\n",
            "",
        ),
        (
            &[
                add("X-A", "1"),
                change("X-A", 1, "2"),
                insert(0, "X-A", "0"),
            ],
            "Received: from a\r\n\tby b\r\n",
            "X-A: 0\r\nReceived: from a\r\n\tby b\r\n",
        ),
    ];
    for (edits, from, to) in &table[..8] {
        assert_eq!(edited(edits), MESSAGE.replacen(from, to, 1), "{edits:?}");
    }
    let last = edited(table[8].0);
    assert!(last.starts_with("X-A: 0\r\nReceived:") && last.contains("X-A: 2\r\n\r\nbody"));
}

#[test]
fn every_field_can_go() {
    let edits = [
        remove("Received", 1),
        remove("Subject", 1),
        remove("X-Odd", 1),
        remove("To", 1),
        remove("To", 1),
    ];
    assert_eq!(edited(&edits), "\r\nbody: not a field\r\n");
}

#[test]
fn what_is_not_ascii_is_encoded_and_reads_back() {
    let text = edited(&[change("Subject", 1, "[спам] 全て")]);
    assert!(text.is_ascii(), "{text}");
    let header = Header::parse(&Bytes::from(text.into_bytes()));
    assert_eq!(header.nth("Subject", 1).unwrap().text(), "[спам] 全て");
}

#[test]
fn long_values_are_folded() {
    let long = "word ".repeat(60);
    let text = edited(&[add("X-Long", long.trim())]);
    assert!(text.lines().all(|line| line.len() <= 78), "{text}");
    let header = Header::parse(&Bytes::from(text.into_bytes()));
    assert_eq!(header.nth("X-Long", 1).unwrap().text(), long.trim());
}

#[test]
fn a_field_is_added_after_a_last_line_without_end() {
    for (message, edit, expected) in [
        ("A: 1", add("X-B", "2"), "A: 1\r\nX-B: 2\r\n"),
        ("A: 1", insert(0, "X-B", "2"), "X-B: 2\r\nA: 1"),
        ("A: 1", change("A", 1, "2"), "A: 2\r\n"),
        ("", add("X-B", "2"), "X-B: 2\r\n"),
        ("\r\nbody", add("X-B", "2"), "X-B: 2\r\n\r\nbody"),
    ] {
        let content = Content::from_bytes(message);
        let mut header = Header::read(&content).unwrap();
        assert!(header.apply(&edit));
        let content = content.with_splices(header.splices()).unwrap();
        assert_eq!(content.bytes().unwrap(), expected, "{message:?}");
    }
}

#[test]
fn headers_of_any_length_are_found() {
    for (line_end, fields) in [("\r\n", 1000), ("\n", 1000), ("\r\n", 40_000), ("\n", 1)] {
        let header = format!("X-Field: some text{line_end}").repeat(fields);
        let message = format!("{header}{line_end}body: no field{line_end}");
        let found = Header::read(&Content::from_bytes(message)).unwrap();
        assert_eq!(found.fields().len(), fields);
        assert_eq!(found.received_len(), header.len() as u64);
    }
}

#[test]
fn no_edit_lands_in_the_middle_of_a_field_that_was_not_read_to_its_end() {
    let field = format!("X-Field: {}\r\n", "x".repeat(700));
    let message = format!("{}\r\nbody", field.repeat(2 * Header::MAX / field.len()));
    let content = Content::from_bytes(message.clone());
    let mut header = Header::read(&content).unwrap();
    assert_eq!(header.received_len() % field.len() as u64, 0);
    let end = header.received_len() as usize;
    assert!(header.apply(&add("X-A", "1")));
    let content = content.with_splices(header.splices()).unwrap();
    let (before, after) = message.split_at(end);
    assert_eq!(
        content.bytes().unwrap(),
        format!("{before}X-A: 1\r\n{after}")
    );
}

#[test]
fn garbage_is_kept() {
    for garbage in [
        "From me Mon\r\nA: 1\r\n\r\n",
        "no colon",
        "\r\n",
        "",
        ": x\r\n\r\n",
        " lead\r\nA: 1",
    ] {
        let header = Header::parse(&Bytes::from(garbage));
        assert!(header.splices().is_empty(), "{garbage:?}");
    }
}
