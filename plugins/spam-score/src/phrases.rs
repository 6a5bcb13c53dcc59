//! Finds phrases of many groups in one pass over the text.
//! Works on normalised text (`text::normalise`) and wants whole words: "loan" is not found in "loans".

use crate::config::{Group, Place};
use crate::rules::Symbol;
use crate::text;
use aho_corasick::MatchKind;
use aho_corasick::automaton::{Automaton, OverlappingState};
use aho_corasick::dfa::DFA;
use aho_corasick::{Anchored, Input};
use std::collections::BTreeMap;

#[derive(Debug)]
pub struct Phrases {
    /// Looked at once an octet, so in the form that is fastest and not smallest; filters start from its image.
    automaton: DFA,
    /// Group of each pattern; none for the phrases that give an archive's password.
    owners: Vec<Option<usize>>,
    /// Normalised.
    patterns: Vec<Vec<u8>>,
    groups: Vec<(String, Group)>,
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
        let mut owners = Vec::new();
        let mut add = |symbol: &str, owner, phrases: &[String]| {
            for phrase in phrases {
                let mut pattern = Vec::new();
                text::normalise(phrase, &mut pattern);
                if pattern.is_empty() {
                    return Err(format!("[config.phrases.{symbol}]: a phrase is empty"));
                }
                patterns.push(pattern);
                owners.push(owner);
            }
            Ok(())
        };
        let groups: Vec<(String, Group)> = groups.into_iter().collect();
        for (index, (symbol, group)) in groups.iter().enumerate() {
            add(symbol, Some(index), &group.any)?;
        }
        add("archive-password", None, archive_password)?;
        let automaton = DFA::builder()
            .match_kind(MatchKind::Standard)
            .build(&patterns)
            .map_err(|error| format!("[config.phrases]: {error}"))?;
        Ok(Self {
            automaton,
            owners,
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

    /// Looks through a text of the message, which must be normalised.
    pub fn find(&self, bytes: &[u8], place: Place, found: &mut Found) {
        let word =
            |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b >= 0x80);
        let edge = |a: Option<&u8>, b: Option<&u8>| !(word(a) && word(b));
        let input = Input::new(bytes).anchored(Anchored::No);
        let mut state = OverlappingState::start();
        // The only error is an anchored search, which this is not.
        while self
            .automaton
            .try_find_overlapping(&input, &mut state)
            .is_ok()
        {
            let Some(hit) = state.get_match() else {
                break;
            };
            let pattern = hit.pattern().as_usize();
            let before = hit.start().checked_sub(1).and_then(|at| bytes.get(at));
            if !edge(before, bytes.get(hit.start()))
                || !edge(bytes.get(hit.end() - 1), bytes.get(hit.end()))
            {
                continue;
            }
            match self.owners.get(pattern) {
                Some(Some(group)) => self.note(*group, pattern, place, found),
                Some(None) => found.archive_password = true,
                None => {}
            }
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
                let first = String::from_utf8_lossy(self.patterns.get(found.first?)?);
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
            let mut normal = Vec::new();
            text::normalise(text, &mut normal);
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
        phrases.find(b"the archive password: 12", Place::Body, &mut found);
        assert!(found.archive_password);
        assert_eq!(phrases.symbols(&found, 1.0).count(), 0);
    }
}
