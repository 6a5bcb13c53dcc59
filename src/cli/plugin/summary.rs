//! What a plugin did to many messages, in a few lines.

use crate::cli::explain::time;
use crate::kit::Done;
use crate::mail::Verdict;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

#[derive(Debug, Default)]
pub struct Summary {
    verdicts: BTreeMap<&'static str, usize>,
    symbols: BTreeMap<String, usize>,
    edited: usize,
    failed: usize,
    times: Vec<Duration>,
    slowest: Option<(Duration, String)>,
    memory: u64,
}

impl Summary {
    /// A line for a message that is worth one: the plugin failed, or said something else than `continue`.
    pub fn count(&mut self, name: &str, done: &Done) -> Option<String> {
        let mut verdict = &Verdict::Continue;
        let mut problem = None;
        let mut elapsed = Duration::ZERO;
        let mut edited = false;
        let mut symbols: Vec<&String> = Vec::new();
        for turn in done.turns() {
            match &turn.result {
                Ok(Verdict::Continue) => {}
                Ok(other) if *verdict == Verdict::Continue => verdict = other,
                Ok(_) => {}
                Err(failure) => problem = Some(format!("FAILED at {}: {failure}", turn.hook)),
            }
            elapsed += turn.elapsed;
            edited |= !turn.edits.is_empty();
            symbols.extend(turn.symbols.iter().map(|symbol| &symbol.name));
            self.memory = self.memory.max(turn.memory);
        }
        symbols.sort();
        symbols.dedup();
        for symbol in symbols {
            *self.symbols.entry(symbol.clone()).or_default() += 1;
        }
        self.edited += usize::from(edited);
        self.times.push(elapsed);
        if self
            .slowest
            .as_ref()
            .is_none_or(|(most, _)| elapsed > *most)
        {
            self.slowest = Some((elapsed, name.to_owned()));
        }
        if let Some(problem) = problem {
            self.failed += 1;
            return Some(format!("{name}: {problem}"));
        }
        *self.verdicts.entry(verdict.name()).or_default() += 1;
        let detail = match verdict {
            Verdict::Continue => return None,
            Verdict::Reject(reply) | Verdict::Tempfail(reply) => format!(" {reply}"),
            Verdict::Quarantine(why) => format!(" {why}"),
            Verdict::Accept | Verdict::Discard => String::new(),
        };
        Some(format!("{name}: {}{detail}", verdict.name()))
    }

    pub fn failed(&self) -> usize {
        self.failed
    }

    /// For the line of a progress bar.
    pub fn progress(&self) -> String {
        let count = self.times.len();
        match self.failed {
            0 => format!("{count} messages"),
            failed => format!("{count} messages, {failed} FAILED"),
        }
    }

    pub fn text(&mut self) -> String {
        let mut counts: Vec<String> = self
            .verdicts
            .iter()
            .map(|(verdict, count)| format!("{count} {verdict}"))
            .collect();
        if self.failed > 0 {
            counts.push(format!("{} FAILED", self.failed));
        }
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{} messages: {}; {} with edits",
            self.times.len(),
            counts.join(", "),
            self.edited
        );
        let mut symbols: Vec<_> = self.symbols.iter().collect();
        symbols.sort_by_key(|(name, count)| (usize::MAX - **count, (*name).clone()));
        for (name, count) in symbols {
            let _ = writeln!(out, "{count:>8}  {name}");
        }
        self.times.sort();
        let at = |share: usize| {
            let index = self.times.len().saturating_sub(1) * share / 100;
            self.times.get(index).copied().unwrap_or_default()
        };
        if let Some((slowest, name)) = &self.slowest {
            let _ = writeln!(
                out,
                "time for one: median {}, 99 % within {}, slowest {} ({name}); memory at most {} KiB",
                time(at(50)),
                time(at(99)),
                time(*slowest),
                self.memory / 1024
            );
        }
        out
    }
}
