//! The machine's room: memory of this process, free space of the disk. Looked at no more than twice a second.
//! What to do without it is said in `guard`.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How old what is known may be.
const FRESH: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Octets that this process may have resident; 0: any.
    pub memory: u64,
    /// Octets that must be free on the disk of the data directory.
    pub disk_free: u64,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            memory: 0,
            disk_free: 64 << 20,
        }
    }
}

/// Where it is read off.
pub trait Resources: Send + Sync {
    /// Octets that this process has resident.
    fn resident(&self) -> Option<u64>;
    /// Octets free on the disk.
    fn free(&self) -> Option<u64>;
}

/// The real ones; what cannot be read is taken to be enough.
pub struct System {
    pub data_dir: PathBuf,
}

impl Resources for System {
    fn resident(&self) -> Option<u64> {
        in_kib(
            &std::fs::read_to_string("/proc/self/status").ok()?,
            "VmRSS:",
        )
    }

    fn free(&self) -> Option<u64> {
        let disk = rustix::fs::statvfs(&self.data_dir).ok()?;
        Some(disk.f_bavail.saturating_mul(disk.f_frsize))
    }
}

/// `VmRSS:     1234 kB`
fn in_kib(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// Three quarters of what the machine has, or the control group that this runs in may take; 0 if neither can be told.
pub fn default_memory() -> u64 {
    let machine = std::fs::read_to_string("/proc/meminfo").ok();
    let machine = machine.and_then(|text| in_kib(&text, "MemTotal:"));
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let group = group.and_then(|text| text.trim().parse::<u64>().ok());
    let least = machine.into_iter().chain(group).min();
    least.unwrap_or_default() / 4 * 3
}

pub(super) struct Machine {
    room: Room,
    resources: Option<Box<dyn Resources>>,
    known: Mutex<Known>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Known {
    at: Option<Duration>,
    lacks_memory: bool,
    lacks_disk: bool,
}

impl Machine {
    pub(super) fn new(room: Room, resources: Option<Box<dyn Resources>>) -> Self {
        Self {
            room,
            resources,
            known: Mutex::default(),
        }
    }

    pub(super) fn lacks_memory(&self, now: Duration) -> bool {
        self.known(now).lacks_memory
    }

    pub(super) fn lacks_disk(&self, now: Duration) -> bool {
        self.known(now).lacks_disk
    }

    fn known(&self, now: Duration) -> Known {
        let Some(resources) = &self.resources else {
            return Known::default();
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.at.is_none_or(|at| now.saturating_sub(at) >= FRESH) {
            let memory = self.room.memory;
            *known = Known {
                at: Some(now),
                lacks_memory: memory > 0
                    && resources
                        .resident()
                        .is_some_and(|resident| resident > memory),
                lacks_disk: resources
                    .free()
                    .is_some_and(|free| free < self.room.disk_free),
            };
        }
        *known
    }
}
