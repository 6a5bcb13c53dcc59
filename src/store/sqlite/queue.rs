//! What waits for the writer, and when it begins a commit: a sync costs much and serves all that share it.
//! Knows nothing of what the changes are.

use super::writer::Job;
use std::collections::VecDeque;
use std::sync::mpsc::SyncSender;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The most changes in one commit, so that none waits long for those that came after it.
pub const MOST: usize = 1000;

/// So many don't wait for others: the sync is a small part of what they cost, and while it is made the others are worked on, where otherwise all
/// would wait for it together.
const ENOUGH: usize = 32;

/// The longest that a commit is put off for those who have just been answered.
const AGAIN: Duration = Duration::from_millis(4);

/// How long a change waits for others to share a sync with, if nobody waits for it.
const PATIENCE: Duration = Duration::from_millis(20);

#[derive(Default)]
pub struct Queue {
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Box<dyn Job>>,
    /// One of them waits for nobody.
    at_once: bool,
    /// Those that nobody waits for.
    later: Vec<Box<dyn Job>>,
    later_by: Option<Instant>,
    checkpoint: Option<SyncSender<()>>,
    /// Changes in the commit that is being made whose callers wait.
    in_hand: usize,
    again: Again,
    /// The writer has nothing to do, or waits for more.
    is_idle: bool,
    /// Nothing more comes.
    is_ending: bool,
    /// There is no writer any more.
    is_closed: bool,
}

/// Who has just been answered is likely to come with the next message, and had better share a commit with others. Half of them are waited for:
/// while their commit is made the other half are worked on, where otherwise one thread would do something and then the disk, and nobody else.
/// The price is a little latency where messages come at their own pace.
#[derive(Default)]
struct Again {
    changes: usize,
    until: Option<Instant>,
}

/// What the writer does next.
pub enum Work {
    /// Commit these, and those that [`Queue::more`] gives.
    Commit(Vec<Box<dyn Job>>),
    /// Copy what is left of the log into the index, since it is short now, and say when that is done.
    Checkpoint(SyncSender<()>),
    End,
}

/// When a change is to be committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// For what has shared a sync with others already: its own commit is small.
    AtOnce,
    /// Others that are likely to come soon are waited for.
    WithOthers,
    /// Nobody waits for it: with the next commit that has another reason, or once it has waited long enough.
    Later,
}

/// There is no writer any more.
pub struct Closed;

impl Queue {
    pub fn push(&self, job: Box<dyn Job>, when: When) -> Result<(), Closed> {
        let mut waiting = self.open()?;
        if when == When::Later {
            waiting.later.push(job);
            if waiting.later_by.is_none() {
                waiting.later_by = Some(Instant::now() + PATIENCE);
                self.call(&waiting);
            }
            return Ok(());
        }
        waiting.at_once |= when == When::AtOnce;
        let is_first = waiting.jobs.is_empty();
        waiting.jobs.push_back(job);
        // From the first one on the writer knows until when it waits; one more wake-up is enough for all others.
        if is_first || waiting.patience(Instant::now()).is_none() {
            self.call(&waiting);
        }
        Ok(())
    }

    pub fn checkpoint(&self, done: SyncSender<()>) -> Result<(), Closed> {
        let mut waiting = self.open()?;
        waiting.checkpoint = Some(done);
        self.call(&waiting);
        Ok(())
    }

    /// What has been asked for will be done, and then the writer ends.
    pub fn end(&self) {
        let mut waiting = self.lock();
        waiting.is_ending = true;
        self.call(&waiting);
    }

    /// Nobody is to wait for what will not be done.
    pub fn close(&self) {
        let mut waiting = self.lock();
        waiting.is_closed = true;
        let left = (
            std::mem::take(&mut waiting.jobs),
            std::mem::take(&mut waiting.later),
            waiting.checkpoint.take(),
        );
        drop(waiting);
        drop(left);
    }

    /// For the writer, which waits until there is something.
    pub fn next(&self) -> Work {
        let mut waiting = self.lock();
        loop {
            let patience = match waiting.work(Instant::now()) {
                Ok(work) => return work,
                Err(patience) => patience,
            };
            waiting.is_idle = true;
            waiting = match patience {
                None => self
                    .wake
                    .wait(waiting)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(patience) => {
                    let waited = self.wake.wait_timeout(waiting, patience);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
            waiting.is_idle = false;
        }
    }

    /// What has come while a commit was being made.
    pub fn more(&self) -> Option<Box<dyn Job>> {
        let mut waiting = self.lock();
        let job = waiting.jobs.pop_front()?;
        // Whoever waited for nobody has gone then.
        waiting.at_once &= !waiting.jobs.is_empty();
        waiting.in_hand += 1;
        Some(job)
    }

    /// The callers of the last commit are answered.
    pub fn answered(&self) {
        self.lock().answered(Instant::now());
    }

    fn call(&self, waiting: &Waiting) {
        if waiting.is_idle {
            self.wake.notify_one();
        }
    }

    fn open(&self) -> Result<MutexGuard<'_, Waiting>, Closed> {
        let waiting = self.lock();
        match waiting.is_closed {
            true => Err(Closed),
            false => Ok(waiting),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// What is to be done now; or how long to wait for it, if not for ever.
    fn work(&mut self, now: Instant) -> Result<Work, Option<Duration>> {
        // First, for what is short now grows with each commit.
        if let Some(done) = self.checkpoint.take() {
            return Ok(Work::Checkpoint(done));
        }
        if !self.jobs.is_empty() {
            return match self.patience(now) {
                Some(left) => Err(Some(left)),
                None => Ok(self.commit()),
            };
        }
        match left(self.later_by, now) {
            Some(left) if !self.is_ending => Err(Some(left)),
            _ if !self.later.is_empty() => Ok(self.commit()),
            _ if self.is_ending => Ok(Work::End),
            _ => Err(None),
        }
    }

    /// How long those that are ready wait for others. None: nobody else is worth it.
    fn patience(&self, now: Instant) -> Option<Duration> {
        let ready = self.jobs.len();
        let are_enough = ready >= ENOUGH || ready >= self.again.changes / 2;
        match self.at_once || are_enough || self.is_ending {
            true => None,
            false => left(self.again.until, now),
        }
    }

    fn answered(&mut self, now: Instant) {
        self.again = Again {
            // Those that are ready come again with those that were served meanwhile.
            changes: self.in_hand + self.jobs.len(),
            until: Some(now + AGAIN),
        };
    }

    fn commit(&mut self) -> Work {
        self.later_by = None;
        self.at_once = false;
        let mut jobs = std::mem::take(&mut self.later);
        let most = self.jobs.len().min(MOST);
        jobs.extend(self.jobs.drain(..most));
        self.in_hand = most;
        Work::Commit(jobs)
    }
}

/// None if it is past, or there is no such time.
fn left(until: Option<Instant>, now: Instant) -> Option<Duration> {
    let left = until?.saturating_duration_since(now);
    (!left.is_zero()).then_some(left)
}

#[cfg(test)]
mod tests {
    use super::super::writer::Change;
    use super::*;
    use crate::store::StoreError;
    use tokio::runtime::Handle;

    struct Nothing;

    impl Job for Nothing {
        fn run(&mut self, _: &mut Change<'_>) -> Result<(), StoreError> {
            Ok(())
        }

        fn caller(&self) -> Option<&Handle> {
            None
        }

        fn answer(self: Box<Self>, _: Result<(), StoreError>) {}
    }

    fn push(queue: &Queue) {
        assert!(queue.push(Box::new(Nothing), When::WithOthers).is_ok());
    }

    fn work(queue: &Queue) -> Result<Work, Option<Duration>> {
        queue.lock().work(Instant::now())
    }

    fn changes(work: Result<Work, Option<Duration>>) -> Option<usize> {
        match work {
            Ok(Work::Commit(jobs)) => Some(jobs.len()),
            _ => None,
        }
    }

    /// After a commit with so many others.
    fn after(answered: usize, now: Instant) -> Queue {
        let queue = Queue::default();
        for _ in 0..answered {
            assert!(queue.push(Box::new(Nothing), When::AtOnce).is_ok());
        }
        assert_eq!(changes(work(&queue)), Some(answered));
        queue.lock().answered(now);
        queue
    }

    #[test]
    fn half_of_those_who_were_answered_are_waited_for() {
        let now = Instant::now();
        for (answered, ready, millis, goes) in [
            (1, 1, 0, true),
            (2, 1, 0, true),
            (4, 1, 0, false),
            (4, 1, 3, false),
            (4, 1, 4, true),
            (9, 3, 0, false),
            (9, 4, 0, true),
        ] {
            let queue = after(answered, now);
            for _ in 0..ready {
                push(&queue);
            }
            let went = changes(queue.lock().work(now + Duration::from_millis(millis)));
            let what = format!("{answered} answered, {ready} ready after {millis} ms");
            assert_eq!(went, goes.then_some(ready), "{what}");
        }
    }

    #[test]
    fn many_wait_for_nobody() {
        let now = Instant::now();
        let queue = after(ENOUGH * 3, now);
        for _ in 1..ENOUGH {
            push(&queue);
        }
        assert!(matches!(queue.lock().work(now), Err(Some(_))));
        push(&queue);
        assert_eq!(changes(queue.lock().work(now)), Some(ENOUGH));
    }

    #[test]
    fn what_has_waited_for_a_sync_waits_for_nobody_and_takes_along_who_is_ready() {
        let now = Instant::now();
        let queue = after(9, now);
        push(&queue);
        assert!(matches!(queue.lock().work(now), Err(Some(_))));
        assert!(queue.push(Box::new(Nothing), When::AtOnce).is_ok());
        assert_eq!(changes(queue.lock().work(now)), Some(2));
        // The next one waits again.
        push(&queue);
        assert!(matches!(queue.lock().work(now), Err(Some(_))));
        // So does one that comes after a commit has taken such a one along.
        assert!(queue.push(Box::new(Nothing), When::AtOnce).is_ok());
        assert!(queue.more().is_some() && queue.more().is_some());
        push(&queue);
        assert!(matches!(queue.lock().work(now), Err(Some(_))));
    }

    #[test]
    fn those_who_waited_while_others_were_served_are_expected_with_them() {
        let (queue, now) = (Queue::default(), Instant::now());
        for _ in 0..3 {
            push(&queue);
        }
        assert_eq!(changes(work(&queue)), Some(3));
        push(&queue);
        // Nobody waits for the answer to this one.
        assert!(queue.push(Box::new(Nothing), When::Later).is_ok());
        queue.lock().answered(now);
        assert!(
            matches!(queue.lock().work(now), Err(Some(_))),
            "two of four"
        );
        push(&queue);
        assert_eq!(changes(queue.lock().work(now)), Some(3));
    }

    #[test]
    fn the_log_is_copied_before_it_grows_further() {
        let queue = Queue::default();
        let (done, _) = std::sync::mpsc::sync_channel(1);
        push(&queue);
        assert!(queue.checkpoint(done).is_ok());
        assert!(matches!(queue.next(), Work::Checkpoint(_)));
        assert!(matches!(queue.next(), Work::Commit(_)));
    }

    #[test]
    fn what_nobody_waits_for_goes_with_the_next_change_and_before_the_end() {
        let queue = Queue::default();
        assert!(queue.push(Box::new(Nothing), When::Later).is_ok());
        assert!(matches!(work(&queue), Err(Some(_))));
        push(&queue);
        assert_eq!(changes(work(&queue)), Some(2));
        assert!(queue.push(Box::new(Nothing), When::Later).is_ok());
        queue.end();
        assert_eq!(changes(work(&queue)), Some(1));
        assert!(matches!(queue.next(), Work::End));
        queue.close();
        assert!(queue.push(Box::new(Nothing), When::WithOthers).is_err());
    }
}
