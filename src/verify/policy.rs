//! What a failed check leads to, as the administrator configured it. Checks nothing.

use crate::mail::{EnhancedCode, Reply, Symbol};

/// The name of this built-in filter in journals and symbols.
pub const FILTER: &str = "authentication";

/// What a failed check leads to; each does what the ones before it do.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Default,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Its result is there for filters and readers.
    #[default]
    None,
    /// A symbol, whose score counts with those of the filters.
    Tag,
    /// Filed into Junk, unless a filter files it.
    Junk,
    /// Refused; for the time being, if it could not be checked.
    Reject,
}

/// For each method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    pub spf: Action,
    pub dkim: Action,
    /// At most: no more is done than the domain of the author asks for.
    pub dmarc: Action,
}

/// What is to be done with a message for all the checks so far.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ruling {
    pub symbols: Vec<Symbol>,
    /// Why it belongs into Junk.
    pub junk: Option<String>,
    pub refusal: Option<Reply>,
}

impl Ruling {
    pub(super) fn and(mut self, other: Self) -> Self {
        self.symbols.extend(other.symbols);
        Self {
            symbols: self.symbols,
            junk: self.junk.or(other.junk),
            refusal: self.refusal.or(other.refusal),
        }
    }

    /// A symbol, and Junk if that is what the action says.
    fn tagged(action: Action, name: &str, score: f32, reason: String) -> Self {
        if action == Action::None {
            return Self::default();
        }
        Self {
            symbols: vec![Symbol {
                name: name.to_owned(),
                score,
                reason: reason.clone(),
                by: FILTER.to_owned(),
            }],
            junk: (action == Action::Junk).then_some(reason),
            refusal: None,
        }
    }

    fn or_refused(self, action: Action, reply: Reply) -> Self {
        Self {
            refusal: (action == Action::Reject).then_some(reply),
            ..self
        }
    }

    /// It could not be checked for the time being: who rejects what fails has to ask the client to come again.
    fn later(action: Action, reply: Reply) -> Self {
        Self::default().or_refused(action, reply)
    }
}

/// RFC 7208 §8.4, §8.6; codes of RFC 7372 §3.2.
pub fn spf(action: Action, outcome: &str, domain: &str) -> Ruling {
    match outcome {
        "fail" => Ruling::tagged(
            action,
            "SPF_FAIL",
            3.0,
            format!("{domain} does not let this client send for it"),
        )
        .or_refused(
            action,
            Reply::new(
                550,
                EnhancedCode(5, 7, 23),
                &format!("SPF: {domain} does not let this client send for it"),
            ),
        ),
        // A weak "probably not": never more than a tag (RFC 7208 §8.5).
        "softfail" => Ruling::tagged(
            action.min(Action::Tag),
            "SPF_SOFTFAIL",
            1.0,
            format!("{domain} probably does not let this client send for it"),
        ),
        "temperror" => Ruling::later(
            action,
            Reply::new(
                451,
                EnhancedCode(4, 7, 24),
                &format!("SPF: {domain} could not be checked; please try again later"),
            ),
        ),
        _ => Ruling::default(),
    }
}

/// Over the outcomes of all signatures: one that passes is enough, and no signature is no failure (RFC 6376 §6.1).
pub fn dkim(action: Action, outcomes: &[&str]) -> Ruling {
    let has = |outcome: &str| outcomes.contains(&outcome);
    if has("pass") || outcomes.iter().all(|outcome| *outcome == "none") {
        Ruling::default()
    } else if has("temperror") {
        Ruling::later(
            action,
            Reply::new(
                451,
                EnhancedCode(4, 7, 5),
                "DKIM: a key could not be fetched; please try again later",
            ),
        )
    } else {
        Ruling::tagged(
            action,
            "DKIM_FAIL",
            2.0,
            "no DKIM signature of the message is good".to_owned(),
        )
        .or_refused(
            action,
            Reply::new(
                550,
                EnhancedCode(5, 7, 20),
                "DKIM: no signature of the message is good",
            ),
        )
    }
}

fn failed(action: Action, reason: String, told: &str) -> Ruling {
    Ruling::tagged(action, "DMARC_FAIL", 4.0, reason)
        .or_refused(action, Reply::new(550, EnhancedCode(5, 7, 26), told))
}

/// `published` is what the domain of the author asks for.
pub fn dmarc(action: Action, outcome: &str, published: Action, domain: &str) -> Ruling {
    match outcome {
        "fail" => failed(
            action.min(published),
            format!("the message is not from {domain}, going by DMARC"),
            &format!("DMARC: not authenticated as from {domain}, which asks to refuse such mail"),
        ),
        "permerror" => failed(
            action.min(published),
            "the author's domain is not clear, going by DMARC".to_owned(),
            "DMARC: the author's domain is not clear",
        ),
        "temperror" => Ruling::later(
            action,
            Reply::new(
                451,
                EnhancedCode(4, 7, 26),
                "DMARC: the author's domain could not be checked; please try again later",
            ),
        ),
        _ => Ruling::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(ruling: &Ruling) -> Option<String> {
        let reply = ruling.refusal.as_ref()?;
        Some(format!("{} {}", reply.code, reply.enhanced?))
    }

    #[test]
    fn only_reject_refuses_and_only_what_failed_or_could_not_be_checked() {
        for (outcome, refusal) in [
            ("pass", None),
            ("none", None),
            ("neutral", None),
            ("softfail", None),
            ("permerror", None),
            ("fail", Some("550 5.7.23")),
            ("temperror", Some("451 4.7.24")),
        ] {
            for action in [Action::None, Action::Tag, Action::Junk] {
                assert_eq!(code(&spf(action, outcome, "a.test")), None, "{outcome}");
            }
            let ruling = spf(Action::Reject, outcome, "a.test");
            assert_eq!(code(&ruling).as_deref(), refusal, "{outcome}");
        }
    }

    #[test]
    fn one_good_signature_is_enough() {
        let of = |outcomes: &[&str]| code(&dkim(Action::Reject, outcomes));
        assert_eq!(of(&["none"]), None);
        assert_eq!(of(&["fail", "pass", "temperror"]), None);
        assert_eq!(of(&["fail", "temperror"]).as_deref(), Some("451 4.7.5"));
        assert_eq!(of(&["fail", "permerror"]).as_deref(), Some("550 5.7.20"));
    }

    #[test]
    fn dmarc_does_no_more_than_the_domain_asks_for() {
        let of = |action, published| dmarc(action, "fail", published, "a.test");
        assert_eq!(
            code(&of(Action::Reject, Action::Reject)).as_deref(),
            Some("550 5.7.26")
        );
        assert_eq!(code(&of(Action::Reject, Action::Junk)), None);
        assert!(of(Action::Reject, Action::Junk).junk.is_some());
        assert!(of(Action::Junk, Action::Reject).junk.is_some());
        assert_eq!(of(Action::Reject, Action::None), Ruling::default());
        assert_eq!(of(Action::None, Action::Reject), Ruling::default());
        assert_eq!(of(Action::Reject, Action::Tag).symbols.len(), 1);
    }
}
