//! The one thread that changes the index. What has queued up while the last commit was synced is the next commit: one sync serves
//! every caller that waits for one. Knows nothing of what the changes are.

use super::blobs::{Blobs, Landing};
use super::checkpoint::{Bell, Checkpointer};
pub use super::queue::When;
use super::queue::{Closed, MOST, Queue, Work};
use super::shelves::InFile;
use super::watchers::Watchers;
use crate::metrics::Commits;
use crate::store::{AccountId, StoreError};
use rusqlite::Connection;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::runtime::{Handle, Id};
use tokio::sync::oneshot;

/// What a change may touch, and what is to be done once it is committed.
pub struct Change<'c> {
    pub index: &'c Connection,
    touched: Vec<AccountId>,
    landed: Vec<Arc<Landing>>,
    unlinked: Vec<InFile>,
}

impl<'c> Change<'c> {
    fn new(index: &'c Connection) -> Self {
        Self {
            index,
            touched: Vec::new(),
            landed: Vec::new(),
            unlinked: Vec::new(),
        }
    }

    /// Something in this account's mailboxes is another.
    pub fn touch(&mut self, account: AccountId) {
        self.touched.push(account);
    }

    /// The file belongs to the index from the commit on.
    pub fn keep(&mut self, landing: &Arc<Landing>) {
        self.landed.push(landing.clone());
    }

    /// The file, or the part of one, belongs to nobody from the commit on.
    pub fn unlink(&mut self, file: InFile) {
        self.unlinked.push(file);
    }

    fn lengths(&self) -> [usize; 3] {
        [self.touched.len(), self.landed.len(), self.unlinked.len()]
    }

    fn truncate(&mut self, [touched, landed, unlinked]: [usize; 3]) {
        self.touched.truncate(touched);
        self.landed.truncate(landed);
        self.unlinked.truncate(unlinked);
    }
}

type Answer<T> = oneshot::Receiver<Result<T, StoreError>>;

/// A change, and what comes of it.
fn task<T: Send + 'static>(
    work: impl FnMut(&mut Change<'_>) -> Result<T, StoreError> + Send + 'static,
) -> (Box<dyn Job>, Answer<T>) {
    let (reply, answer) = oneshot::channel();
    let job = Task {
        work,
        value: None,
        reply,
        caller: Handle::try_current().ok(),
    };
    (Box::new(job), answer)
}

pub trait Job: Send {
    /// May be called again if what it did was rolled back.
    fn run(&mut self, change: &mut Change<'_>) -> Result<(), StoreError>;
    /// Where its caller waits, if that is known.
    fn caller(&self) -> Option<&Handle>;
    fn answer(self: Box<Self>, outcome: Result<(), StoreError>);
}

struct Task<T, F> {
    work: F,
    value: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
    caller: Option<Handle>,
}

impl<T, F> Job for Task<T, F>
where
    T: Send,
    F: FnMut(&mut Change<'_>) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, change: &mut Change<'_>) -> Result<(), StoreError> {
        self.value = Some((self.work)(change)?);
        Ok(())
    }

    fn caller(&self) -> Option<&Handle> {
        self.caller.as_ref()
    }

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>) {
        let Self {
            work, value, reply, ..
        } = *self;
        // A file that was not taken over goes before anybody hears of it.
        drop(work);
        let result = outcome.and_then(|()| value.ok_or_else(stopped));
        // Nobody may be waiting any more; what was done stays done.
        let _ = reply.send(result);
    }
}

/// How a change that failed is taken out of the transaction that it shares with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Undo {
    /// If it left traces, all of them are rolled back and done again, apart.
    Together,
    /// Each has a savepoint, which costs a copy of every page that it touches.
    Apart,
}

/// Why a transaction cannot be committed.
enum Broken {
    /// A change failed and left traces among those of the others.
    Traces,
    Lost(StoreError),
}

impl From<StoreError> for Broken {
    fn from(error: StoreError) -> Self {
        Self::Lost(error)
    }
}

/// One of a group.
struct Slot {
    job: Box<dyn Job>,
    outcome: Result<(), StoreError>,
}

impl Slot {
    fn new(job: Box<dyn Job>) -> Self {
        Self {
            job,
            outcome: Ok(()),
        }
    }

    fn answer(self) {
        self.job.answer(self.outcome);
    }
}

pub struct Writer {
    queue: Arc<Queue>,
    bell: Bell,
    thread: Option<JoinHandle<()>>,
    counts: Arc<Counts>,
}

impl Writer {
    pub fn start(
        mut connection: Connection,
        index: &Path,
        watchers: Arc<Watchers>,
        blobs: Arc<Blobs>,
        meter: Commits,
    ) -> Result<Self, StoreError> {
        let queue = Arc::new(Queue::default());
        let counts = Arc::new(Counts::default());
        let writer = Arc::clone(&queue);
        let checkpointer = Checkpointer::start(index, move || {
            let (done, wait) = sync_channel(1);
            // If the writer has stopped, closing the index does it.
            if writer.checkpoint(done).is_ok() {
                let _ = wait.recv();
            }
        })?;
        checkpointer.watch(&mut connection)?;
        let bell = checkpointer.bell();
        let desk = Desk {
            connection,
            queue: Arc::clone(&queue),
            watchers,
            blobs,
            counts: counts.clone(),
            meter,
            checkpointer,
        };
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || desk.work())
            .map_err(|error| StoreError::Failed(format!("no thread for the store: {error}")))?;
        Ok(Self {
            queue,
            bell,
            thread: Some(thread),
            counts,
        })
    }

    /// Like `change_when`, with others.
    pub async fn change<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut Change<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.change_when(When::WithOthers, work).await
    }

    /// When this returns `Ok`, the change is on stable storage. `work` runs again if what it did had to be rolled back.
    /// Once called it is done, whether its caller waits for it or not.
    pub async fn change_when<T: Send + 'static>(
        &self,
        when: When,
        work: impl FnMut(&mut Change<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (job, answer) = task(work);
        self.queue.push(job, when)?;
        answer.await.map_err(|_| stopped())?
    }

    /// Soon: the disk wants back what the log takes up.
    pub fn shorten_log(&self) {
        self.bell.shorten();
    }

    pub fn stats(&self) -> Stats {
        Stats {
            commits: self.counts.commits.load(Relaxed),
            changes: self.counts.changes.load(Relaxed),
            largest_commit: self.counts.largest_commit.load(Relaxed),
            failed: self.counts.failed.load(Relaxed),
            given_up: self.counts.given_up.load(Relaxed),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue.end();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl From<Closed> for StoreError {
    fn from(_: Closed) -> Self {
        stopped()
    }
}

fn stopped() -> StoreError {
    StoreError::Failed("its writer has stopped".into())
}

/// Since the store was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    pub commits: u64,
    /// Changes in them: divided by `commits`, how many share a sync.
    pub changes: u64,
    pub largest_commit: u64,
    /// Changes that were answered with an error.
    pub failed: u64,
    /// Commits that were rolled back as a whole.
    pub given_up: u64,
}

#[derive(Default)]
struct Counts {
    commits: AtomicU64,
    changes: AtomicU64,
    largest_commit: AtomicU64,
    failed: AtomicU64,
    given_up: AtomicU64,
}

/// Where the writer's thread works.
struct Desk {
    connection: Connection,
    queue: Arc<Queue>,
    watchers: Arc<Watchers>,
    blobs: Arc<Blobs>,
    counts: Arc<Counts>,
    meter: Commits,
    checkpointer: Checkpointer,
}

impl Drop for Desk {
    /// Before the checkpointer is waited for, which may wait for an answer itself.
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Desk {
    fn work(self) {
        loop {
            match self.queue.next() {
                Work::Commit(jobs) => self.group(jobs),
                Work::Checkpoint(done) => {
                    self.checkpointer.finish(&self.connection);
                    let _ = done.send(());
                }
                Work::End => return,
            }
        }
    }

    /// Commits the jobs together with those that come meanwhile.
    fn group(&self, jobs: Vec<Box<dyn Job>>) {
        let mut slots: Vec<_> = jobs.into_iter().map(Slot::new).collect();
        match self.commit(&mut slots, || self.queue.more()) {
            Ok(()) => {
                self.queue.answered();
                self.answer(slots);
            }
            // One of them may be too large for what room is left, or the disk too full for all: see which can be done alone.
            Err(error) if slots.len() > 1 => {
                // A full disk is told of by those that it fails.
                if !matches!(error, StoreError::Full) {
                    tracing::warn!(changes = slots.len(), %error, "changes of the store could not be committed together; trying each alone");
                }
                for slot in slots {
                    self.alone(slot);
                }
            }
            Err(error) => {
                for slot in &mut slots {
                    slot.outcome = Err(self.cause(&error));
                }
                self.answer(slots);
            }
        }
    }

    fn alone(&self, slot: Slot) {
        let mut slots = vec![slot];
        let outcome = self.commit(&mut slots, || None);
        if let Err(error) = &outcome {
            for slot in &mut slots {
                slot.outcome = Err(self.cause(error));
            }
        }
        self.answer(slots);
    }

    /// All callers on one runtime at once, and there: to wake it from another thread takes a system call each time, and what the changes held
    /// is freed where it was made.
    fn answer(&self, slots: Vec<Slot>) {
        let mut groups: HashMap<Id, (Handle, Vec<Slot>)> = HashMap::new();
        for slot in slots {
            if let Err(error) = &slot.outcome {
                self.counts.failed.fetch_add(1, Relaxed);
                if let StoreError::Full | StoreError::Failed(_) = error {
                    tracing::error!(%error, "a change of the store failed");
                }
            }
            match slot.job.caller().cloned() {
                Some(caller) => {
                    let group = groups.entry(caller.id());
                    let (_, slots) = group.or_insert_with(|| (caller, Vec::new()));
                    slots.push(slot);
                }
                None => slot.answer(),
            }
        }
        for (caller, slots) in groups.into_values() {
            caller.spawn(async { slots.into_iter().for_each(Slot::answer) });
        }
    }

    /// All slots and those that `next` gives, in one transaction. With an error, nothing of any of them happened.
    fn commit(
        &self,
        slots: &mut Vec<Slot>,
        mut next: impl FnMut() -> Option<Box<dyn Job>>,
    ) -> Result<(), StoreError> {
        let started = Instant::now();
        let mut change = Change::new(&self.connection);
        let mut result = self.transaction(&mut change, slots, &mut next, Undo::Together);
        if let Err(Broken::Traces) = result {
            self.roll_back()?;
            change.truncate([0; 3]);
            result = self.transaction(&mut change, slots, &mut next, Undo::Apart);
        }
        result.map_err(|broken| self.give_up(broken, &change))?;
        change.landed.iter().for_each(|landing| landing.kept());
        self.blobs.remove(std::mem::take(&mut change.unlinked));
        self.watchers.wake(&change.touched);
        let jobs = slots.len() as u64;
        self.counts.commits.fetch_add(1, Relaxed);
        self.counts.changes.fetch_add(jobs, Relaxed);
        self.counts.largest_commit.fetch_max(jobs, Relaxed);
        self.meter.done(slots.len(), started.elapsed());
        Ok(())
    }

    /// Rolls back what cannot be committed.
    fn give_up(&self, broken: Broken, change: &Change<'_>) -> StoreError {
        self.counts.given_up.fetch_add(1, Relaxed);
        self.meter.given_up();
        let error = match (self.roll_back(), broken) {
            (Err(error), _) | (Ok(()), Broken::Lost(error)) => error,
            (Ok(()), Broken::Traces) => StoreError::Failed("a change could not be undone".into()),
        };
        if !matches!(error, StoreError::Full) {
            // A sync that failed may still have reached the disk. Files that the index could then name must not be
            // gone: those that nobody names are removed when the server starts.
            change.landed.iter().for_each(|landing| landing.kept());
        }
        error
    }

    fn transaction(
        &self,
        change: &mut Change<'_>,
        slots: &mut Vec<Slot>,
        next: &mut dyn FnMut() -> Option<Box<dyn Job>>,
        undo: Undo,
    ) -> Result<(), Broken> {
        self.execute("BEGIN IMMEDIATE")?;
        let mut at = 0;
        while let Some(slot) = slots.get_mut(at) {
            slot.outcome = self.one(change, slot.job.as_mut(), undo)?;
            at += 1;
            if at == slots.len() && at < MOST {
                slots.extend(next().map(Slot::new));
            }
        }
        self.execute("COMMIT")?;
        Ok(())
    }

    fn roll_back(&self) -> Result<(), StoreError> {
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("ROLLBACK")?;
        }
        Ok(())
    }

    /// The inner result is the job's own; the outer one is an error when the whole transaction is lost.
    fn one(
        &self,
        change: &mut Change<'_>,
        job: &mut dyn Job,
        undo: Undo,
    ) -> Result<Result<(), StoreError>, Broken> {
        if undo == Undo::Apart {
            self.execute("SAVEPOINT job")?;
        }
        let (lengths, rows) = (change.lengths(), self.connection.total_changes());
        let outcome = catch_unwind(AssertUnwindSafe(|| job.run(change)))
            .unwrap_or_else(|_| Err(StoreError::Failed("a change panicked".into())));
        let Err(error) = outcome else {
            if undo == Undo::Apart {
                self.execute("RELEASE job")?;
            }
            return Ok(Ok(()));
        };
        change.truncate(lengths);
        if self.connection.is_autocommit() {
            // SQLite rolls everything back by itself on some errors, such as a full disk.
            return Err(Broken::Lost(error));
        }
        match undo {
            Undo::Together if self.connection.total_changes() != rows => {
                return Err(Broken::Traces);
            }
            // A statement that fails leaves nothing behind, and no other one changed a row.
            Undo::Together => {}
            Undo::Apart => {
                self.execute("ROLLBACK TO job")?;
                self.execute("RELEASE job")?;
            }
        }
        Ok(Err(self.cause(&error)))
    }

    fn execute(&self, statement: &str) -> Result<(), StoreError> {
        self.connection.prepare_cached(statement)?.execute([])?;
        Ok(())
    }

    /// The error for one caller. Whether the disk is full does not always show in SQLite's code (shared memory, sync): ask it.
    fn cause(&self, error: &StoreError) -> StoreError {
        match error {
            StoreError::Failed(_) if self.blobs.disk_is_full() => StoreError::Full,
            error => error.clone(),
        }
    }
}
