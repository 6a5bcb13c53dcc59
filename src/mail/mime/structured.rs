//! Splits structured fields such as `text/plain; charset=utf-8` into words, leniently, in time linear in their length.
//! Knows no field by name and decodes nothing.

/// A field such as `text/plain; charset=utf-8`: its main value, comments and blanks left out, and its parameters.
pub(super) struct Structured {
    pub main: String,
    pub parameters: Vec<RawParameter>,
}

/// A parameter to the octet.
pub(super) struct RawParameter {
    pub name: String,
    pub value: Vec<u8>,
}

impl Structured {
    pub fn read(value: &[u8]) -> Self {
        let value = without_comments(value);
        let mut rest = value.as_slice();
        let main = take_until(&mut rest, |byte| byte == b';');
        // `text/plain charset=x` for want of a semicolon.
        let (main, missed) = split_before_parameter(main);
        let mut parameters = Vec::new();
        let mut missed = missed;
        read_parameters(&mut missed, &mut parameters);
        read_parameters(&mut rest, &mut parameters);
        let main = main.iter().filter(|byte| !byte.is_ascii_whitespace());
        Self {
            main: String::from_utf8_lossy(&main.copied().collect::<Vec<_>>())
                .trim_matches('"')
                .to_owned(),
            parameters,
        }
    }
}

fn read_parameters(rest: &mut &[u8], parameters: &mut Vec<RawParameter>) {
    loop {
        take_until(rest, |byte| byte != b';' && !byte.is_ascii_whitespace());
        if rest.is_empty() {
            return;
        }
        let name = take_until(rest, |byte| byte == b'=' || byte == b';').trim_ascii();
        if rest.first() != Some(&b'=') {
            continue; // a word without a value
        }
        take_one(rest);
        take_until(rest, |byte| !byte.is_ascii_whitespace());
        let value = if rest.first() == Some(&b'"') {
            take_one(rest);
            quoted(rest)
        } else {
            let all = take_until(&mut { *rest }, |byte| byte == b';');
            let (value, _) = split_before_parameter(all);
            let length = value.len();
            *rest = rest.get(length..).unwrap_or_default();
            let unfolded = value.iter().filter(|byte| !matches!(byte, b'\r' | b'\n'));
            unfolded.copied().collect::<Vec<_>>().trim_ascii().to_vec()
        };
        if !name.is_empty() {
            parameters.push(RawParameter {
                name: String::from_utf8_lossy(name).into_owned(),
                value,
            });
        }
    }
}

/// The content of a quoted-string up to its closing quote or the end, unfolded, quoted-pairs resolved (RFC 5322 §3.2.4).
fn quoted(rest: &mut &[u8]) -> Vec<u8> {
    let mut value = Vec::new();
    let mut escaped = false;
    while let Some(byte) = take_one(rest) {
        match byte {
            b'\r' | b'\n' => {}
            _ if escaped => {
                value.push(byte);
                escaped = false;
            }
            b'\\' => escaped = true,
            b'"' => break,
            _ => value.push(byte),
        }
    }
    value
}

/// Splits at the blank before a second or later word that looks like `name=`.
fn split_before_parameter(value: &[u8]) -> (&[u8], &[u8]) {
    let mut word = 0; // where the word at hand starts
    let mut in_word = false;
    let mut is_first = true;
    for (at, byte) in value.iter().enumerate() {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => {
                is_first &= !in_word;
                in_word = false;
            }
            b'=' if in_word && !is_first && at > word => {
                let name = value.get(word..at).unwrap_or_default();
                if name
                    .iter()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'*'))
                {
                    return value.split_at_checked(word).unwrap_or((value, &[]));
                }
            }
            _ if !in_word => {
                in_word = true;
                word = at;
            }
            _ => {}
        }
    }
    (value, &[])
}

/// The value with a blank in place of each comment (RFC 5322 §3.2.2). What stands in a quoted-string is left alone, so is an
/// opening parenthesis that nothing closes.
pub(super) fn without_comments(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    let mut opened = 0; // in `out`
    let mut depth = 0usize;
    let mut in_quotes = false;
    let mut bytes = value.iter().copied();
    while let Some(byte) = bytes.next() {
        out.push(byte);
        match byte {
            b'\\' if in_quotes || depth > 0 => out.extend(bytes.next()),
            b'"' if depth == 0 => in_quotes = !in_quotes,
            b'(' if !in_quotes => {
                if depth == 0 {
                    opened = out.len() - 1;
                }
                depth += 1;
            }
            b')' if depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    out.truncate(opened);
                    out.push(b' ');
                }
            }
            _ => {}
        }
    }
    out
}

fn take_one(rest: &mut &[u8]) -> Option<u8> {
    let (first, next) = rest.split_first()?;
    *rest = next;
    Some(*first)
}

/// Takes what comes before the first octet that `stop` is true for.
fn take_until<'a>(rest: &mut &'a [u8], stop: impl Fn(u8) -> bool) -> &'a [u8] {
    let length = rest
        .iter()
        .position(|byte| stop(*byte))
        .unwrap_or(rest.len());
    let (taken, next) = rest.split_at_checked(length).unwrap_or((rest, &[]));
    *rest = next;
    taken
}

/// RFC 2045 §5.1, and what is not ASCII is none either.
pub(super) fn is_token(text: &str) -> bool {
    let special = |byte| {
        matches!(
            byte,
            b'(' | b')'
                | b'<'
                | b'>'
                | b'@'
                | b','
                | b';'
                | b':'
                | b'\\'
                | b'"'
                | b'/'
                | b'['
                | b']'
                | b'?'
                | b'='
        )
    };
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !special(byte))
}
