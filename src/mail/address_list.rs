//! Address lists of header fields as IMAP's ENVELOPE shows them: raw, encoded words left alone, groups kept (RFC 5322 §3.4, RFC 3501 §7.4.2).
//! Accepts what arrives in life rather than what is valid, and judges nothing.

/// One entry of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    Address {
        name: Option<Vec<u8>>,
        /// The obsolete source route (RFC 5322 §4.4).
        route: Option<Vec<u8>>,
        local: Vec<u8>,
        domain: Vec<u8>,
    },
    GroupStart(Vec<u8>),
    GroupEnd,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// An atom, the content of a quoted string, or a domain literal with its brackets.
    Word {
        text: Vec<u8>,
        spaced: bool,
    },
    /// One of `< > , : ; @ .`
    Special {
        octet: u8,
        spaced: bool,
    },
    Comment(Vec<u8>),
}

/// The value of a field, folded or not.
pub fn parse(value: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut pending: Vec<Token> = Vec::new();
    let mut in_group = false;
    let mut tokens = tokens(value).into_iter();
    while let Some(token) = tokens.next() {
        let Token::Special { octet, .. } = token else {
            pending.push(token);
            continue;
        };
        match octet {
            b':' if !in_group => {
                entries.push(Entry::GroupStart(phrase(&pending)));
                pending.clear();
                in_group = true;
            }
            b',' => bare(&mut pending, &mut entries),
            b';' => {
                bare(&mut pending, &mut entries);
                if in_group {
                    entries.push(Entry::GroupEnd);
                    in_group = false;
                }
            }
            b'<' => {
                let inside: Vec<Token> = tokens
                    .by_ref()
                    .take_while(|token| !matches!(token, Token::Special { octet: b'>', .. }))
                    .collect();
                entries.push(angle(&pending, &inside));
                pending.clear();
                // What follows up to the next separator belongs to nothing.
                for token in tokens.by_ref() {
                    match token {
                        Token::Special { octet: b',', .. } => break,
                        Token::Special { octet: b';', .. } => {
                            if in_group {
                                entries.push(Entry::GroupEnd);
                                in_group = false;
                            }
                            break;
                        }
                        _ => {}
                    }
                }
            }
            _ => pending.push(token),
        }
    }
    bare(&mut pending, &mut entries);
    if in_group {
        entries.push(Entry::GroupEnd);
    }
    entries
}

/// `name <route:local@domain>`
fn angle(before: &[Token], inside: &[Token]) -> Entry {
    let colon = inside
        .iter()
        .position(|token| matches!(token, Token::Special { octet: b':', .. }));
    let (route, spec) = match colon.and_then(|at| inside.split_at_checked(at)) {
        Some((route, rest)) => (Some(joined(route)), rest.get(1..).unwrap_or_default()),
        None => (None, inside),
    };
    let (local, domain) = local_and_domain(spec);
    let name = phrase(before);
    Entry::Address {
        name: (!name.is_empty()).then_some(name),
        route: route.filter(|route| !route.is_empty()),
        local,
        domain,
    }
}

/// `local@domain (name)`
fn bare(pending: &mut Vec<Token>, entries: &mut Vec<Entry>) {
    let name = pending.iter().rev().find_map(|token| match token {
        Token::Comment(text) => Some(text.clone()),
        _ => None,
    });
    let is_address = pending
        .iter()
        .any(|token| !matches!(token, Token::Comment(_)));
    if is_address {
        let (local, domain) = local_and_domain(pending);
        entries.push(Entry::Address {
            name: name.filter(|name| !name.is_empty()),
            route: None,
            local,
            domain,
        });
    }
    pending.clear();
}

/// Without an `@` the domain is empty: NIL there would mean a group (RFC 3501 §7.4.2).
fn local_and_domain(tokens: &[Token]) -> (Vec<u8>, Vec<u8>) {
    let at = tokens
        .iter()
        .rposition(|token| matches!(token, Token::Special { octet: b'@', .. }));
    match at.and_then(|at| tokens.split_at_checked(at)) {
        Some((local, domain)) => (joined(local), joined(domain.get(1..).unwrap_or_default())),
        None => (phrase(tokens), Vec::new()),
    }
}

/// Words and specials with nothing between.
fn joined(tokens: &[Token]) -> Vec<u8> {
    let mut out = Vec::new();
    for token in tokens {
        match token {
            Token::Word { text, .. } => out.extend_from_slice(text),
            Token::Special { octet, .. } => out.push(*octet),
            Token::Comment(_) => {}
        }
    }
    out
}

/// Words and specials with a space where there was white space.
fn phrase(tokens: &[Token]) -> Vec<u8> {
    let mut out = Vec::new();
    for token in tokens {
        let (text, spaced) = match token {
            Token::Word { text, spaced } => (text.as_slice(), *spaced),
            Token::Special { octet, spaced } => (std::slice::from_ref(octet), *spaced),
            Token::Comment(_) => continue,
        };
        if spaced && !out.is_empty() {
            out.push(b' ');
        }
        out.extend_from_slice(text);
    }
    out
}

fn tokens(value: &[u8]) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut octets = value.iter().copied().peekable();
    let mut spaced = false;
    while let Some(octet) = octets.next() {
        let token = match octet {
            b' ' | b'\t' | b'\r' | b'\n' => {
                spaced = true;
                continue;
            }
            b'(' => Token::Comment(enclosed(&mut octets, Some(b'('), b')', b"")),
            b'"' => Token::Word {
                text: enclosed(&mut octets, None, b'"', b""),
                spaced,
            },
            b'[' => {
                let mut text = vec![b'['];
                text.extend(enclosed(&mut octets, None, b']', b",;>"));
                text.push(b']');
                Token::Word { text, spaced }
            }
            b'<' | b'>' | b',' | b':' | b';' | b'@' | b'.' => Token::Special { octet, spaced },
            octet => {
                let mut text = vec![octet];
                while let Some(octet) =
                    octets.next_if(|octet| !b" \t\r\n(\"<>,:;@.".contains(octet))
                {
                    text.push(octet);
                }
                Token::Word { text, spaced }
            }
        };
        // A comment separates as white space does.
        spaced = matches!(token, Token::Comment(_));
        tokens.push(token);
    }
    tokens
}

/// Up to the closing octet (or one of `before`, which stays), quoted pairs undone, folding undone, nesting counted.
fn enclosed(
    octets: &mut std::iter::Peekable<impl Iterator<Item = u8>>,
    open: Option<u8>,
    close: u8,
    before: &[u8],
) -> Vec<u8> {
    let mut text = Vec::new();
    let mut depth = 0usize;
    while let Some(octet) = octets.next_if(|octet| !before.contains(octet)) {
        match octet {
            b'\\' => text.extend(octets.next()),
            b'\r' | b'\n' => {}
            octet if octet == close && depth == 0 => break,
            octet => {
                if octet == close {
                    depth -= 1;
                } else if Some(octet) == open {
                    depth += 1;
                }
                text.push(octet);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `name|route|local|domain` for each, `{group` and `}`.
    fn shown(value: &str) -> Vec<String> {
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        let option = |octets: &Option<Vec<u8>>| octets.as_deref().map_or("-".into(), text);
        parse(value.as_bytes())
            .iter()
            .map(|entry| match entry {
                Entry::Address {
                    name,
                    route,
                    local,
                    domain,
                } => format!(
                    "{}|{}|{}|{}",
                    option(name),
                    option(route),
                    text(local),
                    text(domain)
                ),
                Entry::GroupStart(name) => format!("{{{}", text(name)),
                Entry::GroupEnd => "}".into(),
            })
            .collect()
    }

    #[test]
    fn lists() {
        for (value, expected) in [
            ("a@b.test", &["-|-|a|b.test"][..]),
            ("<a@b.test>", &["-|-|a|b.test"]),
            (
                "A B <a@b.test>, c@d.test",
                &["A B|-|a|b.test", "-|-|c|d.test"],
            ),
            ("\"Doe, J.\" <j@b.test>", &["Doe, J.|-|j|b.test"]),
            (
                "John Q. Public <j.q@b.test>",
                &["John Q. Public|-|j.q|b.test"],
            ),
            ("a@b.test (The (real) A)", &["The (real) A|-|a|b.test"]),
            (
                "=?utf-8?q?J=C3=B6rg?= <j@b.test>",
                &["=?utf-8?q?J=C3=B6rg?=|-|j|b.test"],
            ),
            (
                "<@x.test,@y.test:a@b.test>",
                &["-|@x.test,@y.test|a|b.test"],
            ),
            (
                "Friends: a@b.test, C <c@d.test>;",
                &["{Friends", "-|-|a|b.test", "C|-|c|d.test", "}"],
            ),
            (
                "undisclosed-recipients:;",
                &["{undisclosed-recipients", "}"],
            ),
            ("G: a@b.test", &["{G", "-|-|a|b.test", "}"]),
            ("x@[192.0.2.1]", &["-|-|x|[192.0.2.1]"]),
            ("\"odd \\\"one\\\"\"@b.test", &["-|-|odd \"one\"|b.test"]),
            ("a . b @ c . test", &["-|-|a.b|c.test"]),
            ("nobody", &["-|-|nobody|"]),
            ("<>", &["-|-||"]),
            ("A\r\n B\r\n\t<a@b.test>", &["A B|-|a|b.test"]),
            (" , ,a@b.test,", &["-|-|a|b.test"]),
            ("", &[]),
            ("a@b.test <c@d.test>", &["a@b.test|-|c|d.test"]),
            ("A <a@b.test", &["A|-|a|b.test"]),
            ("\"open <a@b.test>", &["-|-|open <a@b.test>|"]),
            ("a@b.test; c@d.test", &["-|-|a|b.test", "-|-|c|d.test"]),
            ("Jörg <j@b.test>", &["Jörg|-|j|b.test"]),
        ] {
            assert_eq!(shown(value), expected, "{value}");
        }
    }

    proptest! {
        #[test]
        fn anything_is_read(value in proptest::collection::vec(any::<u8>(), 0..200)) {
            let entries = parse(&value);
            let starts = entries.iter().filter(|e| matches!(e, Entry::GroupStart(_))).count();
            let ends = entries.iter().filter(|e| matches!(e, Entry::GroupEnd)).count();
            prop_assert_eq!(starts, ends);
        }
    }
}
