//! Follows the plugin directory. What the file system tells is only a hint to look; a slow rescan makes up for what it does not tell.

use super::service::{Shared, Watching};
use notify_debouncer_full::notify::event::{AccessKind, AccessMode};
use notify_debouncer_full::notify::{EventKind, RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{DebounceEventResult, Debouncer, RecommendedCache, new_debouncer};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval};

/// How often to look where the file system cannot be asked to tell.
const POLL: Duration = Duration::from_secs(2);

type Notifier = Debouncer<RecommendedWatcher, RecommendedCache>;

pub fn start(shared: Arc<Shared>, watching: Watching) -> AbortHandle {
    // One hint waiting is enough: each makes the whole directory be looked at.
    let (hint, hints) = mpsc::channel(1);
    let notifier = match notifier(shared.directory(), shared.grants(), watching.debounce, hint) {
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
    tokio::spawn(follow(shared, notifier, hints, rescan)).abort_handle()
}

fn notifier(
    directory: &Path,
    grants: Option<&Path>,
    debounce: Duration,
    hint: mpsc::Sender<()>,
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
            // Full: a look is due anyway.
            let _ = hint.try_send(());
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

async fn follow(
    shared: Arc<Shared>,
    notifier: Option<Notifier>,
    mut hints: mpsc::Receiver<()>,
    rescan: Duration,
) {
    let mut clock = interval(rescan);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let hinted = notifier.is_some();
    loop {
        tokio::select! {
            Some(()) = hints.recv(), if hinted => shared.reload_or_say_why().await,
            _ = clock.tick() => shared.reload_if_touched().await,
        }
    }
}
