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
    gap(out);
    let mut rest = text;
    loop {
        rest = ascii_prefix(rest, out);
        let mut chars = rest.chars();
        let Some(c) = chars.next() else {
            break;
        };
        if c.is_whitespace() {
            gap(out);
        } else if !is_invisible(c) {
            plain(c, out);
        }
        rest = chars.as_str();
    }
    out.pop_if(|last| *last == GAP);
}

/// Nearly all text is ASCII, and an octet is cheaper to look at than a character. What comes after it.
fn ascii_prefix<'a>(text: &'a str, out: &mut Vec<u8>) -> &'a str {
    let length = text.bytes().position(|octet| !octet.is_ascii());
    let (ascii, rest) = text
        .split_at_checked(length.unwrap_or(text.len()))
        .unwrap_or((text, ""));
    let start = out.len();
    let mut last = out.last().copied().unwrap_or(GAP);
    out.resize(start + ascii.len(), GONE);
    let to = out.get_mut(start..).unwrap_or_default();
    let mut end = 0;
    let (blocks, odd) = ascii.as_bytes().as_chunks::<BLOCK>();
    for block in blocks {
        let plain = Classes::of(u64::from_le_bytes(*block)).lower_case(last);
        if let Some((plain, place)) = plain.zip(to.get_mut(end..end + BLOCK)) {
            place.copy_from_slice(&plain.to_le_bytes());
            end += BLOCK;
            last = (plain >> 56) as u8;
        } else {
            take(block, to, &mut end, &mut last);
        }
    }
    take(odd, to, &mut end, &mut last);
    out.truncate(start + end);
    rest
}

/// Octet by octet.
fn take(octets: &[u8], to: &mut [u8], end: &mut usize, last: &mut u8) {
    for octet in octets {
        let becomes = ASCII.get(usize::from(*octet)).copied().unwrap_or(GONE);
        if becomes != GONE
            && (becomes, *last) != (GAP, GAP)
            && let Some(place) = to.get_mut(*end)
        {
            *place = becomes;
            *end += 1;
            *last = becomes;
        }
    }
}

/// Each turn of a loop of a plugin asks whether its time is up. Octets are looked at by this many a turn.
const BLOCK: usize = 8;

/// Whether an octet of normalised text belongs to a word.
pub fn in_word(octet: u8) -> bool {
    octet.is_ascii_lowercase() || octet.is_ascii_digit() || !octet.is_ascii()
}

/// Calls for each place in normalised text where a word begins, or something that is neither word nor space stands.
pub fn at_words(text: &[u8], mut found: impl FnMut(usize)) {
    let mut before = false;
    let (blocks, odd) = text.as_chunks::<BLOCK>();
    for (number, block) in blocks.iter().enumerate() {
        let classes = Classes::of(u64::from_le_bytes(*block));
        let (word, space) = (classes.word(), classes.space());
        let after_word = word << 8 | if before { 0x80 } else { 0 };
        before = word >> 63 == 1;
        let mut starts = TOPS & !space & !(word & after_word);
        while starts != 0 {
            found(number * BLOCK + starts.trailing_zeros() as usize / 8);
            starts &= starts - 1;
        }
    }
    for (at, octet) in odd.iter().enumerate() {
        let is_word = in_word(*octet);
        if *octet != GAP && !(is_word && before) {
            found(blocks.len() * BLOCK + at);
        }
        before = is_word;
    }
}

/// The top bit of each octet.
const TOPS: u64 = u64::from_ne_bytes([0x80; BLOCK]);

/// The octets of a block, and what they are: the top bit of each where it is so.
#[derive(Clone, Copy)]
struct Classes {
    block: u64,
    foreign: u64,
}

impl Classes {
    fn of(block: u64) -> Self {
        Self {
            block,
            foreign: block & TOPS,
        }
    }

    fn between(self, first: u8, last: u8) -> u64 {
        // Of seven bits, so that no sum reaches the next octet.
        let low = self.block & !TOPS;
        let least = |octet: u8| low + u64::from_ne_bytes([0x80 - octet; BLOCK]);
        least(first) & !least(last + 1) & TOPS & !self.foreign
    }

    /// Of normalised text.
    fn word(self) -> u64 {
        self.between(b'0', b'9') | self.between(b'a', b'z') | self.foreign
    }

    fn space(self) -> u64 {
        self.between(GAP, GAP)
    }

    /// The block as it is searched, if nothing but the case of letters is to be changed in it. `last`: what stands before it.
    fn lower_case(self, last: u8) -> Option<u64> {
        let space = self.space();
        let after_space = space << 8 | if last == GAP { 0x80 } else { 0 };
        let is_plain = self.between(GAP, b'~') == TOPS && space & after_space == 0;
        // From the top bit to that by which upper and lower case differ.
        is_plain.then_some(self.block + (self.between(b'A', b'Z') >> 2))
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
