//! Small helpers on text: comparison without case, quotation, disguise.
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

/// Soft hyphen, zero-width characters, direction marks, the byte order mark.
pub fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
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
    fn words_are_undisguised() {
        assert_eq!(undisguise("V 1 @ G-R-A"), "viagra");
        assert!(contains("MultiPart/Report; x", "multipart/report"));
        assert!(!contains("short", "much longer than it"));
    }
}
