//! What waits for the writer, and when it begins a commit: a sync costs much and serves all that share it.
//! Knows nothing of what the changes are.

use super::writer::Job;
use std::collections::VecDeque;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The most changes in one commit, so that none waits long for those that came after it.
pub const MOST: usize = 1000;

/// So many don't wait for others: the sync is a small part of what they cost, and while it is made the others are worked on, where otherwise all
/// would wait for it together.
const ENOUGH: usize = 32;

/// How long a change waits for others that are known to be coming.
const GATHERING: Duration = Duration::from_millis(2);

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
    /// When the first of them goes, whoever else is coming.
    begin_by: Option<Instant>,
    /// Those that nobody waits for.
    later: Vec<Box<dyn Job>>,
    later_by: Option<Instant>,
    checkpoint: Option<SyncSender<()>>,
    /// Changes that are known to be coming, those in `jobs` included.
    coming: usize,
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

/// Who has just been answered is likely to come with the next message, and had better be in the next commit: twice as many changes in each,
/// half as many commits. The price is a little latency where messages come at their own pace.
#[derive(Default)]
struct Again {
    /// Changes whose callers have been answered, and those that were ready by then.
    changes: usize,
    /// Until when all of them are waited for.
    all_by: Option<Instant>,
    /// And half of them: many don't come at once.
    half_by: Option<Instant>,
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
    /// Those that are likely to come soon are waited for.
    WithOthers,
    /// Nobody waits for it: with the next commit that has another reason, or once it has waited long enough.
    Later,
}

/// There is no writer any more.
pub struct Closed;

/// A change will come before this is dropped: those that are ready wait a moment for it.
pub struct Coming(Arc<Queue>);

impl Drop for Coming {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        waiting.coming -= 1;
        if !waiting.jobs.is_empty() {
            self.0.call_if_complete(&waiting);
        }
    }
}

impl Queue {
    pub fn coming(self: &Arc<Self>) -> Coming {
        self.lock().coming += 1;
        Coming(Arc::clone(self))
    }

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
        if is_first {
            waiting.begin_by = Some(Instant::now() + GATHERING);
            // Now it knows until when it waits.
            self.call(&waiting);
        } else {
            self.call_if_complete(&waiting);
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

    /// The callers of the last commit are answered, after a sync that took so long.
    pub fn answered(&self, took: Duration) {
        self.lock().answered(took, Instant::now());
    }

    /// One wake-up is enough for all that wait.
    fn call_if_complete(&self, waiting: &Waiting) {
        if waiting.patience(Instant::now()).is_none() {
            self.call(waiting);
        }
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
        if self.at_once || self.jobs.len() >= ENOUGH {
            return None;
        }
        let wait = |for_so_many: usize, until| match self.jobs.len() < for_so_many {
            true => left(until, now),
            false => None,
        };
        let again = &self.again;
        let waits = [
            wait(self.coming, self.begin_by),
            wait(again.changes, again.all_by),
            wait(again.changes / 2, again.half_by),
        ];
        waits
            .into_iter()
            .flatten()
            .max()
            .filter(|_| !self.is_ending)
    }

    fn answered(&mut self, took: Duration, now: Instant) {
        self.again = Again {
            changes: self.in_hand + self.jobs.len(),
            all_by: Some(now + took.min(AGAIN)),
            half_by: Some(now + AGAIN),
        };
    }

    fn commit(&mut self) -> Work {
        (self.begin_by, self.later_by) = (None, None);
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

    #[test]
    fn a_change_waits_for_those_that_are_coming_and_for_nobody_else() {
        let queue = Arc::new(Queue::default());
        push(&queue);
        assert_eq!(changes(work(&queue)), Some(1), "nobody else is coming");
        let (one, other) = (queue.coming(), queue.coming());
        push(&queue);
        let waits = work(&queue);
        assert!(matches!(waits, Err(Some(_))), "the other is coming");
        push(&queue);
        assert_eq!(changes(work(&queue)), Some(2));
        drop(one);
        push(&queue);
        assert_eq!(
            changes(work(&queue)),
            Some(1),
            "it came, and will not come again"
        );
        drop(other);
        assert!(matches!(work(&queue), Err(None)));
    }

    #[test]
    fn many_wait_for_nobody() {
        let queue = Arc::new(Queue::default());
        let _coming: Vec<_> = (0..ENOUGH * 2).map(|_| queue.coming()).collect();
        for _ in 1..ENOUGH {
            push(&queue);
        }
        assert!(matches!(work(&queue), Err(Some(_))));
        push(&queue);
        assert_eq!(changes(work(&queue)), Some(ENOUGH));
    }

    #[test]
    fn those_who_were_answered_are_waited_for_as_long_as_it_took_and_half_of_many_longer() {
        let now = Instant::now();
        for (answered, ready, millis, goes) in [
            (1, 1, 0, true),
            (2, 1, 0, false),
            (2, 2, 0, true),
            (2, 1, 1, true),
            (9, 3, 0, false),
            (9, 3, 1, false),
            (9, 3, 4, true),
            (9, 4, 0, false),
            (9, 4, 1, true),
        ] {
            let queue = Queue::default();
            for _ in 0..answered {
                push(&queue);
            }
            assert_eq!(changes(work(&queue)), Some(answered));
            queue.lock().answered(Duration::from_millis(1), now);
            for _ in 0..ready {
                push(&queue);
            }
            let went = changes(queue.lock().work(now + Duration::from_millis(millis)));
            let what = format!("{answered} answered, {ready} ready after {millis} ms");
            assert_eq!(went, goes.then_some(ready), "{what}");
        }
    }

    #[test]
    fn what_has_waited_for_a_sync_waits_for_nobody_and_takes_along_who_is_ready() {
        let queue = Arc::new(Queue::default());
        let _coming = [queue.coming(), queue.coming(), queue.coming()];
        push(&queue);
        assert!(matches!(work(&queue), Err(Some(_))));
        assert!(queue.push(Box::new(Nothing), When::AtOnce).is_ok());
        assert_eq!(changes(work(&queue)), Some(2));
        // The next one waits again.
        push(&queue);
        assert!(matches!(work(&queue), Err(Some(_))));
        // So does one that comes after a commit has taken such a one along.
        assert!(queue.push(Box::new(Nothing), When::AtOnce).is_ok());
        assert!(queue.more().is_some() && queue.more().is_some());
        push(&queue);
        assert!(matches!(work(&queue), Err(Some(_))));
    }

    #[test]
    fn those_who_waited_while_others_were_served_are_expected_with_them() {
        let (queue, now) = (Queue::default(), Instant::now());
        push(&queue);
        assert_eq!(changes(work(&queue)), Some(1));
        push(&queue);
        // Nobody waits for the answer to this one.
        assert!(queue.push(Box::new(Nothing), When::Later).is_ok());
        queue.lock().answered(Duration::from_millis(1), now);
        assert!(matches!(queue.lock().work(now), Err(Some(_))));
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
    fn who_does_not_come_is_not_waited_for() {
        let queue = Arc::new(Queue::default());
        let (ready, turned_down) = (queue.coming(), queue.coming());
        push(&queue);
        let writer = std::thread::spawn({
            let queue = Arc::clone(&queue);
            move || changes(Ok(queue.next()))
        });
        drop(turned_down);
        assert_eq!(writer.join().unwrap(), Some(1));
        drop(ready);
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
