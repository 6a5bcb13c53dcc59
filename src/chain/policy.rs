//! The policy: what the sum of the symbols' scores means. Says nothing of single symbols.

/// Thresholds; a message at or above one is treated so. None: never.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    pub junk: Option<f32>,
    pub reject: Option<f32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling {
    Deliver,
    Junk,
    Reject,
}

impl Policy {
    pub fn rule(&self, score: f32) -> Ruling {
        let reached =
            |threshold: Option<f32>| threshold.is_some_and(|threshold| score >= threshold);
        if reached(self.reject) {
            Ruling::Reject
        } else if reached(self.junk) {
            Ruling::Junk
        } else {
            Ruling::Deliver
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_inclusive() {
        let policy = Policy {
            junk: Some(5.0),
            reject: Some(15.0),
        };
        for (score, ruling) in [
            (-3.0, Ruling::Deliver),
            (4.99, Ruling::Deliver),
            (5.0, Ruling::Junk),
            (15.0, Ruling::Reject),
        ] {
            assert_eq!(policy.rule(score), ruling, "{score}");
        }
        let never = Policy {
            junk: None,
            reject: None,
        };
        assert_eq!(never.rule(1000.0), Ruling::Deliver);
    }
}
