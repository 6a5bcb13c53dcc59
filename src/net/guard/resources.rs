//! The machine's room: memory of this process, free space of the disk. Looked at no more than twice a second.
//! What to do without it is said in `guard`.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How old what is known may be.
const FRESH: Duration = Duration::from_millis(500);
/// The part of `disk_free` that the disk itself must have, whatever else there is room in: what is written goes through logs first.
const LEAST: u64 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Octets that this process may have resident; 0: any.
    pub memory: u64,
    /// Octets that must be free on the disk of the data directory, or in files there that new mail is written into.
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
    /// Asked when these are few: gives the disk back what it can, from now on. Octets in files that are there which new mail is written into.
    fn reclaim(&self) -> u64 {
        0
    }
}

/// The real ones; what cannot be read is taken to be enough.
pub struct System {
    pub data_dir: PathBuf,
    pub reclaim: Box<dyn Fn() -> u64 + Send + Sync>,
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

    fn reclaim(&self) -> u64 {
        (self.reclaim)()
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
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = group_memory(Path::new("/sys/fs/cgroup"), &groups);
    let least = machine.into_iter().chain(group).min();
    least.unwrap_or_default() / 4 * 3
}

/// The least that the control groups allow which this process is in, and those that these are in. `root`: where they are mounted;
/// `groups`: a line for each hierarchy, `0::/path` of version 2 and `4:memory:/path` of version 1 (cgroups(7)).
fn group_memory(root: &Path, groups: &str) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (id, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        if id == "0" && controllers.is_empty() {
            return least_upwards(root, path, "memory.max");
        }
        controllers.split(',').find(|name| *name == "memory")?;
        least_upwards(&root.join("memory"), path, "memory.limit_in_bytes")
    });
    limits.min()
}

/// In a container the path may be one that is seen from outside only: what is not there says nothing.
fn least_upwards(mount: &Path, path: &str, file: &str) -> Option<u64> {
    let inside = Path::new(path).strip_prefix("/").ok()?;
    let groups = inside.ancestors().filter_map(|group| {
        let text = std::fs::read_to_string(mount.join(group).join(file)).ok()?;
        text.trim().parse().ok()
    });
    groups.min()
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
                    .is_some_and(|free| self.is_short(free, resources.as_ref())),
            };
        }
        *known
    }

    fn is_short(&self, free: u64, resources: &dyn Resources) -> bool {
        let wanted = self.room.disk_free;
        if free >= wanted {
            return false;
        }
        let room = free.saturating_add(resources.reclaim());
        room < wanted || free < wanted / LEAST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_of_all_groups_that_this_is_in_counts() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let memory = |groups: &str| group_memory(root.path(), groups);
        write("system.slice/memory.max", "3000\n");
        write("system.slice/mail.service/memory.max", "max\n");
        write("system.slice/other.service/memory.max", "5\n");
        assert_eq!(memory("0::/system.slice/mail.service\n"), Some(3000));
        write("system.slice/mail.service/memory.max", "2000\n");
        assert_eq!(memory("0::/system.slice/mail.service\n"), Some(2000));
        assert_eq!(memory("0::/user.slice\n"), None);
        // A container that sees itself as the root, or its path from outside.
        write("memory.max", "1000\n");
        assert_eq!(memory("0::/\n"), Some(1000));
        assert_eq!(memory("0::/docker/1234\n"), Some(1000));
        // Version 1.
        write("memory/memory.limit_in_bytes", "9223372036854771712\n");
        write("memory/mail/memory.limit_in_bytes", "4000\n");
        let both = "5:cpu,cpuacct:/mail\n4:memory:/mail/inner\n1:name=systemd:/mail\n";
        assert_eq!(memory(both), Some(4000));
        assert_eq!(memory(&format!("{both}0::/\n")), Some(1000));
        assert_eq!(memory("nonsense\n"), None);
    }
}
