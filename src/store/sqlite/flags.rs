//! Flags as the index holds them: those of RFC 3501 as bits, keywords as text.
//! \Recent is of a session, not of a message, and is not kept.

use crate::store::{FlagOp, Flags, StoreError};

const SYSTEM: [(&str, i64); 5] = [
    ("\\Answered", 1),
    ("\\Flagged", 2),
    ("\\Deleted", DELETED),
    ("\\Seen", SEEN),
    ("\\Draft", 16),
];
/// The index of deleted messages in the schema has this number in it.
pub const DELETED: i64 = 4;
pub const SEEN: i64 = 8;

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Marks {
    pub system: i64,
    /// Each with a space after it. Compared without case (RFC 3501 §2.3.2).
    pub keywords: String,
}

impl Marks {
    pub fn new(flags: &Flags) -> Result<Self, StoreError> {
        let mut marks = Self::default();
        for flag in flags {
            if let Some((_, bit)) = SYSTEM
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(flag))
            {
                marks.system |= bit;
            } else if flag.is_empty()
                || flag.contains(|c: char| c.is_whitespace() || c.is_control())
            {
                return Err(StoreError::Refused(format!(
                    "{flag:?} cannot be a flag: it is empty, or has a space or control character in it"
                )));
            } else if !flag.eq_ignore_ascii_case("\\Recent") {
                marks.add_keyword(flag);
            }
        }
        Ok(marks)
    }

    pub fn flags(&self) -> Flags {
        let system = SYSTEM.iter().filter(|(_, bit)| self.system & bit != 0);
        system
            .map(|(name, _)| *name)
            .chain(self.keywords())
            .map(str::to_owned)
            .collect()
    }

    pub fn is_seen(&self) -> bool {
        self.system & SEEN != 0
    }

    pub fn apply(&self, op: FlagOp, other: &Self) -> Self {
        let mut result = self.clone();
        match op {
            FlagOp::Add => {
                result.system |= other.system;
                other
                    .keywords()
                    .for_each(|keyword| result.add_keyword(keyword));
            }
            FlagOp::Remove => {
                result.system &= !other.system;
                result.keywords.clear();
                self.keywords()
                    .filter(|keyword| !other.has(keyword))
                    .for_each(|keyword| result.add_keyword(keyword));
            }
            FlagOp::Replace => {
                result.system = other.system;
                result.keywords.clear();
                // First those that stay, as they were first given.
                self.keywords()
                    .filter(|keyword| other.has(keyword))
                    .chain(other.keywords())
                    .for_each(|keyword| result.add_keyword(keyword));
            }
        }
        result
    }

    fn keywords(&self) -> impl Iterator<Item = &str> {
        self.keywords.split_terminator(' ')
    }

    fn has(&self, keyword: &str) -> bool {
        self.keywords().any(|one| one.eq_ignore_ascii_case(keyword))
    }

    fn add_keyword(&mut self, keyword: &str) {
        if !self.has(keyword) {
            self.keywords.push_str(keyword);
            self.keywords.push(' ');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks(flags: &str) -> Marks {
        Marks::new(&flags.split_whitespace().map(str::to_owned).collect()).unwrap()
    }

    #[test]
    fn keywords_are_the_same_in_any_case_and_keep_the_first() {
        let now = marks("\\SEEN $Forwarded");
        for (op, flags, then) in [
            (
                FlagOp::Add,
                "$forwarded \\flagged",
                "$Forwarded \\Flagged \\Seen",
            ),
            (FlagOp::Remove, "$FORWARDED", "\\Seen"),
            (FlagOp::Replace, "$forwarded new", "$Forwarded new"),
            (FlagOp::Replace, "", ""),
        ] {
            let result = now.apply(op, &marks(flags)).flags();
            let expected: Flags = then.split_whitespace().map(str::to_owned).collect();
            assert_eq!(result, expected, "{op:?} {flags}");
        }
    }

    #[test]
    fn recent_is_not_kept() {
        assert_eq!(marks("\\Recent"), Marks::default());
    }
}
