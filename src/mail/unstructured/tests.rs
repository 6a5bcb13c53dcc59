use super::{read, write};
use memchr::memchr;
use proptest::prelude::*;

fn written(name: &str, value: &str) -> String {
    String::from_utf8(write(name, value)).unwrap()
}

fn value(field: &[u8]) -> &[u8] {
    &field[memchr(b':', field).unwrap() + 1..]
}

#[test]
fn what_is_written() {
    let table = [
        ("Subject", "plain", "Subject: plain\r\n"),
        ("Subject", "", "Subject: \r\n"),
        ("Subject", " two  blanks ", "Subject: two  blanks\r\n"),
        (
            "Subject",
            "[spam] Grüße an alle",
            "Subject: [spam] =?utf-8?B?R3LDvMOfZQ==?= an alle\r\n",
        ),
        (
            "Subject",
            "Café Verlängerung offen",
            "Subject: =?utf-8?Q?Caf=C3=A9_Verl=C3=A4ngerung?= offen\r\n",
        ),
        ("Subject", "全て", "Subject: =?utf-8?B?5YWo44Gm?=\r\n"),
        (
            "From",
            "Jörg Maß <j@example.org>",
            "From: =?utf-8?B?SsO2cmcgTWHDnw==?= <j@example.org>\r\n",
        ),
        (
            "To",
            "\"Maß, Jörg\" <j@example.org>",
            "To: =?utf-8?B?TWHDnywgSsO2cmc=?= <j@example.org>\r\n",
        ),
        (
            "To",
            "\"Doe, John\" <j@example.org>",
            "To: \"Doe, John\" <j@example.org>\r\n",
        ),
        ("To", "<jörg@example.org>", "To: <jörg@example.org>\r\n"),
    ];
    for (name, value, field) in table {
        assert_eq!(written(name, value), field);
    }
}

/// Programs read such fields, and none of them expects an encoded word in there.
#[test]
fn long_ascii_is_folded_not_encoded() {
    let value = "mx.example.org; dkim=pass header.d=example.org header.s=2026 header.b=abcdefgh; spf=pass smtp.mailfrom=example.org";
    let field = written("Authentication-Results", value);
    assert!(
        !field.contains("=?") && field.lines().count() > 1,
        "{field}"
    );
    assert_eq!(
        field.replace("\r\n ", " "),
        format!("Authentication-Results: {value}\r\n")
    );
}

#[test]
fn what_is_read() {
    let table: &[(&[u8], &str)] = &[
        (b" plain ", "plain"),
        (
            b" folded\r\n\twith a tab\r\n  and blanks",
            "folded with a tab  and blanks",
        ),
        (b"=?utf-8?q?Gr=C3=BC=C3=9Fe?= and", "Grüße and"),
        (
            b"=?UTF-8?B?R3I=?=\r\n =?utf-8?b?w7w=?= =?iso-8859-1*de?Q?=DFe?=",
            "Grüße",
        ),
        // A character split between two words, against RFC 2047 §5 and often.
        (b"=?utf-8?Q?Gr=C3?=\r\n =?utf-8?Q?=BC=C3=9Fe?=", "Grüße"),
        (b"(=?utf-8?q?a_b?=)x=?utf-8?q?c?=", "(a b)xc"),
        (b"=?utf-8?q?raw blanks?= x", "raw blanks x"),
        (b"=?x-unknown?q?a=C3=BC?=", "aü"),
        (
            b"=?utf-8?x?a?= =?utf-8?q?a =?= =? ?= =??q?a?=",
            "=?utf-8?x?a?= a = =? ?= =??q?a?=",
        ),
        (b"=?utf-8?q?a=zz=4?=", "a=zz=4"),
        (b"=?utf-8?q?a=0D=0AX:_1=00?=", "a  X: 1"),
        (b"raw \xc3\xbc \xfc", "raw ü \u{fffd}"),
        (b"=?utf-8?q?never closed", "=?utf-8?q?never closed"),
    ];
    for (value, text) in table {
        assert_eq!(read(value), *text);
    }
}

#[test]
fn a_value_made_to_be_slow_is_not() {
    let value = "=?a?q?x".repeat(150_000);
    assert_eq!(read(value.as_bytes()), value);
}

proptest! {
    #[test]
    fn what_is_written_reads_back(text in "[a-zA-Z0-9 ,.:<>@\"()_äß€全😀-]{0,200}", long in "[a-z]{0,2000}") {
        for text in [text.clone(), format!("{text} {long}")] {
            let field = write("X-Text", &text);
            let rest = text.trim();
            prop_assert_eq!(read(value(&field)), rest);
            prop_assert!(field.is_ascii());
            for line in field.split(|octet| *octet == b'\n') {
                prop_assert!(line.len() <= 998);
                prop_assert!(line.is_empty() || !line.trim_ascii().is_empty());
            }
        }
    }

    #[test]
    fn encoded_lines_are_short(text in "[äß€全😀 ]{0,200}") {
        for line in written("Subject", &text).lines() {
            prop_assert!(line.len() <= 78, "{line}");
        }
    }

    #[test]
    fn any_value_reads_as_one_line(octets: Vec<u8>, text in "[=?_a-cqQbB8 \r\n-]{0,60}") {
        for value in [&octets[..], text.as_bytes()] {
            prop_assert!(!read(value).contains(['\r', '\n', '\0']));
        }
    }
}
