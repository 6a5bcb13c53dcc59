//! `score`: symbols.

use crate::mail::Line;
use crate::plugin::abi::generated::score::Host;
use crate::plugin::abi::generated::types::Refusal;
use crate::plugin::state::{Refused, State};

const MAX_NAME: usize = 64;
const MAX_POINTS: f32 = 1000.0;
const MAX_REASON: usize = 1000;

fn check(name: &str, score: f32, reason: &str) -> Result<(), Refused> {
    let fine = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(fine) {
        return Err(Refused::BadValue(format!(
            "the symbol's name {name:?}: it must be 1 to {MAX_NAME} of A-Z, 0-9 and _"
        )));
    }
    if !score.is_finite() || score.abs() > MAX_POINTS {
        return Err(Refused::BadValue(format!(
            "{name}: {score} points: they must lie between -1000 and 1000"
        )));
    }
    if reason.len() > MAX_REASON {
        return Err(Refused::TooMuch(format!(
            "{name}: a reason of {} octets: the limit is {MAX_REASON}",
            reason.len()
        )));
    }
    Ok(())
}

impl Host for State {
    fn add(&mut self, name: String, score: f32, reason: String) -> Result<(), Refusal> {
        self.count();
        let result = check(&name, score, &reason)
            .and_then(|()| self.add_symbol(name, score, Line::lossy(&reason).into()));
        self.answer("score.add", result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_and_names_are_bounded() {
        let long = "X".repeat(65);
        for (name, score, fine) in [
            ("CASINO_2", 4.0, true),
            ("X", -1000.0, true),
            ("X", 1000.5, false),
            ("X", f32::NAN, false),
            ("X", f32::INFINITY, false),
            ("", 1.0, false),
            ("casino", 1.0, false),
            ("A B", 1.0, false),
            (&long, 1.0, false),
        ] {
            assert_eq!(check(name, score, "why").is_ok(), fine, "{name} {score}");
        }
        assert!(check("X", 1.0, &"x".repeat(1001)).is_err());
    }
}
