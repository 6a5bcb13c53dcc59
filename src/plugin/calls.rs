//! The journal of the calls of services in one call of a hook, bounded in number and length; and how many of each there may be.

use super::state::Refused;
use crate::mail::{HostCall, Line};
use std::time::Instant;

/// Calls that are listed; the rest is counted.
const MAX_LISTED: usize = 100;
/// Characters of what was asked and of what came of it.
const MAX_TEXT: usize = 120;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    Kv,
    Dns,
    Http,
    Metrics,
}

impl Service {
    /// Calls in one call of a hook.
    fn most(self) -> u32 {
        match self {
            // Learning from a message takes some thousands.
            Self::Kv => 10_000,
            Self::Dns => 20,
            Self::Http => 10,
            Self::Metrics => 1_000,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Kv => "kv",
            Self::Dns => "dns",
            Self::Http => "http",
            Self::Metrics => "metrics",
        }
    }
}

#[derive(Debug, Default)]
pub struct Calls {
    listed: Vec<HostCall>,
    further: u32,
    made: [u32; 4],
    /// Lists taken so far: what ends after that is not listed any more.
    taken: u32,
}

/// A call that is under way.
#[derive(Debug)]
pub struct Started {
    at: Instant,
    listed: Option<usize>,
    taken: u32,
}

impl Calls {
    /// Lists a call as one that has not come back, which is what it stays if the hook's time ends first.
    pub fn begin(&mut self, what: &'static str, argument: &str) -> Started {
        let at = Instant::now();
        if self.listed.len() >= MAX_LISTED {
            self.further = self.further.saturating_add(1);
            return Started {
                at,
                listed: None,
                taken: self.taken,
            };
        }
        self.listed.push(HostCall {
            what: what.to_owned(),
            argument: short(argument),
            result: "no answer".to_owned(),
            elapsed: std::time::Duration::ZERO,
        });
        Started {
            at,
            listed: Some(self.listed.len() - 1),
            taken: self.taken,
        }
    }

    pub fn end(&mut self, started: Started, result: impl FnOnce() -> String) {
        if started.taken != self.taken {
            return;
        }
        if let Some(call) = started.listed.and_then(|n| self.listed.get_mut(n)) {
            call.elapsed = started.at.elapsed();
            call.result = short(&result());
        }
    }

    /// Counts a call, or refuses it.
    pub fn spend(&mut self, service: Service) -> Result<(), Refused> {
        let most = service.most();
        let Some(made) = self.made.get_mut(service as usize) else {
            return Ok(());
        };
        *made = made.saturating_add(1);
        if *made > most {
            return Err(Refused::TooMuch(format!(
                "a filter may call {} {most} times in one call of a hook",
                service.name()
            )));
        }
        Ok(())
    }

    pub fn take(&mut self) -> Vec<HostCall> {
        let Self {
            mut listed,
            further,
            taken,
            ..
        } = std::mem::take(self);
        self.taken = taken.wrapping_add(1);
        if further > 0 {
            listed.push(HostCall {
                what: "further calls".to_owned(),
                argument: String::new(),
                result: further.to_string(),
                elapsed: std::time::Duration::ZERO,
            });
        }
        listed
    }
}

fn short(text: &str) -> String {
    let mut chars = text.chars();
    let mut start: String = chars.by_ref().take(MAX_TEXT).collect();
    if chars.next().is_some() {
        start.push('…');
    }
    Line::lossy(&start).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_not_listed() {
        let mut calls = Calls::default();
        for n in 0..250 {
            let call = calls.begin("kv.get", &format!("key {n}"));
            calls.end(call, || "none".to_owned());
        }
        let listed = calls.take();
        assert_eq!(listed.len(), 101);
        assert_eq!(
            (listed[100].what.as_str(), listed[100].result.as_str()),
            ("further calls", "150")
        );
        assert!(calls.take().is_empty());
    }

    #[test]
    fn what_never_came_back_says_so_and_texts_are_short_and_on_one_line() {
        let mut calls = Calls::default();
        calls.begin("dns.lookup", &format!("a\r\nb{}", "x".repeat(1000)));
        let listed = calls.take();
        assert_eq!(listed[0].result, "no answer");
        assert!(listed[0].argument.chars().count() <= MAX_TEXT + 1);
        assert!(!listed[0].argument.contains(['\r', '\n']));
    }

    #[test]
    fn each_service_has_its_bound() {
        let mut calls = Calls::default();
        let allowed = (0..100).filter(|_| calls.spend(Service::Dns).is_ok());
        assert_eq!(allowed.count(), 20);
        assert!(calls.spend(Service::Http).is_ok());
    }
}
