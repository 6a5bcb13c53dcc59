//! One transaction's way through the chain, hook by hook.

use super::{Chain, Draft};
use crate::mail::{
    Address, AuthenticationResult, Call, Edit, EnhancedCode, Envelope, Filter, FilterRun, Hook,
    Message, OnError, Outcome, Reply, Session, Stop, Symbol, TransactionId, Turn, Verdict, View,
};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub struct Run {
    generation: u64,
    links: Vec<Link>,
    transaction: Option<TransactionId>,
    session: Arc<Session>,
    authentication: Arc<[AuthenticationResult]>,
    turns: Vec<Turn>,
    symbols: Vec<Symbol>,
    elapsed: Duration,
    /// Filters that have been asked at this hook already, in another transaction.
    passed: Option<(Hook, HashSet<String>)>,
}

struct Link {
    filter: Arc<dyn Filter>,
    state: State,
}

enum State {
    Ready(Box<dyn FilterRun>),
    /// It failed once in this transaction and is not asked again.
    Failed,
}

/// What a run leaves behind.
#[derive(Debug)]
pub struct Ended {
    pub generation: u64,
    pub turns: Vec<Turn>,
    pub symbols: Vec<Symbol>,
    pub elapsed: Duration,
}

impl Run {
    pub fn new(chain: Chain, session: Arc<Session>, transaction: Option<TransactionId>) -> Self {
        let links = chain
            .filters
            .iter()
            .map(|filter| Link {
                filter: Arc::clone(filter),
                state: State::Ready(filter.open()),
            })
            .collect();
        Self {
            generation: chain.generation,
            links,
            transaction,
            session,
            authentication: Arc::new([]),
            turns: Vec::new(),
            symbols: Vec::new(),
            elapsed: Duration::ZERO,
            passed: None,
        }
    }

    /// What filters found in another transaction with the same message is known to those that are asked in this one.
    pub fn resume(&mut self, turns: &[Turn]) {
        let symbols = turns.iter().flat_map(|turn| &turn.symbols);
        self.symbols.extend(symbols.cloned());
    }

    /// At the hook where another transaction was stopped, those that come before the filter that did it, and it itself, are not asked.
    pub fn go_on_after(&mut self, stop: &Stop) {
        let names = || self.links.iter().map(|link| &link.filter.info().name);
        let before = names().position(|name| *name == stop.filter);
        let before = names().take(before.map_or(0, |at| at + 1)).cloned();
        let passed = stop.passed.iter().cloned().chain(before).collect();
        self.passed = Some((stop.hook, passed));
    }

    /// Where the filter that was asked last stopped the chain.
    pub fn stop(&self) -> Option<Stop> {
        self.turns.last().map(|turn| self.stop_of(turn))
    }

    /// Where the message was last held for this recipient, and why.
    pub fn held(&self, recipient: &Address) -> Option<(Stop, String)> {
        self.turns.iter().rev().find_map(|turn| {
            let why = turn
                .edits
                .iter()
                .rev()
                .find_map(|scoped| match &scoped.edit {
                    Edit::Hold { why } if scoped.scope.covers(recipient) => Some(why.clone()),
                    _ => None,
                });
            why.map(|why| (self.stop_of(turn), why))
        })
    }

    fn stop_of(&self, turn: &Turn) -> Stop {
        let names = || self.links.iter().map(|link| &link.filter.info().name);
        let passed = names().position(|name| *name == turn.filter);
        Stop {
            filter: turn.filter.clone(),
            version: turn.version.clone(),
            hook: turn.hook,
            passed: names()
                .take(passed.map_or(0, |at| at + 1))
                .cloned()
                .collect(),
        }
    }

    /// What sender authentication found so far; every filter asked from now on sees it.
    pub fn authenticated(&mut self, results: &[AuthenticationResult]) {
        self.authentication = results.into();
    }

    /// Journals what a built-in filter did, and counts its symbols.
    pub fn built_in(&mut self, turn: Turn) {
        self.symbols.extend(turn.symbols.iter().cloned());
        self.elapsed += turn.elapsed;
        self.turns.push(turn);
    }

    pub fn score(&self) -> f32 {
        total(&self.symbols)
    }

    pub async fn connect(&mut self) -> Verdict {
        self.ask(&Call::Connect, &Arc::default(), None).await
    }

    pub async fn mail(&mut self, envelope: &Arc<Envelope>) -> Verdict {
        self.ask(&Call::Mail, envelope, None).await
    }

    pub async fn rcpt(
        &mut self,
        recipient: crate::mail::Address,
        envelope: &Arc<Envelope>,
    ) -> Verdict {
        self.ask(&Call::Rcpt(recipient), envelope, None).await
    }

    pub async fn message(&mut self, envelope: &Arc<Envelope>, draft: &mut Draft) -> Verdict {
        self.ask(&Call::Message, envelope, Some(draft)).await
    }

    pub async fn deliver(
        &mut self,
        recipient: crate::mail::Address,
        envelope: &Arc<Envelope>,
        draft: &mut Draft,
    ) -> Verdict {
        self.ask(&Call::Deliver(recipient), envelope, Some(draft))
            .await
    }

    pub fn end(self) -> Ended {
        Ended {
            generation: self.generation,
            turns: self.turns,
            symbols: self.symbols,
            elapsed: self.elapsed,
        }
    }

    /// Asks each filter that has the hook, until one does not say `continue`; the answer is that one's.
    async fn ask(
        &mut self,
        call: &Call,
        envelope: &Arc<Envelope>,
        mut draft: Option<&mut Draft>,
    ) -> Verdict {
        let hook = call.hook();
        let started = Instant::now();
        let mut verdict = Verdict::Continue;
        for link in &mut self.links {
            let info = link.filter.info();
            let State::Ready(run) = &mut link.state else {
                continue;
            };
            if !info.hooks.contains(hook) {
                continue;
            }
            if let Some((at, passed)) = &self.passed
                && *at == hook
                && passed.contains(&info.name)
            {
                continue;
            }
            let view = View {
                transaction: self.transaction.clone(),
                session: Arc::clone(&self.session),
                envelope: Arc::clone(envelope),
                message: draft.as_deref().map(|draft| message_for(draft, call)),
                authentication: Arc::clone(&self.authentication),
                symbols: self.symbols.clone(),
            };
            let outcome = run.call(call, view).await;
            if let Some(draft) = draft.as_deref_mut() {
                draft.apply(&outcome.edits);
            }
            if let Err(failure) = &outcome.result {
                tracing::warn!(filter = info.name, %hook, transaction = self.transaction.as_ref().map(TransactionId::as_str), "{failure}");
                link.state = State::Failed;
            }
            let turn = turn(&*link.filter, call, outcome);
            self.symbols.extend(turn.symbols.iter().cloned());
            let answer = turn.verdict.clone();
            self.turns.push(turn);
            match answer {
                Verdict::Continue => {}
                other => {
                    verdict = other;
                    break;
                }
            }
        }
        self.elapsed += started.elapsed();
        verdict
    }
}

/// Not `sum`: that of nothing is -0.0.
pub fn total(symbols: &[Symbol]) -> f32 {
    symbols.iter().fold(0.0, |sum, symbol| sum + symbol.score)
}

fn message_for(draft: &Draft, call: &Call) -> Message {
    match call {
        Call::Deliver(recipient) => draft.message_for(recipient),
        _ => draft.message().clone(),
    }
}

fn turn(filter: &dyn Filter, call: &Call, outcome: Outcome) -> Turn {
    let info = filter.info();
    let verdict = match &outcome.result {
        Ok(verdict) => verdict.clone(),
        Err(_) => on_error(info.on_error, &info.name, call.hook()),
    };
    Turn {
        filter: info.name.clone(),
        version: info.version.clone(),
        hook: call.hook(),
        recipient: call.recipient().cloned(),
        result: outcome.result,
        verdict,
        symbols: outcome.symbols,
        edits: outcome.edits,
        refused: outcome.refused,
        log: outcome.log,
        elapsed: outcome.elapsed,
        memory: outcome.memory,
        host_calls: outcome.host_calls,
        calls: outcome.calls,
    }
}

fn on_error(on_error: OnError, filter: &str, hook: Hook) -> Verdict {
    match on_error {
        OnError::Skip => Verdict::Continue,
        OnError::Tempfail => Verdict::Tempfail(Reply::new(
            451,
            EnhancedCode(4, 3, 0),
            "A filter failed; please try again later",
        )),
        OnError::Reject => Verdict::Reject(Reply::new(
            554,
            EnhancedCode(5, 3, 0),
            "A filter failed; the message is refused",
        )),
        OnError::Quarantine => Verdict::Quarantine(format!("filter {filter} failed at {hook}")),
    }
}
