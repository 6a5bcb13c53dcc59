//! The filters of a transaction that is over, each saying again what it said: what the version that is tried sees of them is what was there.
//! Ask nobody.

use crate::mail::{
    Call, Filter, FilterInfo, FilterRun, Journal, Mode, OnError, Outcome, Turn, Uses, Verdict, View,
};
use async_trait::async_trait;
use std::sync::Arc;

/// One filter of a journal.
struct StandIn {
    info: FilterInfo,
    turns: Vec<Turn>,
}

struct Saying(Vec<Turn>);

/// The filters of the journal in their order, with this one in the place of that name, or at the end if it was not there.
pub fn chain(journal: &Journal, name: &str, tried: &Arc<dyn Filter>) -> Vec<Arc<dyn Filter>> {
    let mut filters: Vec<Arc<dyn Filter>> = Vec::new();
    let order = order(journal);
    for known in &order {
        if known == name {
            filters.push(Arc::clone(tried));
            continue;
        }
        let turns = journal.counted().filter(|turn| turn.filter == *known);
        let turns: Vec<Turn> = turns.cloned().collect();
        filters.push(Arc::new(StandIn {
            info: FilterInfo {
                name: known.clone(),
                version: turns
                    .first()
                    .map(|turn| turn.version.clone())
                    .unwrap_or_default(),
                hooks: turns.iter().map(|turn| turn.hook).collect(),
                uses: Uses::default(),
                // What a failure counted as, its turn says.
                on_error: OnError::Skip,
            },
            turns,
        }));
    }
    if !order.iter().any(|known| known == name) {
        filters.push(Arc::clone(tried));
    }
    filters
}

/// The names in the order of the chain. Each call of a hook went through a part of it, in that order.
fn order(journal: &Journal) -> Vec<String> {
    let turns: Vec<&Turn> = journal.counted().collect();
    let mut order: Vec<String> = Vec::new();
    let is_one_call = |a: &&Turn, b: &&Turn| a.hook == b.hook && a.recipient == b.recipient;
    for call in turns.chunk_by(is_one_call) {
        // Before the next one whose place is known.
        let mut place = order.len();
        for turn in call.iter().rev() {
            match order.iter().position(|name| *name == turn.filter) {
                Some(at) => place = at,
                None => order.insert(place, turn.filter.clone()),
            }
        }
    }
    order
}

impl Filter for StandIn {
    fn info(&self) -> &FilterInfo {
        &self.info
    }

    fn open(&self) -> Box<dyn FilterRun> {
        Box::new(Saying(self.turns.clone()))
    }
}

#[async_trait]
impl FilterRun for Saying {
    async fn call(&mut self, call: &Call, _: View) -> Outcome {
        let is_it =
            |turn: &Turn| turn.hook == call.hook() && turn.recipient.as_ref() == call.recipient();
        let Some(at) = self.0.iter().position(is_it) else {
            return Outcome::new(Ok(Verdict::Continue));
        };
        let turn = self.0.remove(at);
        Outcome {
            edits: turn.edits,
            symbols: turn.symbols,
            mode: Mode::Active,
            ..Outcome::new(Ok(turn.verdict))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::Hook;

    fn turn(filter: &str, hook: Hook) -> Turn {
        let info = FilterInfo {
            name: filter.to_owned(),
            version: String::new(),
            hooks: [hook].into_iter().collect(),
            uses: Uses::default(),
            on_error: OnError::Skip,
        };
        let call = match hook {
            Hook::Mail => Call::Mail,
            _ => Call::Message,
        };
        Turn::new(&info, &call, Outcome::new(Ok(Verdict::Continue)))
    }

    #[test]
    fn the_order_is_that_of_all_calls() {
        let turns = vec![
            turn("b", Hook::Mail),
            turn("d", Hook::Mail),
            turn("a", Hook::Message),
            turn("b", Hook::Message),
            turn("c", Hook::Message),
            turn("d", Hook::Message),
            turn("e", Hook::Message),
        ];
        let journal = Journal {
            turns,
            ..crate::kit::replay::table::tests::journal()
        };
        assert_eq!(order(&journal), ["a", "b", "c", "d", "e"]);
    }
}
