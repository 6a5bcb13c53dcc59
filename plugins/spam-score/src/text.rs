//! Small helpers on text: comparison without case, and the form in which text is searched.
//! Knows nothing of mail.

use wide::u8x16;

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
    gap(out);
    out.reserve(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let foreign = ascii_prefix(rest, out);
        rest = foreign.trim_start_matches(|c: char| !c.is_ascii());
        let length = foreign.len() - rest.len();
        for c in foreign.get(..length).unwrap_or_default().chars() {
            if c.is_whitespace() {
                gap(out);
            } else if !is_invisible(c) {
                plain(c, out);
            }
        }
    }
    out.pop_if(|last| *last == GAP);
}

/// Nearly all text is ASCII, and a block is cheaper to look at than its characters. What comes after it.
fn ascii_prefix<'a>(text: &'a str, out: &mut Vec<u8>) -> &'a str {
    let octets = text.as_bytes();
    let (blocks, _) = octets.as_chunks();
    let read = BLOCK
        * blocks
            .iter()
            .take_while(|block| take_block(block, out))
            .count();
    let rest = octets.get(read..).unwrap_or_default();
    let length = rest.iter().position(|octet| !octet.is_ascii());
    let length = length.unwrap_or(rest.len());
    take(rest.get(..length).unwrap_or_default(), out);
    text.get(read + length..).unwrap_or_default()
}

/// Octet by octet.
fn take(octets: &[u8], out: &mut Vec<u8>) {
    for octet in octets {
        match ASCII.get(usize::from(*octet)) {
            Some(&GAP) => gap(out),
            Some(&becomes) if becomes != GONE => out.push(becomes),
            _ => {}
        }
    }
}

/// Octets that are looked at together.
const BLOCK: usize = 16;

/// Which octets of a block: the lowest bit is the first.
type Which = u32;
const ALL: Which = 0xffff;

fn within(block: u8x16, first: u8, last: u8) -> u8x16 {
    (block - first).simd_le(last - first)
}

/// Whether the block is ASCII, and then it is taken.
fn take_block(octets: &[u8; BLOCK], out: &mut Vec<u8>) -> bool {
    let block = u8x16::new(*octets);
    let space = block.simd_eq(GAP) | within(block, b'\t', b'\r');
    if (space | within(block, b'!', b'~')).to_bitmask() != ALL {
        let is_ascii = octets.is_ascii();
        if is_ascii {
            take(octets, out);
        }
        return is_ascii;
    }
    let lower = block + (within(block, b'A', b'Z') & u8x16::splat(b'a' - b'A'));
    let plain = space.bitselect(u8x16::splat(GAP), lower).to_array();
    let space = space.to_bitmask();
    let after_space = space << 1 | Which::from(out.last().is_none_or(|last| *last == GAP));
    let mut further = space & after_space;
    if further == 0 {
        out.extend_from_slice(&plain);
        return true;
    }
    // What stands between them.
    let mut rest = plain.as_slice();
    while !rest.is_empty() {
        let run = rest.len().min(further.trailing_zeros() as usize);
        let (kept, others) = rest.split_at(run);
        out.extend_from_slice(kept);
        further >>= run;
        let gone = further.trailing_ones();
        rest = others.get(gone as usize..).unwrap_or_default();
        further >>= gone;
    }
    true
}

/// Whether an octet of normalised text belongs to a word.
pub fn in_word(octet: u8) -> bool {
    octet.is_ascii_lowercase() || octet.is_ascii_digit() || !octet.is_ascii()
}

/// Calls for each place in normalised text where a word begins, or something that is neither word nor space stands.
pub fn at_words(text: &[u8], mut found: impl FnMut(usize)) {
    let mut before = 0;
    let (blocks, odd) = text.as_chunks();
    for (number, octets) in blocks.iter().enumerate() {
        let block = u8x16::new(*octets);
        let word =
            within(block, b'a', b'z') | within(block, b'0', b'9') | within(block, 0x80, 0xff);
        let word = word.to_bitmask();
        let space = block.simd_eq(GAP).to_bitmask();
        let mut starts = ALL & !space & !(word & (word << 1 | before));
        before = word >> (BLOCK - 1);
        while starts != 0 {
            found(number * BLOCK + starts.trailing_zeros() as usize);
            starts &= starts - 1;
        }
    }
    let mut before = before == 1;
    for (at, octet) in odd.iter().enumerate() {
        let is_word = in_word(*octet);
        if *octet != GAP && !(is_word && before) {
            found(blocks.len() * BLOCK + at);
        }
        before = is_word;
    }
}

/// One space for all white space.
fn gap(out: &mut Vec<u8>) {
    if out.last().is_some_and(|last| *last != GAP) {
        out.push(GAP);
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
    fn blocks_are_normalised_as_their_octets_are() {
        for shift in 0..9 {
            let text = "Z".repeat(shift)
                + " CLICK  Here\tNOW @[`{ and THEN,\r\n  some more  text  WITHOUT END ~ \r\n";
            let words: Vec<_> = text.split_ascii_whitespace().collect();
            let expected = words.join(" ").to_ascii_lowercase();
            let mut out = b"before".to_vec();
            normalise(&text, &mut out);
            assert_eq!(out, format!("before {expected}").as_bytes(), "{text:?}");
        }
    }

    #[test]
    fn words_begin_where_they_begin() {
        let text = "a bc, d-e \u{e9}f 100% (9) _x end";
        for shift in 0..9 {
            let text = "z".repeat(shift) + text;
            let mut found = Vec::new();
            at_words(text.as_bytes(), |at| found.push(at));
            let octets = text.as_bytes();
            let expected: Vec<_> = (0..octets.len())
                .filter(|at| {
                    let before = at.checked_sub(1).is_some_and(|at| in_word(octets[at]));
                    octets[*at] != b' ' && !(in_word(octets[*at]) && before)
                })
                .collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn words_are_undisguised() {
        assert_eq!(undisguise("V 1 @ G-R-A"), "viagra");
        assert!(contains("MultiPart/Report; x", "multipart/report"));
        assert!(!contains("short", "much longer than it"));
    }
}
