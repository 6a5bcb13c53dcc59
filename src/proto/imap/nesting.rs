//! How deeply the keys of a SEARCH stand in each other: imap-codec takes eight levels, and does not say that it was for that.
//! Reads nothing else of a command.

const MOST: usize = 8;

/// What waits for keys.
enum Open {
    Parenthesis,
    /// NOT or OR, for so many more.
    Operator(u8),
}

/// Of a whole command, with its literals.
pub fn is_too_deep(command: &[u8]) -> bool {
    let mut tokens = Tokens(command);
    let is =
        |token: Option<&[u8]>, word: &[u8]| token.is_some_and(|t| t.eq_ignore_ascii_case(word));
    tokens.next();
    let mut name = tokens.next();
    if is(name, b"UID") {
        name = tokens.next();
    }
    if !is(name, b"SEARCH") {
        return false;
    }
    let mut open = Vec::new();
    while let Some(token) = tokens.next() {
        match token.to_ascii_uppercase().as_slice() {
            b"(" => open.push(Open::Parenthesis),
            b"NOT" => open.push(Open::Operator(1)),
            b"OR" => open.push(Open::Operator(2)),
            b")" => {
                while let Some(Open::Operator(_)) = open.pop() {}
                end_key(&mut open);
            }
            key => {
                tokens.by_ref().take(arguments(key)).for_each(drop);
                end_key(&mut open);
            }
        }
        if open.len() > MOST {
            return true;
        }
    }
    false
}

/// What waited for one key less is over when it waits for none.
fn end_key(open: &mut Vec<Open>) {
    while let Some(Open::Operator(left)) = open.last_mut() {
        *left -= 1;
        if *left > 0 {
            return;
        }
        open.pop();
    }
}

/// RFC 3501 §6.4.4
fn arguments(key: &[u8]) -> usize {
    match key {
        b"HEADER" => 2,
        b"BCC" | b"BEFORE" | b"BODY" | b"CC" | b"CHARSET" | b"FROM" | b"KEYWORD" | b"LARGER"
        | b"ON" | b"SENTBEFORE" | b"SENTON" | b"SENTSINCE" | b"SINCE" | b"SMALLER" | b"SUBJECT"
        | b"TEXT" | b"TO" | b"UID" | b"UNKEYWORD" => 1,
        _ => 0,
    }
}

/// Parentheses, atoms, and strings with what encloses them (RFC 3501 §4).
struct Tokens<'a>(&'a [u8]);

impl<'a> Iterator for Tokens<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.0.trim_ascii_start();
        let length = match rest.first()? {
            b'(' | b')' => 1,
            b'"' => quoted(rest),
            b'{' => literal(rest),
            _ => rest
                .iter()
                .position(|octet| b"() \r\n".contains(octet))
                .unwrap_or(rest.len()),
        };
        let (token, rest) = rest.split_at_checked(length).unwrap_or((rest, b""));
        self.0 = rest;
        Some(token)
    }
}

fn quoted(text: &[u8]) -> usize {
    let mut escaped = false;
    let end = text.iter().skip(1).position(|octet| {
        let ends = *octet == b'"' && !escaped;
        escaped = *octet == b'\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |at| at + 2)
}

fn literal(text: &[u8]) -> usize {
    let Some(line) = text.iter().position(|octet| *octet == b'\n') else {
        return text.len();
    };
    let digits = text
        .iter()
        .skip(1)
        .take_while(|octet| octet.is_ascii_digit());
    let octets = digits.fold(0usize, |sum, digit| {
        sum.saturating_mul(10)
            .saturating_add(usize::from(digit - b'0'))
    });
    octets.saturating_add(line + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    use imap_codec::CommandCodec;
    use imap_codec::decode::Decoder;

    #[test]
    fn keys_are_counted_as_they_stand_in_each_other() {
        let parentheses =
            |levels: usize| format!("{}ALL{}", "(".repeat(levels), ")".repeat(levels));
        let senders = |most: usize| {
            let names: Vec<_> = (0..most).map(|n| format!("OR FROM \"a) {n}\" ")).collect();
            format!("{}TO {{3}}\r\n(((", names.concat())
        };
        for (keys, deep) in [
            ("ALL".to_owned(), false),
            (parentheses(8), false),
            (parentheses(9), true),
            (format!("{}ALL", "NOT ".repeat(8)), false),
            (format!("{}ALL", "NOT ".repeat(9)), true),
            (senders(8), false),
            (senders(9), true),
            (format!("NOT SEEN{}", " NOT SEEN".repeat(20)), false),
            (format!("{}SEEN", "OR NOT SEEN ".repeat(7)), false),
            (format!("{}SEEN", "OR NOT SEEN ".repeat(8)), true),
            (
                format!("ALL{}", " (OR (HEADER NOT OR) NOT ALL)".repeat(9)),
                false,
            ),
            ("FROM \"((((((((((\\\"(\"".to_owned(), false),
        ] {
            for name in ["SEARCH", "UID search"] {
                let command = format!("a {name} {keys}\r\n");
                assert_eq!(is_too_deep(command.as_bytes()), deep, "{command}");
                let read = CommandCodec::default().decode(command.as_bytes());
                assert_eq!(read.is_err(), deep, "{command}");
            }
        }
    }

    #[test]
    fn what_is_wrong_otherwise_is_not_too_deep() {
        for command in [
            "",
            "a",
            "a LIST ((((((((((((\r\n",
            "a SEARCH )))))) OR\r\n",
            "a SEARCH BODY {99999999999999999999+}\r\n((((((((((\r\n",
            "a SEARCH FROM \"((((((((((",
            "a SEARCH FROM {((((((((((",
        ] {
            assert!(!is_too_deep(command.as_bytes()), "{command}");
        }
    }
}
