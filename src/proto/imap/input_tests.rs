use super::*;
use proptest::prelude::*;

const LIMITS: Limits = Limits {
    command: 200,
    skip: 1000,
};

/// Everything that comes of these octets, given in pieces of `step`; APPENDs are accepted if `accepts`.
fn events_of(octets: &[u8], step: usize, accepts: bool) -> Vec<Event> {
    let mut input = Input::new(LIMITS);
    let mut events: Vec<Event> = Vec::new();
    for piece in octets.chunks(step) {
        input.push(piece);
        while let Some(event) = input.next(Expect::Command) {
            if let Event::Append(_) = event {
                match accepts {
                    true => input.accept(),
                    false => input.refuse(),
                }
            }
            match (event, events.last_mut()) {
                (Event::Octets(more), Some(Event::Octets(octets))) => {
                    *octets = [&octets[..], &more[..]].concat().into();
                }
                (event, _) => events.push(event),
            }
        }
    }
    events
}

fn shown(events: &[Event]) -> Vec<String> {
    let show = |event: &Event| match event {
        Event::Command(command) => format!("{} {}", command.tag.as_ref(), command.body.name()),
        Event::Answer(answer) => format!("answer {answer:?}"),
        Event::Continue => "+".into(),
        Event::Append(append) => format!(
            "{} append {} {}",
            append.tag,
            append.length,
            if append.waits { "waits" } else { "comes" }
        ),
        Event::Octets(octets) => String::from_utf8_lossy(octets).into_owned(),
        Event::AppendEnd => "end".into(),
        Event::Invalid(invalid) => format!(
            "bad {}{}",
            invalid.tag.as_deref().unwrap_or("*"),
            if invalid.too_large { " large" } else { "" }
        ),
        Event::Fatal(_) => "fatal".into(),
    };
    events.iter().map(show).collect()
}

/// The same, however the octets come.
fn check(octets: &str, expected: &[&str]) {
    for step in [1, 2, 3, 7, 10_000] {
        let events = events_of(octets.as_bytes(), step, true);
        assert_eq!(shown(&events), expected, "{octets:?} by {step}");
    }
}

#[test]
fn commands_and_their_literals() {
    check("a NOOP\r\nb LOGOUT\r\n", &["a NOOP", "b LOGOUT"]);
    check("a LOGIN {5}\r\nalice {3+}\r\na b\r\n", &["+", "a LOGIN"]);
    check("a LOGIN {0}\r\n {0+}\r\n\r\n", &["+", "a LOGIN"]);
    check("a SELECT \"x{5}\"\r\n", &["a SELECT"]);
}

#[test]
fn what_is_wrong_ends_with_its_line() {
    check("\r\na NOOP\r\n", &["bad *", "a NOOP"]);
    check("a\r\n", &["bad a"]);
    check("a FROB x\r\n", &["bad a"]);
    check("a NOOP\n", &["bad a"]);
    check("a SELECT \"\0\"\r\nb NOOP\r\n", &["bad a", "b NOOP"]);
    check("( NOOP\r\n", &["bad *"]);
    check("a NOOP x\r\n", &["bad a"]);
    check("\u{ff}\u{fe}\r\n", &["bad *"]);
    // The literal belongs to the wrong command: it is not the next one.
    check("a FROB {7+}\r\nb NOOP\r\nc NOOP\r\n", &["bad a", "c NOOP"]);
}

#[test]
fn what_is_too_large_is_skipped() {
    let long = format!("a SELECT {}\r\nb NOOP\r\n", "x".repeat(500));
    check(&long, &["bad a large", "b NOOP"]);
    let long = format!("a LOGIN {{300+}}\r\n{} x\r\nb NOOP\r\n", "y".repeat(300));
    check(&long, &["bad a large", "b NOOP"]);
    // Not sent before it is asked for, so it is not skipped.
    check("a LOGIN {300}\r\nb NOOP\r\n", &["bad a large", "b NOOP"]);
    check("a LOGIN {2000+}\r\n", &["fatal"]);
    check("a LOGIN {99999999999999999999}\r\n", &["bad a"]);
    let endless = "x".repeat(2000);
    assert_eq!(shown(&events_of(endless.as_bytes(), 100, true)), ["fatal"]);
    let tail = format!(
        "a SELECT {} {{8+}}\r\n12345678\r\nb NOOP\r\n",
        "x".repeat(500)
    );
    check(&tail, &["bad a large", "b NOOP"]);
}

#[test]
fn a_message_comes_in_pieces() {
    check(
        "a APPEND INBOX (\\Seen) {11}\r\nSubject: x\n\r\nb NOOP\r\n",
        &["a append 11 waits", "Subject: x\n", "end", "b NOOP"],
    );
    check(
        "a APPEND {5+}\r\nINBOX {1000+}\r\n\u{1}",
        &["a append 1000 comes", "\u{1}"],
    );
    check("a APPEND INBOX {0+}\r\n\r\n", &["a append 0 comes", "end"]);
    check(
        "a APPEND INBOX {1+}\r\nx {1+}\r\ny\r\nb NOOP\r\n",
        &["a append 1 comes", "x", "bad *", "b NOOP"],
    );
    check(
        "a APPEND INBOX {1+}\r\nx {1}\r\nb NOOP\r\n",
        &["a append 1 comes", "x", "bad *", "b NOOP"],
    );
    check(
        "a APPEND INBOX {1+}\r\nxy\r\nb NOOP\r\n",
        &["a append 1 comes", "x", "bad *", "b NOOP"],
    );
    check("a APPEND INBOX ~{1}\r\nb NOOP\r\n", &["bad a", "b NOOP"]);
    check("a APPEND INBOX \"x\"\r\nb NOOP\r\n", &["bad a", "b NOOP"]);
    check("a APPEND INBOX (\\Seen {5}\r\n", &["+"]);
}

#[test]
fn a_refused_message_is_skipped_if_it_comes_anyway() {
    let refused = |octets: &str| shown(&events_of(octets.as_bytes(), 4, false));
    assert_eq!(
        refused("a APPEND x {8+}\r\nb NOOP\r\n\r\nc NOOP\r\n"),
        ["a append 8 comes", "c NOOP"]
    );
    assert_eq!(
        refused("a APPEND x {8}\r\nb NOOP\r\n"),
        ["a append 8 waits", "b NOOP"]
    );
    assert_eq!(
        refused("a APPEND x {1+}\r\nx {2+}\r\nyy\r\nb NOOP\r\n"),
        ["a append 1 comes", "b NOOP"]
    );
    assert_eq!(refused("a APPEND x {1001+}\r\nx"), ["a append 1001 comes"]);
}

#[test]
fn answers_are_lines() {
    let mut input = Input::new(LIMITS);
    input.push(b"DONE\r\nabc {5}\r\n");
    assert_eq!(
        input.next(Expect::Answer),
        Some(Event::Answer(b"DONE".to_vec()))
    );
    assert_eq!(
        input.next(Expect::Answer),
        Some(Event::Answer(b"abc {5}".to_vec()))
    );
    assert_eq!(input.next(Expect::Answer), None);
    input.push(&[b'x'; 300]);
    input.push(b"\r\n");
    assert!(matches!(
        input.next(Expect::Answer),
        Some(Event::Invalid(_))
    ));
}

proptest! {
    #[test]
    fn nothing_that_comes_breaks_it_and_it_holds_no_more_than_its_limits(
        octets in proptest::collection::vec(any::<u8>(), 0..2000),
        step in 1usize..500,
    ) {
        let mut input = Input::new(LIMITS);
        for piece in octets.chunks(step) {
            input.push(piece);
            while let Some(event) = input.next(Expect::Command) {
                if let Event::Append(_) = event {
                    input.refuse();
                }
            }
            prop_assert!(input.command.len() <= LIMITS.command + step);
            prop_assert!(input.tail.len() <= TAIL);
        }
    }

    #[test]
    fn however_it_is_cut_the_events_are_the_same(
        lines in proptest::collection::vec("[a-c]? ?(NOOP|APPEND x|LOGIN|x)? ?(\\{[0-9]{1,3}\\+?\\})?(\r\n|\n|)", 0..12),
        step in 1usize..20,
    ) {
        let octets: String = lines.concat();
        let whole = events_of(octets.as_bytes(), 10_000, true);
        prop_assert_eq!(events_of(octets.as_bytes(), step, true), whole);
    }
}
