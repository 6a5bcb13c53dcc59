//! One transaction's way through the chain, hook by hook.

use super::{Admit, Chain, Draft, envelope};
use crate::mail::{
    Address, AuthenticationResult, Became, Call, Edit, Envelope, FailureKind, Filter, FilterRun,
    Hook, Journal, Message, Mode, Moved, Scope, Scoped, Session, Stop, Symbol, Tags, TransactionId,
    Turn, Verdict, View,
};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::yield_now;

pub struct Run {
    chain: Chain,
    links: Vec<Link>,
    transaction: Option<TransactionId>,
    session: Arc<Session>,
    authentication: Arc<[AuthenticationResult]>,
    /// None: every recipient that a filter adds is taken.
    admit: Option<Arc<dyn Admit>>,
    next_hops: Arc<[String]>,
    /// What filters asked for so far.
    ways: Vec<(Scope, String)>,
    turns: Vec<Turn>,
    symbols: Arc<Vec<Symbol>>,
    tags: Arc<Tags>,
    /// Asked for before there was a message.
    early: Vec<Scoped>,
    elapsed: Duration,
    /// Filters that have been asked at this hook already, in another transaction.
    passed: Option<(Hook, HashSet<String>)>,
    /// Where a filter ended the chain last.
    stopped: Option<Stop>,
    /// What was said before there was a message, and counts when there is one.
    fates: Vec<Fate>,
}

/// `discard` or `quarantine`, said of a message that had not come yet.
struct Fate {
    /// None: all of them.
    recipient: Option<Address>,
    verdict: Verdict,
    stop: Stop,
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
    pub tags: Arc<Tags>,
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
        let symbols = counted(&session.greeted).flat_map(|turn| &turn.symbols);
        Self {
            links,
            chain,
            transaction,
            tags: Arc::new(session.tags.clone()),
            symbols: Arc::new(symbols.cloned().collect()),
            session,
            authentication: Arc::new([]),
            admit: None,
            next_hops: Arc::new([]),
            ways: Vec::new(),
            turns: Vec::new(),
            early: Vec::new(),
            elapsed: Duration::ZERO,
            passed: None,
            stopped: None,
            fates: Vec::new(),
        }
    }

    /// The journal begins with what filters did at `connect` and `helo`, and what they said there of the messages to come counts.
    pub fn greeted(mut self) -> Self {
        self.turns.clone_from(&self.session.greeted);
        self.elapsed = self.turns.iter().map(|turn| turn.elapsed).sum();
        let said = counted(&self.turns).find(|turn| is_fate(&turn.verdict));
        if let Some(turn) = said {
            let (verdict, stop) = (turn.verdict.clone(), self.stop_of(turn));
            self.fates.push(Fate {
                recipient: None,
                verdict,
                stop,
            });
        }
        self
    }

    /// What filters found in another transaction with the same message is known to those that are asked in this one.
    pub fn resume(&mut self, turns: &[Turn]) {
        let symbols = turns.iter().flat_map(|turn| &turn.symbols);
        Arc::make_mut(&mut self.symbols).extend(symbols.cloned());
        for turn in turns {
            turn.tag(Arc::make_mut(&mut self.tags));
            if turn.mode != Mode::Shadow {
                self.ways.extend(turn.ways());
            }
        }
    }

    /// At the hook where another transaction was stopped, those that come before the filter that did it, and it itself, are not asked.
    pub fn go_on_after(&mut self, stop: &Stop) {
        let names = || self.links.iter().map(|link| &link.filter.info().name);
        let before = names().position(|name| *name == stop.filter);
        let before = names().take(before.map_or(0, |at| at + 1)).cloned();
        let passed = stop.passed.iter().cloned().chain(before).collect();
        self.passed = Some((stop.hook, passed));
    }

    /// Where a filter ended the chain last.
    pub fn stop(&self) -> Option<&Stop> {
        self.stopped.as_ref()
    }

    /// What was said of the message for this recipient alone before it was there.
    pub fn fate(&self, recipient: &Address) -> Option<&Verdict> {
        let mut fates = self.fates.iter();
        fates
            .find(|fate| fate.recipient.as_ref() == Some(recipient))
            .map(|fate| &fate.verdict)
    }

    /// Without asking anybody: the filter that said it ended the chain.
    fn fated(&mut self, recipient: Option<&Address>) -> Option<Verdict> {
        let mut fates = self.fates.iter();
        let fate = fates.find(|fate| fate.recipient.as_ref() == recipient)?;
        self.stopped = Some(fate.stop.clone());
        Some(fate.verdict.clone())
    }

    /// Keeps what is said of a message that has not come yet.
    fn note(&mut self, recipient: Option<Address>, verdict: &Verdict) {
        if let (true, Some(stop)) = (is_fate(verdict), &self.stopped) {
            self.fates.push(Fate {
                recipient,
                verdict: verdict.clone(),
                stop: stop.clone(),
            });
        }
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

    /// Recipients that filters add are held to this.
    pub fn admitting(self, admit: Arc<dyn Admit>) -> Self {
        Self {
            admit: Some(admit),
            ..self
        }
    }

    /// Filters may send messages to these next hops.
    pub fn relaying(self, next_hops: Arc<[String]>) -> Self {
        Self { next_hops, ..self }
    }

    /// The next hop that filters ask for, for this recipient or for all; the last one counts.
    pub fn via(&self, recipient: Option<&Address>) -> Option<&str> {
        let covers = |scope: &Scope| match recipient {
            Some(recipient) => scope.covers(recipient),
            None => scope.is_all(),
        };
        let mut ways = self.ways.iter().rev();
        ways.find(|(scope, _)| covers(scope))
            .map(|(_, next_hop)| next_hop.as_str())
    }

    /// With what is known of a transaction that is over.
    pub fn knowing(self, journal: &Journal) -> Self {
        Self {
            authentication: journal.authentication.as_slice().into(),
            symbols: Arc::new(journal.symbols().cloned().collect()),
            tags: Arc::new(journal.tags()),
            ..self
        }
    }

    /// For what comes after the transaction: fresh instances that know what this run knows. None if no filter has that hook.
    pub fn afterwards(&self, hook: Hook) -> Option<Self> {
        self.chain.has(hook).then(|| Self {
            authentication: Arc::clone(&self.authentication),
            symbols: Arc::clone(&self.symbols),
            tags: Arc::clone(&self.tags),
            ..Self::new(
                self.chain.clone(),
                Arc::clone(&self.session),
                self.transaction.clone(),
            )
        })
    }

    /// What sender authentication found so far; every filter asked from now on sees it.
    pub fn authenticated(&mut self, results: &[AuthenticationResult]) {
        self.authentication = results.into();
    }

    /// Journals what a built-in filter did, and counts its symbols.
    pub fn built_in(&mut self, turn: Turn) {
        Arc::make_mut(&mut self.symbols).extend(turn.symbols.iter().cloned());
        self.elapsed += turn.elapsed;
        self.turns.push(turn);
    }

    pub fn score(&self) -> f32 {
        total(&self.symbols)
    }

    pub async fn mail(&mut self, envelope: &mut Arc<Envelope>) -> Verdict {
        let verdict = self.ask(&Call::Mail, envelope, None).await;
        self.note(None, &verdict);
        verdict
    }

    pub async fn rcpt(&mut self, recipient: Address, envelope: &mut Arc<Envelope>) -> Verdict {
        let verdict = self
            .ask(&Call::Rcpt(recipient.clone()), envelope, None)
            .await;
        self.note(Some(recipient), &verdict);
        verdict
    }

    pub async fn message(&mut self, envelope: &mut Arc<Envelope>, draft: &mut Draft) -> Verdict {
        draft.apply(&std::mem::take(&mut self.early));
        if let Some(verdict) = self.fated(None) {
            return verdict;
        }
        self.ask(&Call::Message, envelope, Some(draft)).await
    }

    pub async fn deliver(
        &mut self,
        recipient: Address,
        envelope: &Arc<Envelope>,
        draft: &mut Draft,
    ) -> Verdict {
        if let Some(verdict) = self.fated(Some(&recipient)) {
            return verdict;
        }
        self.ask(
            &Call::Deliver(recipient),
            &mut Arc::clone(envelope),
            Some(draft),
        )
        .await
    }

    pub async fn relay(
        &mut self,
        recipient: Address,
        next_hop: String,
        envelope: &Arc<Envelope>,
        draft: &mut Draft,
    ) -> Verdict {
        if let Some(verdict) = self.fated(Some(&recipient)) {
            return verdict;
        }
        let call = Call::Relay {
            recipient,
            next_hop,
        };
        self.ask(&call, &mut Arc::clone(envelope), Some(draft))
            .await
    }

    pub async fn outcome(&mut self, became: Became, envelope: &Arc<Envelope>) {
        self.ask(&Call::Outcome(became), &mut Arc::clone(envelope), None)
            .await;
    }

    pub async fn moved(&mut self, moved: Moved, envelope: &Arc<Envelope>, message: Message) {
        let mut draft = Draft::new(message, &[]);
        let mut envelope = Arc::clone(envelope);
        self.ask(&Call::Moved(moved), &mut envelope, Some(&mut draft))
            .await;
    }

    pub fn end(self) -> Ended {
        Ended {
            generation: self.chain.generation,
            turns: self.turns,
            symbols: Arc::unwrap_or_clone(self.symbols),
            tags: self.tags,
            elapsed: self.elapsed,
        }
    }

    /// Asks each filter that has the hook, until one does not say `continue`; the answer is that one's.
    pub(super) async fn ask(
        &mut self,
        call: &Call,
        envelope: &mut Arc<Envelope>,
        mut draft: Option<&mut Draft>,
    ) -> Verdict {
        for at in 0..self.links.len() {
            let is_asked = |link: &Link| self.is_asked(link, call.hook());
            if !self.links.get(at).is_some_and(is_asked) {
                continue;
            }
            // Other messages on this thread come this far first: one filter's code and memory are in the processor's caches for all of
            // them, where those of all filters in turn would not be.
            yield_now().await;
            let started = Instant::now();
            let verdict = self.ask_one(at, call, envelope, draft.as_deref_mut()).await;
            self.elapsed += started.elapsed();
            if verdict != Verdict::Continue {
                self.stopped = self.turns.last().map(|turn| self.stop_of(turn));
                return verdict;
            }
        }
        Verdict::Continue
    }

    fn is_asked(&self, link: &Link, hook: Hook) -> bool {
        let info = link.filter.info();
        let has_passed =
            |(at, passed): &(Hook, HashSet<String>)| *at == hook && passed.contains(&info.name);
        matches!(link.state, State::Ready(_))
            && info.hooks.contains(hook)
            && !self.passed.as_ref().is_some_and(has_passed)
    }

    /// The verdict that counts: a shadow's is always `continue`.
    async fn ask_one(
        &mut self,
        at: usize,
        call: &Call,
        envelope: &mut Arc<Envelope>,
        mut draft: Option<&mut Draft>,
    ) -> Verdict {
        let view = View {
            transaction: self.transaction.clone(),
            session: Arc::clone(&self.session),
            envelope: Arc::clone(envelope),
            message: draft.as_deref().map(|draft| message_for(draft, call)),
            authentication: Arc::clone(&self.authentication),
            symbols: Arc::clone(&self.symbols),
            tags: Arc::clone(&self.tags),
            next_hops: Arc::clone(&self.next_hops),
        };
        let Some(Link { filter, state }) = self.links.get_mut(at) else {
            return Verdict::Continue;
        };
        let State::Ready(run) = state else {
            return Verdict::Continue;
        };
        let info = filter.info();
        let mut outcome = run.call(call, view).await;
        if let Some(shadow) = outcome.beside.take() {
            self.turns.push(Turn::new(info, call, *shadow));
        }
        if outcome.mode == Mode::Shadow {
            self.turns.push(Turn::new(info, call, outcome));
            return Verdict::Continue;
        }
        if let Err(failure) = &outcome.result {
            // That a breaker opened has been said once.
            if failure.kind != FailureKind::BreakerOpen {
                tracing::warn!(filter = info.name, hook = %call.hook(), transaction = self.transaction.as_ref().map(TransactionId::as_str), "{failure}");
            }
            *state = State::Failed;
        }
        let mut turn = Turn::new(info, call, outcome);
        match draft.as_deref_mut() {
            Some(draft) => draft.apply(&turn.edits),
            None => self.early.extend(turn.edits.iter().cloned()),
        }
        envelope::apply(self.admit.as_deref(), &mut turn, envelope, draft).await;
        let is_tag = |scoped: &Scoped| matches!(scoped.edit, Edit::Tag { .. });
        if turn.edits.iter().any(is_tag) {
            turn.tag(Arc::make_mut(&mut self.tags));
        }
        if !turn.symbols.is_empty() {
            Arc::make_mut(&mut self.symbols).extend(turn.symbols.iter().cloned());
        }
        let verdict = turn.verdict.clone();
        self.ways.extend(turn.ways());
        self.turns.push(turn);
        verdict
    }
}

/// Those of shadows have no effect.
fn counted(turns: &[Turn]) -> impl Iterator<Item = &Turn> {
    turns.iter().filter(|turn| turn.mode != Mode::Shadow)
}

/// Whether a verdict says what becomes of a message, be it there or not.
fn is_fate(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Discard | Verdict::Quarantine(_))
}

/// Not `sum`: that of nothing is -0.0.
pub fn total(symbols: &[Symbol]) -> f32 {
    symbols.iter().fold(0.0, |sum, symbol| sum + symbol.score)
}

fn message_for(draft: &Draft, call: &Call) -> Message {
    match call {
        Call::Deliver(recipient) | Call::Relay { recipient, .. } => draft.message_for(recipient),
        _ => draft.message().clone(),
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
