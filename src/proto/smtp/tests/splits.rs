//! However the network cuts the octets, the caller sees the same.

use super::*;
use proptest::prelude::*;
use proptest::sample::select;

/// What clients say, and what they should not.
fn dialogue() -> impl Strategy<Value = Vec<u8>> {
    let pieces = select(vec![
        "EHLO c.test\r\n",
        "MAIL FROM:<a@b.test> SIZE=10\r\n",
        "MAIL FROM:<>\r\nRCPT TO:<x@example.test>\r\nDATA\r\n",
        "RCPT TO:<postmaster>\r\n",
        "DATA\r\n",
        "BDAT 7\r\n",
        "BDAT 3\r\n\r\nx",
        "BDAT 12 LAST\r\n",
        "BDAT 5 LAST\r\nRSET\r\n",
        "BDAT 800\r\n",
        "BDAT 0 LAST\r\n",
        ".\r\n",
        "..",
        ".",
        "\r\n",
        "\r",
        "\n",
        "\0",
        "text",
        "Subject: a line\r\n",
        "RSET\r\n",
        "NOOP\r\n",
        "QUIT\r\n",
        "NOOP xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "ä",
    ]);
    // Half of them begin inside a message, or few would get there.
    let begin = select(vec![
        "",
        "EHLO c.test\r\nMAIL FROM:<>\r\nRCPT TO:<x@example.test>\r\nDATA\r\n",
        "EHLO c.test\r\nMAIL FROM:<>\r\nRCPT TO:<x@example.test>\r\nBDAT 8\r\n",
        "EHLO c.test\r\nMAIL FROM:<> BODY=BINARYMIME\r\nRCPT TO:<x@example.test>\r\nBDAT 8\r\n",
    ]);
    let pieces = proptest::collection::vec((pieces, 1usize..40), 1..24);
    (begin, pieces).prop_map(|(begin, pieces)| {
        let mut said = begin.as_bytes().to_vec();
        for (piece, times) in pieces {
            // Long runs only of text: they cross the limits of lines and messages.
            let text = piece.len() > 3 && !piece.contains('\r');
            said.extend(piece.repeat(if text { times } else { 1 }).as_bytes());
        }
        said
    })
}

fn caller() -> Caller {
    with(Smuggling::Reject)
}

fn with(smuggling: Smuggling) -> Caller {
    let config = Config {
        errors: 50,
        smuggling,
        line: 60,
        ..config()
    };
    Caller::with(config, Security::Plain)
}

proptest! {
    #[test]
    fn any_split_gives_the_same_events(
        said in dialogue(),
        cuts in proptest::collection::vec(0.0f64..1.0, 0..40),
        smuggling in select(vec![Smuggling::Reject, Smuggling::Normalise]),
    ) {
        let caller = || with(smuggling);
        let mut whole = caller();
        whole.feed(&said);

        let mut cuts: Vec<_> = cuts.iter().map(|cut| (cut * said.len() as f64) as usize).collect();
        cuts.extend([0, said.len()]);
        cuts.sort_unstable();
        let mut split = caller();
        for pair in cuts.windows(2) {
            split.feed(&said[pair[0]..pair[1]]);
        }
        prop_assert_eq!(&split.events, &whole.events);
        prop_assert_eq!(split.sent(), whole.sent());

        let mut single = caller();
        for octet in &said {
            single.feed(std::slice::from_ref(octet));
        }
        prop_assert_eq!(&single.events, &whole.events);
        prop_assert_eq!(single.sent(), whole.sent());
        let binary = said.windows(10).any(|text| text == b"BINARYMIME");
        for event in &whole.events {
            if let (Event::Message(octets), false) = (event, binary) {
                let text = String::from_utf8_lossy(octets).replace("\r\n", "");
                prop_assert!(!text.contains(['\r', '\n', '\0']));
            }
        }
    }

    #[test]
    fn whatever_comes_is_survived(said in proptest::collection::vec(any::<u8>(), 0..3000)) {
        let mut caller = caller();
        caller.feed(&said);
    }

    /// Stuffed by the rule of RFC 5321 §4.5.2, a message comes out as it went in.
    #[test]
    fn a_message_comes_out_as_it_went_in(lines in proptest::collection::vec("[.]{0,3}[a\x01ä]{0,5}", 0..20), cut in 1usize..30) {
        let message: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let wire: String = lines
            .iter()
            .map(|line| if line.starts_with('.') { format!(".{line}\r\n") } else { format!("{line}\r\n") })
            .collect();
        let mut caller = caller();
        caller.feed(b"EHLO c.test\r\nMAIL FROM:<>\r\nRCPT TO:<a@x.test>\r\nDATA\r\n");
        for piece in format!("{wire}.\r\n").as_bytes().chunks(cut) {
            caller.feed(piece);
        }
        prop_assert_eq!(caller.events.last(), Some(&Event::Message(message.into_bytes())));
    }

    /// The parser takes what mail::Address takes, and says it back unchanged.
    #[test]
    fn an_address_comes_through_as_written(local in "[a-z.]{1,9}|\"[a-z> @:\\\\]{0,6}\"", domain in "[a-z-]{1,8}\\.test") {
        let text = format!("{local}@{domain}");
        let mut caller = caller();
        caller.feed(format!("EHLO c.test\r\nMAIL FROM:<>\r\nRCPT TO:<{text}>\r\n").as_bytes());
        let expected = Address::parse(&text).ok().map(|address| Event::Rcpt(address.to_string()));
        prop_assert_eq!(caller.events.get(2), expected.as_ref());
    }
}
