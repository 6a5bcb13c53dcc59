//! The form in which text is searched, in UTF-8: lower case, runs of white space one space, typographic quotes and hyphens plain, invisible
//! characters gone. Knows nothing of what is looked for.

use crate::text::is_invisible;
use wide::u8x16;

/// Text to be searched.
#[derive(Debug, Default)]
pub struct Normal {
    /// What comes after `length` means nothing: room to write a block to.
    octets: Vec<u8>,
    length: usize,
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

/// Octets that are made ready together.
const BLOCK: usize = 16;

/// Which octets of a block: the lowest bit is the first.
type Which = u32;
const ALL: Which = 0xffff;

impl Normal {
    pub fn octets(&self) -> &[u8] {
        self.octets.get(..self.length).unwrap_or_default()
    }

    pub fn clear(&mut self) {
        self.length = 0;
    }

    /// A space stands between what was there and `text`.
    pub fn append(&mut self, text: &str) {
        self.gap();
        self.room(text.len());
        let mut rest = text;
        while !rest.is_empty() {
            let foreign = self.ascii_prefix(rest);
            rest = foreign.trim_start_matches(|c: char| !c.is_ascii());
            let length = foreign.len() - rest.len();
            for c in foreign.get(..length).unwrap_or_default().chars() {
                if c.is_whitespace() {
                    self.gap();
                } else if !is_invisible(c) {
                    self.plain(c);
                }
            }
        }
        if self.last() == Some(GAP) {
            self.length -= 1;
        }
    }

    fn last(&self) -> Option<u8> {
        self.octets().last().copied()
    }

    /// One space for all white space.
    fn gap(&mut self) {
        if self.last().is_some_and(|last| last != GAP) {
            self.push(GAP);
        }
    }

    fn push(&mut self, octet: u8) {
        self.block([octet; BLOCK], 1);
    }

    /// For so many octets, and a block.
    fn room(&mut self, octets: usize) {
        let end = self.length + octets + BLOCK;
        if self.octets.len() < end {
            self.octets.resize(end, 0);
        }
    }

    /// So many octets of the block.
    fn block(&mut self, octets: [u8; BLOCK], count: usize) {
        let end = self.length + BLOCK;
        if self.octets.len() < end {
            self.room(64 * BLOCK);
        }
        if let Some(room) = self.octets.get_mut(self.length..end) {
            room.copy_from_slice(&octets);
        }
        self.length += count;
    }

    /// Nearly all text is ASCII, and a block is cheaper to look at than its characters. What comes after it.
    fn ascii_prefix<'a>(&mut self, text: &'a str) -> &'a str {
        let octets = text.as_bytes();
        let (blocks, _) = octets.as_chunks();
        let read = BLOCK
            * blocks
                .iter()
                .take_while(|block| self.take_block(block))
                .count();
        let rest = octets.get(read..).unwrap_or_default();
        let length = rest.iter().position(|octet| !octet.is_ascii());
        let length = length.unwrap_or(rest.len());
        self.take(rest.get(..length).unwrap_or_default());
        text.get(read + length..).unwrap_or_default()
    }

    /// Octet by octet.
    fn take(&mut self, octets: &[u8]) {
        for octet in octets {
            match ASCII.get(usize::from(*octet)) {
                Some(&GAP) => self.gap(),
                Some(&becomes) if becomes != GONE => self.push(becomes),
                _ => {}
            }
        }
    }

    /// Whether the block is ASCII, and then it is taken.
    fn take_block(&mut self, octets: &[u8; BLOCK]) -> bool {
        let block = u8x16::new(*octets);
        let space = block.simd_eq(GAP) | within(block, b'\t', b'\r');
        if (space | within(block, b'!', b'~')).to_bitmask() != ALL {
            let is_ascii = octets.is_ascii();
            if is_ascii {
                self.take(octets);
            }
            return is_ascii;
        }
        let lower = block + (within(block, b'A', b'Z') & u8x16::splat(b'a' - b'A'));
        let plain = space.bitselect(u8x16::splat(GAP), lower).to_array();
        let space = space.to_bitmask();
        let after_space = space << 1 | Which::from(self.last().is_none_or(|last| last == GAP));
        let further = space & after_space;
        if further == 0 {
            self.block(plain, BLOCK);
        } else {
            self.without(&plain, further);
        }
        true
    }

    /// A block but for these of its octets.
    fn without(&mut self, octets: &[u8; BLOCK], mut gone: Which) {
        let mut shifted = [GAP; 2 * BLOCK];
        if let Some(start) = shifted.first_chunk_mut() {
            *start = *octets;
        }
        let mut at = 0;
        while at < BLOCK {
            let kept = (gone.trailing_zeros() as usize).min(BLOCK - at);
            let rest = shifted.get(at..).and_then(|rest| rest.first_chunk());
            self.block(*rest.unwrap_or(octets), kept);
            gone >>= kept;
            let skipped = gone.trailing_ones() as usize;
            gone >>= skipped;
            at += kept + skipped;
        }
    }

    fn plain(&mut self, c: char) {
        match c {
            '\u{2018}' | '\u{2019}' | '\u{201b}' | '\u{2032}' | '\u{b4}' => self.push(b'\''),
            '\u{201c}'..='\u{201f}' | '\u{2033}' => self.push(b'"'),
            '\u{2010}'..='\u{2015}' | '\u{2212}' => self.push(b'-'),
            // Full-width forms of ASCII.
            '\u{ff01}'..='\u{ff5e}' => {
                let ascii = u32::from(c) - 0xff01 + 0x21;
                if let Ok(octet) = u8::try_from(ascii) {
                    self.push(octet.to_ascii_lowercase());
                }
            }
            _ => {
                let mut octets = [0; 4];
                for c in c.to_lowercase() {
                    for octet in c.encode_utf8(&mut octets).bytes() {
                        self.push(octet);
                    }
                }
            }
        }
    }
}

fn within(block: u8x16, first: u8, last: u8) -> u8x16 {
    (block - first).simd_le(last - first)
}

/// Whether an octet of normalised text belongs to a word.
pub fn in_word(octet: u8) -> bool {
    octet.is_ascii_lowercase() || octet.is_ascii_digit() || !octet.is_ascii()
}

/// Octets that are looked through together, a bit for each.
const STRIDE: usize = 64;

/// Calls for each place in normalised text where a word begins, or something that is neither word nor space stands.
pub fn at_words(text: &[u8], mut found: impl FnMut(usize)) {
    let mut before = 0;
    let mut look = |at: usize, octets: &[u8; STRIDE]| {
        let (mut word, mut space) = (0, 0);
        for (nth, octets) in octets.as_chunks().0.iter().enumerate() {
            let block = u8x16::new(*octets);
            let in_word =
                within(block, b'a', b'z') | within(block, b'0', b'9') | within(block, 0x80, 0xff);
            word |= u64::from(in_word.to_bitmask()) << (nth * BLOCK);
            space |= u64::from(block.simd_eq(GAP).to_bitmask()) << (nth * BLOCK);
        }
        let mut starts = !space & !(word & (word << 1 | before));
        before = word >> (STRIDE - 1);
        while starts != 0 {
            found(at + starts.trailing_zeros() as usize);
            starts &= starts - 1;
        }
    };
    let (strides, odd) = text.as_chunks();
    for (number, octets) in strides.iter().enumerate() {
        look(number * STRIDE, octets);
    }
    let mut last = [GAP; STRIDE];
    for (octet, odd) in last.iter_mut().zip(odd) {
        *octet = *odd;
    }
    look(strides.len() * STRIDE, &last);
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
            let mut out = Normal::default();
            out.append(text);
            assert_eq!(out.octets(), expected.as_bytes(), "{text:?}");
        }
    }

    #[test]
    fn blocks_are_normalised_as_their_octets_are() {
        for shift in 0..9 {
            let text = "Z".repeat(shift)
                + " CLICK  Here\tNOW @[`{ and THEN,\r\n  some more  text  WITHOUT END ~ \r\n";
            let words: Vec<_> = text.split_ascii_whitespace().collect();
            let expected = words.join(" ").to_ascii_lowercase();
            let mut out = Normal::default();
            out.append("before");
            out.append(&text);
            let expected = format!("before {expected}");
            assert_eq!(out.octets(), expected.as_bytes(), "{text:?}");
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
}
