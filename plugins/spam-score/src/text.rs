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

/// What becomes of each ASCII octet in the form in which text is searched: itself in lower case, or one of the two below.
static ASCII: [u8; 128] = ascii();
const GAP: u8 = b' ';
const GONE: u8 = 0;

const fn ascii() -> [u8; 128] {
    let mut table = [GONE; 128];
    let mut octet = 0;
    while octet < 128 {
        #[allow(clippy::cast_possible_truncation, clippy::indexing_slicing)]
        {
            table[octet] = match octet as u8 {
                b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c => GAP,
                control if control.is_ascii_control() => GONE,
                other => other.to_ascii_lowercase(),
            };
        }
        octet += 1;
    }
    table
}

/// Appends `text` to `out` as it is searched, in UTF-8: lower case, runs of white space one space, typographic quotes and
/// hyphens plain, invisible characters gone. A space stands between what was there and `text`.
pub fn normalise(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len() + 1);
    let mut gap = true;
    let mut rest = text;
    loop {
        // Nearly all text is ASCII, and an octet is cheaper to look at than a character.
        let octets = rest.as_bytes();
        let mut at = 0;
        while let Some(becomes) = octets
            .get(at)
            .and_then(|octet| ASCII.get(usize::from(*octet)))
        {
            at += 1;
            match *becomes {
                GAP => gap = true,
                GONE => {}
                octet => {
                    part(&mut gap, out);
                    out.push(octet);
                }
            }
        }
        let mut chars = rest.get(at..).unwrap_or_default().chars();
        let Some(c) = chars.next() else {
            return;
        };
        if c.is_whitespace() {
            gap = true;
        } else if !is_invisible(c) {
            part(&mut gap, out);
            plain(c, out);
        }
        rest = chars.as_str();
    }
}

/// The space that stands for a gap.
fn part(gap: &mut bool, out: &mut Vec<u8>) {
    if std::mem::take(gap) && !out.is_empty() {
        out.push(b' ');
    }
}

/// Soft hyphen, zero-width characters, direction marks, the byte order mark.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

fn plain(c: char, out: &mut Vec<u8>) {
    match c {
        '\u{2018}' | '\u{2019}' | '\u{201b}' | '\u{2032}' | '\u{b4}' => out.push(b'\''),
        '\u{201c}'..='\u{201f}' | '\u{2033}' => out.push(b'"'),
        '\u{2010}'..='\u{2015}' | '\u{2212}' => out.push(b'-'),
        // Full-width forms of ASCII.
        '\u{ff01}'..='\u{ff5e}' => {
            let ascii = u32::from(c) - 0xff01 + 0x21;
            out.extend(u8::try_from(ascii).map(|octet| octet.to_ascii_lowercase()));
        }
        _ => {
            let mut octets = [0; 4];
            for c in c.to_lowercase() {
                out.extend_from_slice(c.encode_utf8(&mut octets).as_bytes());
            }
        }
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
            ("a\u{7}b\u{200b} \u{200b}c", "ab c"),
            ("", ""),
        ] {
            let mut out = Vec::new();
            normalise(text, &mut out);
            assert_eq!(out, expected.as_bytes(), "{text:?}");
        }
    }

    #[test]
    fn words_are_undisguised() {
        assert_eq!(undisguise("V 1 @ G-R-A"), "viagra");
        assert!(contains("MultiPart/Report; x", "multipart/report"));
        assert!(!contains("short", "much longer than it"));
    }
}
