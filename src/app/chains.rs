//! The chain in force: the plugins of the generation and the milters of the configuration, by their order. Asks neither.

use crate::chain::{Chain, Chains};
use crate::mail::Filter;
use crate::milter::Milter;
use crate::plugin::Host;
use arc_swap::ArcSwapOption;
use std::sync::Arc;

pub struct Links {
    host: Option<Arc<Host>>,
    milters: Arc<[Milter]>,
    /// What came out the last time.
    current: ArcSwapOption<Chain>,
}

impl Links {
    pub fn new(host: Option<Arc<Host>>, milters: Arc<[Milter]>) -> Self {
        Self {
            host,
            milters,
            current: ArcSwapOption::empty(),
        }
    }

    fn linked(&self) -> Chain {
        let mut links: Vec<(u32, Arc<dyn Filter>)> = self
            .milters
            .iter()
            .map(|milter| (milter.order(), Arc::new(milter.clone()) as Arc<dyn Filter>))
            .collect();
        let generation = self.host.as_ref().map(|host| host.generation());
        if let Some(generation) = &generation {
            links.extend(generation.ordered());
        }
        // Stable: plugins of one order stay as they are.
        links.sort_by(|(a, one), (b, other)| (a, &one.info().name).cmp(&(b, &other.info().name)));
        Chain {
            generation: generation.map_or(0, |generation| generation.number),
            filters: links.into_iter().map(|(_, filter)| filter).collect(),
        }
    }
}

impl Chains for Links {
    fn current(&self) -> Chain {
        let number = match &self.host {
            Some(host) => host.generation().number,
            None => 0,
        };
        let known = self.current.load();
        if let Some(known) = known.as_ref().filter(|known| known.generation == number) {
            return Chain::clone(known);
        }
        let linked = self.linked();
        self.current.store(Some(Arc::new(linked.clone())));
        linked
    }
}
