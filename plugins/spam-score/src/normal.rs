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

/// Octets that are looked at together.
const BLOCK: usize = 16;

/// Which octets of some blocks: the lowest bit is the first.
type Which = u64;

/// Blocks that are made ready together, a bit of `Which` for each octet.
const TOGETHER: usize = 4;
const STRIDE: usize = TOGETHER * BLOCK;

impl Normal {
    pub fn octets(&self) -> &[u8] {
        self.octets.get(..self.length).unwrap_or_default()
    }

    /// Eight from there on; spaces after the end.
    pub fn eight(&self, at: usize) -> [u8; 8] {
        let octets = self.octets.get(at..).and_then(<[u8]>::first_chunk);
        octets.copied().unwrap_or([GAP; 8])
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
        self.put(&[GAP; BLOCK], 0);
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
        self.put(&[octet; BLOCK], 1);
    }

    /// For so many octets, and what is written past them.
    fn room(&mut self, octets: usize) {
        let end = self.length + octets + STRIDE;
        if self.octets.len() < end {
            self.octets.resize(end, 0);
        }
    }

    /// So many of the octets; the others are written too, and mean nothing. A constant number of them needs no call.
    fn put<const COUNT: usize>(&mut self, octets: &[u8; COUNT], count: usize) {
        if self.octets.len() < self.length + COUNT {
            self.room(16 * STRIDE);
        }
        let room = self.octets.get_mut(self.length..);
        if let Some(room) = room.and_then(|room| room.first_chunk_mut()) {
            *room = *octets;
        }
        self.length += count;
    }

    /// Nearly all text is ASCII, and a block is cheaper to look at than its characters. What comes after it.
    fn ascii_prefix<'a>(&mut self, text: &'a str) -> &'a str {
        let octets = text.as_bytes();
        let (blocks, _) = octets.as_chunks();
        let (strides, _) = blocks.as_chunks::<TOGETHER>();
        let strides = strides.iter().take_while(|stride| self.take_blocks(stride));
        let mut read = strides.count() * TOGETHER;
        let blocks = blocks.get(read..).unwrap_or_default();
        let blocks = blocks
            .iter()
            .take_while(|block| self.take_blocks(&[**block]));
        read = (read + blocks.count()) * BLOCK;
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

    /// Whether the blocks are ASCII, and then they are taken.
    fn take_blocks<const COUNT: usize>(&mut self, blocks: &[[u8; BLOCK]; COUNT]) -> bool {
        // With room to take a stride from any of its octets on.
        let mut plain = [GAP; 2 * STRIDE];
        let (mut spaces, mut known) = (0, u8x16::splat(u8::MAX));
        let ready = plain.as_chunks_mut().0.iter_mut();
        for (nth, (octets, ready)) in blocks.iter().zip(ready).enumerate() {
            let block = u8x16::new(*octets);
            let space = block.simd_eq(GAP) | within(block, b'\t', b'\r');
            known &= space | within(block, b'!', b'~');
            let lower = block + (within(block, b'A', b'Z') & u8x16::splat(b'a' - b'A'));
            *ready = space.bitselect(u8x16::splat(GAP), lower).to_array();
            spaces |= Which::from(space.to_bitmask()) << (nth * BLOCK);
        }
        if !known.all() {
            let octets = blocks.as_flattened();
            let is_ascii = octets.is_ascii();
            if is_ascii {
                self.take(octets);
            }
            return is_ascii;
        }
        let after_space = spaces << 1 | Which::from(self.last().is_none_or(|last| last == GAP));
        let further = spaces & after_space;
        self.put_without(&plain, COUNT * BLOCK, further);
        true
    }

    /// So many octets, a stride at the most, but for these.
    fn put_without(&mut self, octets: &[u8; 2 * STRIDE], count: usize, mut gone: Which) {
        let mut at = 0;
        while at < count {
            let kept = (gone.trailing_zeros() as usize).min(count - at);
            let rest = octets.get(at..).and_then(<[u8]>::first_chunk);
            self.put::<STRIDE>(rest.unwrap_or(&[GAP; STRIDE]), kept);
            gone = after(gone, kept);
            let skipped = gone.trailing_ones() as usize;
            gone = after(gone, skipped);
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

/// Without the first so many.
fn after(which: Which, octets: usize) -> Which {
    u32::try_from(octets)
        .ok()
        .and_then(|octets| which.checked_shr(octets))
        .unwrap_or(0)
}

fn within(block: u8x16, first: u8, last: u8) -> u8x16 {
    (block - first).simd_le(last - first)
}

/// Whether an octet of normalised text belongs to a word.
pub fn in_word(octet: u8) -> bool {
    octet.is_ascii_lowercase() || octet.is_ascii_digit() || !octet.is_ascii()
}

/// Words in a stretch of normalised text, a bit for each of its octets.
#[derive(Debug, Clone, Copy)]
pub struct Words {
    /// Where the stretch begins.
    pub at: usize,
    /// Here a word begins, or something stands that is neither word nor space.
    pub starts: Which,
    /// This and the next seven octets, all in the stretch, belong to one word.
    pub long: Which,
}

/// Calls for each stretch of normalised text.
pub fn at_words(text: &[u8], mut found: impl FnMut(Words)) {
    let mut before = 0;
    let mut look = |at: usize, octets: &[u8; STRIDE]| {
        let (mut word, mut space) = (0, 0);
        for (nth, octets) in octets.as_chunks().0.iter().enumerate() {
            let block = u8x16::new(*octets);
            let in_word =
                within(block, b'a', b'z') | within(block, b'0', b'9') | within(block, 0x80, 0xff);
            word |= Which::from(in_word.to_bitmask()) << (nth * BLOCK);
            space |= Which::from(block.simd_eq(GAP).to_bitmask()) << (nth * BLOCK);
        }
        let starts = !space & !(word & (word << 1 | before));
        before = word >> (STRIDE - 1);
        let two = word & word >> 1;
        let four = two & two >> 2;
        let long = four & four >> 4;
        found(Words { at, starts, long });
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

/// Calls for each bit that is set, with its place.
pub fn each_bit(mut bits: Which, mut found: impl FnMut(usize)) {
    while bits != 0 {
        found(bits.trailing_zeros() as usize);
        bits &= bits - 1;
    }
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
            at_words(text.as_bytes(), |words| {
                each_bit(words.starts, |start| found.push(words.at + start));
            });
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
