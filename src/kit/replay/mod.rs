//! What another version of a plugin would have done to messages that have come already, by the journals and the octets that are kept.
//! Changes nothing, in the store or elsewhere.

mod answers;
mod originals;
mod stand_in;
mod table;

pub use originals::Originals;
pub use table::{Changed, Table};

use super::play::{Done, Play, play};
use super::stage::{Fixed, Stage};
use crate::chain::{Policy, Ruling, total};
use crate::mail::{
    Content, Disposition, Envelope, Filter, Hook, Journal, Mode, Recipient, Session, Tags, Turn,
    Verdict,
};
use crate::plugin::{Services, changes};
use answers::Answers;
use std::io;
use std::sync::Arc;

/// A version of a plugin to be tried on what came.
pub struct Replay {
    filter: Arc<dyn Filter>,
    /// It was loaded with the services of this.
    stage: Stage,
    /// What journals call the plugin.
    name: String,
    policy: Policy,
}

/// One message, treated by the version that was in force and by the one that is tried.
struct Compared {
    /// What differs, what it was, what it would be.
    changes: Vec<(String, String, String)>,
    /// The version failed where the other had not.
    failed: bool,
    /// It asked services for what the journal does not have.
    unanswered: bool,
}

impl Replay {
    pub fn new(filter: Arc<dyn Filter>, stage: Stage, name: String, policy: Policy) -> Self {
        Self {
            filter,
            stage,
            name,
            policy,
        }
    }

    /// `content` is the message as received. Fails only if it cannot be read.
    async fn compare(&self, journal: &Journal, content: Content) -> io::Result<Compared> {
        let answers = Answers::new(&self.name, journal);
        self.stage.set(Services {
            clock: journal
                .at
                .parse()
                .ok()
                .map(|time| Arc::new(Fixed(time)) as Arc<_>),
            ..answers.services()
        });
        let filters = stand_in::chain(journal, &self.name, &self.filter);
        let done = play(
            &filters,
            Play {
                id: journal.id.clone(),
                session: self.session(&journal.session),
                envelope: envelope(journal),
                message: content,
                authentication: journal.authentication.clone(),
                policy: Some(self.policy),
                next_hops: next_hops(journal),
            },
        )
        .await?;
        Ok(self.differences(journal, &done, answers.lacked()))
    }

    /// Without what the plugin tagged at `connect` and `helo`: it is asked there again.
    fn session(&self, session: &Session) -> Session {
        let mut tags = Tags::default();
        for (key, tag) in session.tags.iter().filter(|(_, tag)| tag.by != self.name) {
            tags.set(key, &tag.value, &tag.by);
        }
        Session {
            tags,
            ..session.clone()
        }
    }

    fn differences(&self, journal: &Journal, done: &Done, unanswered: bool) -> Compared {
        let own = &self.filter.info().name;
        let now: Vec<&Turn> = done.turns().filter(|turn| turn.filter == *own).collect();
        let was: Vec<&Turn> = journal
            .counted()
            .filter(|turn| turn.filter == self.name && turn.hook.is_answered())
            .collect();
        let mut found = Vec::new();
        let mut failed = false;
        for turn in &was {
            let at_it = |other: &&&Turn| is_same_call(other, turn);
            match now.iter().find(at_it) {
                Some(other) => {
                    failed |= other.result.is_err() && turn.result.is_ok();
                    found.extend(changes(turn, other));
                }
                // It has ended the transaction before, which is a difference already.
                None if self.filter.info().hooks.contains(turn.hook) => {}
                None => found.extend(changes(turn, &nothing(turn))),
            }
        }
        for turn in &now {
            if !was.iter().any(|other| is_same_call(other, turn)) {
                failed |= turn.result.is_err();
                // The other was not asked there.
                found.extend(changes(&nothing(turn), turn));
            }
        }
        let fates = (
            self.fate(&journal.counted().collect::<Vec<_>>()),
            self.fate(&done.turns().collect::<Vec<_>>()),
        );
        if fates.0 != fates.1 {
            found.push(("the message".to_owned(), fates.0, fates.1));
        }
        Compared {
            changes: found,
            failed,
            unanswered,
        }
    }

    /// What the chain and the policy of now make of a message.
    fn fate(&self, turns: &[&Turn]) -> String {
        let of_message =
            |turn: &&&Turn| !matches!(turn.hook, Hook::Rcpt) && turn.hook <= Hook::Message;
        let ended = turns
            .iter()
            .filter(of_message)
            .find(|turn| turn.verdict != Verdict::Continue);
        if let Some(turn) = ended {
            return turn.verdict.name().to_owned();
        }
        let symbols: Vec<_> = turns
            .iter()
            .filter(|turn| turn.hook <= Hook::Message)
            .flat_map(|turn| turn.symbols.iter().cloned())
            .collect();
        match self.policy.rule(total(&symbols)) {
            Ruling::Deliver => "deliver",
            Ruling::Junk => "Junk, by its score",
            Ruling::Reject => "reject, by its score",
        }
        .to_owned()
    }
}

fn is_same_call(one: &Turn, other: &Turn) -> bool {
    one.hook == other.hook && one.recipient == other.recipient
}

/// As if nothing had been said there.
fn nothing(turn: &Turn) -> Turn {
    Turn {
        mode: Mode::Active,
        result: Ok(Verdict::Continue),
        verdict: Verdict::Continue,
        symbols: Vec::new(),
        edits: Vec::new(),
        ..turn.clone()
    }
}

/// Those that it was handed to, and those that filters named.
fn next_hops(journal: &Journal) -> Arc<[String]> {
    let places = journal.dispositions.iter();
    let relayed = places.filter_map(|place| match &place.disposition {
        Disposition::Relayed { next_hop, .. } => Some(next_hop.clone()),
        _ => None,
    });
    let named = journal.turns.iter().flat_map(|turn| turn.ways());
    relayed.chain(named.map(|(_, next_hop)| next_hop)).collect()
}

/// As the client gave it, with the recipients that filters refused, which the journal has in their turns only.
fn envelope(journal: &Journal) -> Envelope {
    let mut envelope = journal.envelope.clone();
    let asked = journal
        .counted()
        .filter(|turn| turn.hook == Hook::Rcpt)
        .filter_map(|turn| turn.recipient.clone());
    for address in asked {
        if !envelope.has(&address) {
            envelope.recipients.push(Recipient::from(address));
        }
    }
    envelope
}
