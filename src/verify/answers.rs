//! What the DNS said under the names that the library asked for in one check, and a second look at it for what the library does not see.
//! Doesn't know what the records mean.

use crate::dns::{LookupError, Resolver};
use mail_auth::{ResolverCache, Txt};
use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

#[derive(Default)]
pub struct Answers(Mutex<HashMap<Box<str>, Answer>>);

struct Answer {
    value: Txt,
    is_checked: bool,
}

/// As the DNS has them.
pub type Records = Result<Vec<Vec<u8>>, LookupError>;

impl Answers {
    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Answer>> {
        // Nothing is half done in there.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks once at each answer that is `doubtful`, with the records that it was made of, which the resolver has kept: `better` is what
    /// stands in its place, if that is wrong. True if one was, and the check has to be done again.
    pub async fn correct(
        &self,
        resolver: &Resolver,
        doubtful: impl Fn(&Txt) -> bool,
        better: impl Fn(&Txt, Records) -> Option<Txt>,
    ) -> bool {
        let unchecked: Vec<_> = self
            .lock()
            .iter()
            .filter(|(_, answer)| !answer.is_checked && doubtful(&answer.value))
            .map(|(name, _)| name.clone())
            .collect();
        let mut is_wrong = false;
        for name in unchecked {
            let records = resolver.txt(&name).await;
            if let Some(answer) = self.lock().get_mut(&name) {
                answer.is_checked = true;
                if let Some(better) = better(&answer.value, records) {
                    answer.value = better;
                    is_wrong = true;
                }
            }
        }
        is_wrong
    }
}

impl ResolverCache<Box<str>, Txt> for Answers {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.lock().get(name).map(|answer| answer.value.clone())
    }

    fn remove<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.lock().remove(name).map(|answer| answer.value)
    }

    /// Only for as long as this check.
    fn insert(&self, name: Box<str>, value: Txt, _: Instant) {
        let is_checked = false;
        self.lock().insert(name, Answer { value, is_checked });
    }
}
