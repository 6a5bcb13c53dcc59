//! Follows the plugin directory. What the file system tells is only a hint to look; a slow rescan makes up for what it does not tell.

use super::service::{Shared, Watching};
use notify_debouncer_full::notify::event::{AccessKind, AccessMode};
use notify_debouncer_full::notify::{EventKind, RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{DebounceEventResult, Debouncer, RecommendedCache, new_debouncer};
use std::ffi::OsStr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// How often to look where the file system cannot be asked to tell; and whether what it was asked about is still there.
const POLL: Duration = Duration::from_secs(2);

/// The directory and that of the grants: which they are, not how they are called.
type Places = Vec<Option<(u64, u64, Option<SystemTime>)>>;
type Notifier = Debouncer<RecommendedWatcher, RecommendedCache>;

/// One hint waiting is enough: each makes the whole directory be looked at.
#[derive(Clone)]
struct Hints {
    directory: mpsc::Sender<()>,
    grants: mpsc::Sender<()>,
}

impl Hints {
    fn give(&self) {
        for hint in [&self.directory, &self.grants] {
            // Full: a look is due anyway.
            let _ = hint.try_send(());
        }
    }
}

pub fn start(shared: Arc<Shared>, watching: Watching) -> AbortHandle {
    let (directory, directory_hints) = mpsc::channel(1);
    let (grants, grants_hints) = mpsc::channel(1);
    let hints = Hints { directory, grants };
    // Before it is watched: what takes its place from now on shows.
    let watched = places(&shared);
    let notifier = match notify(&shared, watching, &hints) {
        Ok(notifier) => Some(notifier),
        Err(error) => {
            tracing::warn!(
                "{}: the file system does not tell of changes ({error}); looking every {} s",
                shared.directory().display(),
                POLL.as_secs()
            );
            None
        }
    };
    let rescan = match notifier {
        Some(_) => watching.rescan,
        None => watching.rescan.min(POLL),
    };
    let following = async move {
        tokio::join!(
            follow(&shared, directory_hints, rescan),
            settle(&shared, grants_hints, rescan),
            keep_watching(&shared, watching, hints, notifier, watched)
        )
    };
    tokio::spawn(following).abort_handle()
}

fn notify(
    shared: &Shared,
    watching: Watching,
    hints: &Hints,
) -> Result<Notifier, notify_debouncer_full::notify::Error> {
    let (directory, grants) = (shared.directory(), shared.grants());
    notifier(directory, grants, watching.debounce, hints.clone())
}

fn notifier(
    directory: &Path,
    grants: Option<&Path>,
    debounce: Duration,
    hints: Hints,
) -> Result<Notifier, notify_debouncer_full::notify::Error> {
    let resolved = |path: &Path| match path.as_os_str().is_empty() {
        true => PathBuf::from("."),
        false => path.canonicalize().unwrap_or_else(|_| path.to_owned()),
    };
    let (directory, inside) = (directory.to_owned(), resolved(directory));
    // In the directory it is followed with all else.
    let parent = grants.and_then(Path::parent).map(resolved);
    let parent = parent.filter(|parent| *parent != inside && parent.is_dir());
    let name = grants.and_then(Path::file_name).map(OsStr::to_owned);
    // Beside it, there may be much that is no concern of ours.
    let (all, within) = (parent.is_none(), directory.clone());
    let concerns = move |path: &PathBuf| {
        let ours = path.starts_with(&within) || path.starts_with(&inside);
        all || ours || path.file_name() == name.as_deref()
    };
    let on_events = move |events: DebounceEventResult| {
        // An error may mean that something was missed.
        let tells = events.map_or(true, |events| {
            let mut changes = events.iter().filter(|event| is_change(event.kind));
            changes.any(|event| event.paths.is_empty() || event.paths.iter().any(&concerns))
        });
        if tells {
            hints.give();
        }
    };
    let mut notifier = new_debouncer(debounce, None, on_events)?;
    notifier.watch(&directory, RecursiveMode::Recursive)?;
    if let Some(parent) = &parent {
        notifier.watch(parent, RecursiveMode::NonRecursive)?;
    }
    Ok(notifier)
}

/// Reading is no change, and we read ourselves.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}

async fn follow(shared: &Shared, mut hints: mpsc::Receiver<()>, rescan: Duration) {
    let mut clock = clock(rescan);
    loop {
        tokio::select! {
            Some(()) = hints.recv() => shared.reload_or_say_why().await,
            _ = clock.tick() => shared.reload_if_touched().await,
        }
    }
}

/// Grants are in force at once, while something is compiled too.
async fn settle(shared: &Shared, mut hints: mpsc::Receiver<()>, rescan: Duration) {
    let mut clock = clock(rescan);
    loop {
        tokio::select! {
            Some(()) = hints.recv() => {}
            _ = clock.tick() => {}
        }
        shared.settle().await;
    }
}

/// When another directory has taken the place of the one that is watched, that one is.
async fn keep_watching(
    shared: &Shared,
    watching: Watching,
    hints: Hints,
    mut notifier: Option<Notifier>,
    mut watched: Places,
) {
    let mut clock = clock(POLL);
    loop {
        clock.tick().await;
        let now = places(shared);
        if now == watched {
            continue;
        }
        // The old one tells nothing of the new.
        drop(notifier.take());
        notifier = notify(shared, watching, &hints).ok();
        watched = now;
        hints.give();
    }
}

fn places(shared: &Shared) -> Places {
    let parent = shared.grants().and_then(Path::parent);
    let paths = [Some(shared.directory()), parent].into_iter().flatten();
    let place = |path: &Path| {
        let found = path.metadata().ok()?;
        // The number of one that was removed is given out again at once.
        Some((found.dev(), found.ino(), found.created().ok()))
    };
    paths.map(place).collect()
}

fn clock(period: Duration) -> Interval {
    let mut clock = interval(period);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    clock
}
