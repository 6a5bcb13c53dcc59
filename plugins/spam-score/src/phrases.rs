//! Finds phrases of many groups in one pass over the text: at each word it looks up whether a phrase can begin there.
//! Works on normalised text (`normal`) and wants whole words: "loan" is not found in "loans".

use crate::config::{Group, Place};
use crate::normal::{Normal, at_words, each_bit, in_word};
use crate::rules::Symbol;
use std::collections::BTreeMap;
use std::num::TryFromIntError;

/// Octets of the shortest phrase that is looked for.
const SHORTEST: usize = 3;

#[derive(Debug)]
pub struct Phrases {
    patterns: Vec<Pattern>,
    /// Those that are shorter than a head.
    short: Starts,
    long: Starts,
    groups: Vec<(String, Group)>,
}

#[derive(Debug)]
struct Pattern {
    /// None for the phrases that give an archive's password.
    group: Option<usize>,
    /// Normalised.
    text: Vec<u8>,
}

/// The first octets of a text, as many as a number holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head(u64);

impl Head {
    const OCTETS: usize = 8;

    fn of(text: &[u8]) -> Self {
        if let Some(octets) = text.first_chunk() {
            return Self(u64::from_le_bytes(*octets));
        }
        let shifts = (0..).step_by(8);
        let octets = text.iter().zip(shifts);
        Self(octets.fold(0, |head, (octet, shift)| head | u64::from(*octet) << shift))
    }

    /// The bits that a text of so many octets has.
    fn mask(octets: usize) -> u64 {
        (0..octets.min(Self::OCTETS)).fold(0, |mask, _| mask << 8 | 0xff)
    }
}

/// Patterns by their first octets, in slots of a table.
#[derive(Debug)]
struct Starts {
    /// The octets by which the slot is chosen: no pattern has fewer.
    mask: u64,
    /// A bit for each place that a pattern has among many: at nearly all words it is 0.
    marks: Box<[u64; Self::MARKS]>,
    slots: Vec<Slot>,
    starts: Vec<Start>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    /// Where its patterns begin; they end where those of the next one do.
    from: u16,
    /// A bit for each octet that follows the head of one of them.
    next: u32,
}

/// How a pattern begins: enough to tell nearly all texts that it is not in.
#[derive(Debug, Clone, Copy)]
struct Start {
    head: u64,
    mask: u64,
    /// What follows the head.
    next: u64,
    next_mask: u64,
    pattern: usize,
}

impl Starts {
    /// Bits of the hash that choose one.
    const SLOTS: u32 = 11;
    /// Numbers of 64 bits.
    const MARKS: usize = 1024;

    fn new<'a>(
        octets: usize,
        patterns: impl Iterator<Item = (usize, &'a [u8])>,
    ) -> Result<Self, TryFromIntError> {
        let mask = Head::mask(octets);
        let mut starts: Vec<Start> = patterns
            .map(|(pattern, text)| {
                let rest = text.get(Head::OCTETS..).unwrap_or_default();
                Start {
                    head: Head::of(text).0,
                    mask: Head::mask(text.len()),
                    next: Head::of(rest).0,
                    next_mask: Head::mask(rest.len()),
                    pattern,
                }
            })
            .collect();
        let hash = |start: &Start| Self::hash(start.head & mask);
        starts.sort_by_key(hash);
        let begins = |slot| starts.partition_point(|start| slot_of(hash(start)) < slot);
        let mut slots = (0..=1 << Self::SLOTS)
            .map(|slot| u16::try_from(begins(slot)).map(|from| Slot { from, next: 0 }))
            .collect::<Result<Vec<_>, _>>()?;
        let mut marks = Box::new([0; Self::MARKS]);
        for start in &starts {
            let (word, mark) = mark_of(hash(start));
            if let Some(marks) = marks.get_mut(word) {
                *marks |= mark;
            }
            if let Some(slot) = slots.get_mut(slot_of(hash(start))) {
                slot.next |= match start.next_mask {
                    0 => u32::MAX,
                    _ => bit_of(Head(start.next)),
                };
            }
        }
        Ok(Self {
            slots,
            mask,
            marks,
            starts,
        })
    }

    /// The upper bits depend on all octets.
    fn hash(octets: u64) -> u64 {
        octets.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    /// Whether a pattern may begin so: nearly always not.
    fn have(&self, head: Head) -> bool {
        let (word, mark) = mark_of(Self::hash(head.0 & self.mask));
        self.marks.get(word).is_some_and(|marks| marks & mark != 0)
    }

    /// Calls for each pattern that the text can begin with, as far as its first octets tell.
    fn each(&self, text: &[u8], mut found: impl FnMut(usize)) {
        let head = Head::of(text);
        let hash = Self::hash(head.0 & self.mask);
        let Some([slot, after, ..]) = self.slots.get(slot_of(hash)..) else {
            return;
        };
        let next = Head::of(text.get(Head::OCTETS..).unwrap_or_default());
        if slot.next & bit_of(next) == 0 {
            return;
        }
        let starts = self
            .starts
            .get(usize::from(slot.from)..usize::from(after.from));
        for start in starts.unwrap_or_default() {
            if head.0 & start.mask == start.head && next.0 & start.next_mask == start.next {
                found(start.pattern);
            }
        }
    }
}

/// By the upper bits of a hash.
fn slot_of(hash: u64) -> usize {
    usize::try_from(hash >> (u64::BITS - Starts::SLOTS)).unwrap_or_default()
}

/// By the upper bits of a hash: which number, and the bit of it.
fn mark_of(hash: u64) -> (usize, u64) {
    let word = (hash >> (u64::BITS - Starts::MARKS.ilog2())) as usize;
    (word, 1 << (hash >> 48 & 63))
}

/// For the first octet.
fn bit_of(next: Head) -> u32 {
    1 << (next.0 & 31)
}

/// What was found in a message.
#[derive(Debug)]
pub struct Found {
    groups: Vec<InGroup>,
    seen: Vec<bool>,
    pub archive_password: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct InGroup {
    first: Option<usize>,
    /// Different phrases.
    count: u32,
    in_subject: bool,
}

impl Phrases {
    pub fn new(
        groups: BTreeMap<String, Group>,
        archive_password: &[String],
    ) -> Result<Self, String> {
        let mut patterns = Vec::new();
        let mut add = |symbol: &str, group, phrases: &[String]| {
            for phrase in phrases {
                let mut text = Normal::default();
                text.append(phrase);
                let text = text.octets().to_vec();
                if text.len() < SHORTEST {
                    return Err(format!(
                        "[config.phrases.{symbol}]: the phrase {phrase:?} is too short: it must have {SHORTEST} octets"
                    ));
                }
                patterns.push(Pattern { group, text });
            }
            Ok(())
        };
        let groups: Vec<(String, Group)> = groups.into_iter().collect();
        for (index, (symbol, group)) in groups.iter().enumerate() {
            add(symbol, Some(index), &group.any)?;
        }
        add("archive-password", None, archive_password)?;
        let (short, long): (Vec<_>, Vec<_>) = patterns
            .iter()
            .map(|pattern| pattern.text.as_slice())
            .enumerate()
            .partition(|(_, text)| text.len() < Head::OCTETS);
        let too_many = |_| format!("[config.phrases]: there are more than {} phrases", u16::MAX);
        Ok(Self {
            short: Starts::new(SHORTEST, short.into_iter()).map_err(too_many)?,
            long: Starts::new(Head::OCTETS, long.into_iter()).map_err(too_many)?,
            patterns,
            groups,
        })
    }

    pub fn nothing(&self) -> Found {
        Found {
            groups: vec![InGroup::default(); self.groups.len()],
            seen: vec![false; self.patterns.len()],
            archive_password: false,
        }
    }

    /// Looks through a text of the message.
    pub fn find(&self, text: &Normal, place: Place, found: &mut Found) {
        at_words(text.octets(), |words| {
            // Nearly no word begins a phrase: those that may do are picked out first, in a loop without calls.
            let (mut short, mut long) = (0, 0);
            each_bit(words.starts, |start| {
                let head = Head(u64::from_le_bytes(text.eight(words.at + start)));
                short |= u64::from(self.short.have(head)) << start;
                long |= u64::from(self.long.have(head)) << start;
            });
            // A short one ends, or has something between its words, within eight octets.
            for (starts, maybe) in [(&self.short, short & !words.long), (&self.long, long)] {
                each_bit(maybe, |start| {
                    let rest = text.octets().get(words.at + start..).unwrap_or_default();
                    starts.each(rest, |number| self.look(number, rest, place, found));
                });
            }
        });
    }

    /// Notes a pattern if the text begins with it.
    fn look(&self, number: usize, text: &[u8], place: Place, found: &mut Found) {
        let pattern = self.patterns.get(number);
        let pattern = pattern.filter(|pattern| begins(text, &pattern.text));
        match pattern.map(|pattern| pattern.group) {
            Some(Some(group)) => self.note(group, number, place, found),
            Some(None) => found.archive_password = true,
            None => {}
        }
    }

    fn note(&self, group: usize, pattern: usize, place: Place, found: &mut Found) {
        let (Some((_, rule)), Some(count), Some(seen)) = (
            self.groups.get(group),
            found.groups.get_mut(group),
            found.seen.get_mut(pattern),
        ) else {
            return;
        };
        if *seen || rule.only.is_some_and(|only| only != place) {
            return;
        }
        *seen = true;
        count.first.get_or_insert(pattern);
        count.count += 1;
        count.in_subject |= place == Place::Subject;
    }

    /// `weight` is for what was found in the body alone: of a long text a part of the points.
    pub fn symbols<'a>(
        &'a self,
        found: &'a Found,
        weight: f32,
    ) -> impl Iterator<Item = Symbol> + 'a {
        self.groups
            .iter()
            .zip(&found.groups)
            .filter_map(move |((name, group), found)| {
                let first = String::from_utf8_lossy(&self.patterns.get(found.first?)?.text);
                let further = found.count.saturating_sub(1);
                // Counts of phrases are small: exact as f32.
                #[allow(clippy::cast_precision_loss)]
                let points = group.score + group.further * further as f32;
                let points = group.most.map_or(points, |most| points.min(most));
                let points = if found.in_subject {
                    points
                } else {
                    points * weight
                };
                let more = if further > 0 {
                    format!(" and {further} more")
                } else {
                    String::new()
                };
                Some(Symbol {
                    name: name.clone(),
                    points: (points * 10.0).round() / 10.0,
                    reason: format!("{}: \"{first}\"{more}", group.reason),
                })
            })
    }
}

/// Whether the text begins with the pattern, and the pattern's last word ends where the text's does.
fn begins(text: &[u8], pattern: &[u8]) -> bool {
    let is_word = |octet: Option<&u8>| octet.is_some_and(|octet| in_word(*octet));
    let goes_on = is_word(pattern.last()) && is_word(text.get(pattern.len()));
    !goes_on && text.starts_with(pattern)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phrases(any: &[&str], only: Option<Place>) -> Phrases {
        let group = Group {
            reason: "test".into(),
            score: 1.0,
            further: 0.5,
            most: Some(1.8),
            only,
            any: any.iter().map(|&s| s.into()).collect(),
        };
        Phrases::new(
            [("X".to_owned(), group)].into(),
            &["archive password".into()],
        )
        .unwrap()
    }

    fn points(phrases: &Phrases, subject: &str, body: &str) -> f32 {
        let mut found = phrases.nothing();
        for (text, place) in [(subject, Place::Subject), (body, Place::Body)] {
            let mut normal = Normal::default();
            normal.append(text);
            phrases.find(&normal, place, &mut found);
        }
        phrases
            .symbols(&found, 1.0)
            .map(|symbol| symbol.points)
            .sum()
    }

    #[test]
    fn whole_words_in_any_case_and_spacing() {
        let phrases = phrases(&["click here", "loan", "100%", "act now", "now"], None);
        for (body, expected) in [
            ("CLICK\r\n   Here!", 1.0),
            ("loans and aloan", 0.0),
            ("loan", 1.0),
            ("it is a long way to a loan", 1.0),
            ("e-loan.", 1.0),
            ("\u{e9}loan", 0.0),
            ("now", 1.0),
            ("a loan, a loan", 1.0),
            ("a 100% loan", 1.5),
            ("2100%", 0.0),
            // One within the other, and the cap.
            ("act now", 1.5),
            ("act now: click here, loan", 1.8),
            ("", 0.0),
        ] {
            assert_eq!(points(&phrases, "", body), expected, "{body:?}");
        }
    }

    #[test]
    fn a_group_can_be_for_one_place() {
        let phrases = phrases(&["loan"], Some(Place::Subject));
        assert_eq!(points(&phrases, "a loan", ""), 1.0);
        assert_eq!(points(&phrases, "", "a loan"), 0.0);
    }

    #[test]
    fn passwords_of_archives_are_found() {
        let phrases = phrases(&["loan"], None);
        let mut found = phrases.nothing();
        let mut text = Normal::default();
        text.append("the archive password: 12");
        phrases.find(&text, Place::Body, &mut found);
        assert!(found.archive_password);
        assert_eq!(phrases.symbols(&found, 1.0).count(), 0);
    }
}
