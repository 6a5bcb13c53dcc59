//! Small helpers on text: comparison without case, and the form in which text is searched.
//! Knows nothing of mail.

/// Whether `needle`, which must be in lower case, occurs in ASCII lower case of `text`.
pub fn contains(text: &str, needle: &str) -> bool {
    let needle = needle.as_bytes();
    text.as_bytes()
        .windows(needle.len().max(1))
        .any(|window| window.eq_ignore_ascii_case(needle))
}

pub fn starts_with(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Appends `text` to `out` as it is searched: lower case, runs of white space one space, typographic quotes and
/// hyphens plain, invisible characters gone. A space stands between what was there and `text`.
pub fn normalise(text: &str, out: &mut String) {
    out.reserve(text.len() + 1);
    let mut gap = true;
    for c in text.chars() {
        if c.is_ascii() {
            if matches!(c, ' ' | '\t' | '\r' | '\n' | '\x0b' | '\x0c') {
                gap = true;
                continue;
            }
            if c.is_ascii_control() {
                continue;
            }
        } else if is_invisible(c) {
            continue;
        } else if c.is_whitespace() {
            gap = true;
            continue;
        }
        if gap {
            gap = false;
            if !out.is_empty() {
                out.push(' ');
            }
        }
        if c.is_ascii() {
            out.push(c.to_ascii_lowercase());
        } else {
            plain(c, out);
        }
    }
}

/// Soft hyphen, zero-width characters, direction marks, the byte order mark.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

fn plain(c: char, out: &mut String) {
    match c {
        '\u{2018}' | '\u{2019}' | '\u{201b}' | '\u{2032}' | '\u{b4}' => out.push('\''),
        '\u{201c}'..='\u{201f}' | '\u{2033}' => out.push('"'),
        '\u{2010}'..='\u{2015}' | '\u{2212}' => out.push('-'),
        // Full-width forms of ASCII.
        '\u{ff01}'..='\u{ff5e}' => {
            let ascii = u32::from(c) - 0xff01 + 0x21;
            out.extend(char::from_u32(ascii).map(|c| c.to_ascii_lowercase()));
        }
        _ => out.extend(c.to_lowercase()),
    }
}

/// A word of the message as it can stand in a reason: without control characters, 60 characters at the most.
pub fn quote(text: &str) -> String {
    let mut out: String = text
        .chars()
        .filter(|c| !c.is_control() && !is_invisible(*c))
        .take(60)
        .collect();
    if out.len() < text.len() && out.chars().count() == 60 {
        out.push('…');
    }
    out
}

/// Letters only, in lower case, with the digits and signs that stand for letters taken as those: "V 1 @ G R A" is
/// "viagra".
pub fn undisguise(text: &str) -> String {
    text.chars()
        .filter_map(|c| match c.to_ascii_lowercase() {
            '0' => Some('o'),
            '1' | '!' | '|' => Some('i'),
            '3' => Some('e'),
            '4' | '@' => Some('a'),
            '5' | '$' => Some('s'),
            '7' => Some('t'),
            c if c.is_alphabetic() => Some(c),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_normalised() {
        for (text, expected) in [
            ("  Click\r\n  HERE\u{a0}now ", "click here now"),
            ("Don\u{2019}t", "don't"),
            ("v\u{200b}i\u{ad}agra", "viagra"),
            ("\u{ff26}ree", "free"),
            ("GRÖSSE", "grösse"),
            ("", ""),
        ] {
            let mut out = String::new();
            normalise(text, &mut out);
            assert_eq!(out, expected, "{text:?}");
        }
    }

    #[test]
    fn words_are_undisguised() {
        assert_eq!(undisguise("V 1 @ G-R-A"), "viagra");
        assert!(contains("MultiPart/Report; x", "multipart/report"));
        assert!(!contains("short", "much longer than it"));
    }
}
