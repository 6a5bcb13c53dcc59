//! How many files and connections this process may have open: as many as the system lets it.

use crate::config::Config;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For all that is no client's connection: the store, messages that come in, what filters connect to.
const RESERVE: u64 = 500;

/// Takes what may be taken, and says so if the configured connections could need more.
pub fn raise(config: &Config) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: maximum,
        maximum,
    };
    let descriptors = match setrlimit(Resource::Nofile, most) {
        Ok(()) => maximum,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files stays as it was");
            current
        }
    };
    let wanted = wanted(config);
    if let Some(descriptors) = descriptors.filter(|descriptors| *descriptors < wanted) {
        tracing::warn!(
            descriptors,
            wanted,
            "the connections of all listeners could need more open files than this process may have: \
             raise the limit (LimitNOFILE= of systemd, ulimit -Hn) or lower `connections` in [limits]"
        );
    }
}

/// Beside each client's connection there may be one to the next hop, and one to each milter.
fn wanted(config: &Config) -> u64 {
    let each = u64::try_from(config.limits.connections).unwrap_or(u64::MAX);
    let milters = u64::try_from(config.milters.len()).unwrap_or(u64::MAX);
    let sides = config
        .listeners
        .iter()
        .map(|listener| 1 + u64::from(listener.next_hop.is_some()) + milters);
    each.saturating_mul(sides.sum::<u64>())
        .saturating_add(RESERVE)
}
