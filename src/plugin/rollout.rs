//! Which transactions a version of a plugin takes part in: all of them, none but as a shadow, or a share. From `plugin.toml`.

use crate::mail::{Address, Mode, TransactionId};
use sha2::{Digest as _, Sha256};

#[derive(Debug, Clone, PartialEq, Default)]
pub enum Rollout {
    #[default]
    Active,
    Shadow,
    Canary(Share),
}

/// The transactions of a canary.
#[derive(Debug, Clone, PartialEq)]
pub enum Share {
    /// So many of them, from 0 to 1.
    Part(f64),
    /// Those whose first recipient is one of these: an address, or `*@DOMAIN`. In lower case.
    Recipients(Vec<String>),
}

impl Rollout {
    /// From the keys of the manifest, as they stand there.
    pub fn new(
        mode: Mode,
        share: Option<f64>,
        recipients: Option<Vec<String>>,
    ) -> Result<Self, String> {
        match (mode, share, recipients) {
            (Mode::Active, None, None) => Ok(Self::Active),
            (Mode::Shadow, None, None) => Ok(Self::Shadow),
            (Mode::Canary, Some(part), None) if part > 0.0 && part <= 1.0 => {
                Ok(Self::Canary(Share::Part(part)))
            }
            (Mode::Canary, None, Some(recipients)) if !recipients.is_empty() => {
                let recipients = recipients.into_iter().map(|text| pattern(&text));
                Ok(Self::Canary(Share::Recipients(recipients.collect::<Result<_, _>>()?)))
            }
            (Mode::Canary, ..) => Err(
                "mode = \"canary\" needs either share, above 0 and at most 1, or recipients: share = 0.1, or recipients = [\"*@example.test\"]"
                    .to_owned(),
            ),
            _ => Err("share and recipients are for mode = \"canary\": remove them".to_owned()),
        }
    }

    pub fn mode(&self) -> Mode {
        match self {
            Self::Active => Mode::Active,
            Self::Shadow => Mode::Shadow,
            Self::Canary(_) => Mode::Canary,
        }
    }
}

fn pattern(text: &str) -> Result<String, String> {
    let address = text
        .strip_prefix('*')
        .map_or(text.to_owned(), |rest| format!("any{rest}"));
    Address::parse(&address)
        .map(|_| text.to_lowercase())
        .map_err(|_| format!("recipients: {text:?} is neither an address nor \"*@DOMAIN\""))
}

impl Share {
    /// None while that cannot be known.
    pub fn has(
        &self,
        transaction: Option<&TransactionId>,
        recipient: Option<&Address>,
    ) -> Option<bool> {
        match self {
            Self::Part(part) => Some(place(transaction?) < *part),
            Self::Recipients(patterns) => {
                let address = recipient?.to_string().to_lowercase();
                let fits = |pattern: &String| match pattern.strip_prefix('*') {
                    Some(domain) => address.ends_with(domain),
                    None => address == *pattern,
                };
                Some(patterns.iter().any(fits))
            }
        }
    }
}

/// From 0 to below 1, evenly, and always the same for one transaction.
fn place(transaction: &TransactionId) -> f64 {
    let digest: [u8; 32] = Sha256::digest(transaction.as_str()).into();
    let [a, b, c, d, ..] = digest;
    f64::from(u32::from_be_bytes([a, b, c, d])) / 4_294_967_296.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_about_that_share_and_always_the_same() {
        let share = Share::Part(0.1);
        let has = |n| share.has(Some(&TransactionId::new(n, n)), None).unwrap();
        let count = (0..10_000).filter(|n| has(*n)).count();
        assert!((900..1100).contains(&count), "{count}");
        assert!((0..1000).all(|n| has(n) == has(n)));
        assert_eq!(share.has(None, None), None);
    }

    #[test]
    fn recipients_are_matched_by_address_and_domain() {
        let recipients = ["*@Example.Test", "carol@example.org"].map(str::to_owned);
        let rollout = Rollout::new(Mode::Canary, None, Some(recipients.to_vec())).unwrap();
        let Rollout::Canary(share) = rollout else {
            panic!("{rollout:?}");
        };
        for (address, expected) in [
            ("alice@example.test", true),
            ("Carol@example.org", true),
            ("dave@example.org", false),
            ("alice@sub.example.test", false),
            ("alice@notexample.test", false),
        ] {
            let address = Address::parse(address).unwrap();
            assert_eq!(share.has(None, Some(&address)), Some(expected), "{address}");
        }
        assert_eq!(share.has(None, None), None);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let list = |text: &str| Some(vec![text.to_owned()]);
        for (mode, share, recipients) in [
            (Mode::Canary, None, None),
            (Mode::Canary, Some(0.0), None),
            (Mode::Canary, Some(f64::NAN), None),
            (Mode::Canary, Some(1.5), None),
            (Mode::Canary, Some(0.5), list("*@example.test")),
            (Mode::Canary, None, list("nobody")),
            (Mode::Canary, None, list("a*@example.test@")),
            (Mode::Canary, None, Some(Vec::new())),
            (Mode::Shadow, Some(0.5), None),
            (Mode::Active, None, list("*@example.test")),
        ] {
            assert!(
                Rollout::new(mode, share, recipients.clone()).is_err(),
                "{mode:?} {share:?} {recipients:?}"
            );
        }
    }
}
