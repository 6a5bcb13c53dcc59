//! Lines of the log that others can provoke as often as they like: the same one comes once a minute.
//! Writes none.

use super::Peer;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_secs(60);
/// Known at once. Of more nothing is said, until some are forgotten: a flood must fill neither log nor memory.
const KNOWN_MAX: usize = 10_000;
/// Time between two looks for those that can be forgotten.
const SWEEP: Duration = Duration::from_secs(1);

/// What was said lately, by what it is about.
#[derive(Debug)]
pub struct Quiet<K> {
    start: Instant,
    lately: Mutex<Lately<K>>,
}

#[derive(Debug)]
struct Lately<K> {
    until: HashMap<K, Duration>,
    swept: Duration,
}

impl<K> Default for Quiet<K> {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            lately: Mutex::new(Lately {
                until: HashMap::new(),
                swept: Duration::ZERO,
            }),
        }
    }
}

impl Quiet<Option<IpAddr>> {
    /// Of a client, or of its network where anybody has as many addresses as they like.
    pub fn is_over_for(&self, peer: Peer) -> bool {
        self.is_over(peer.ip().map(|address| match address.to_canonical() {
            IpAddr::V6(six) => Ipv6Addr::from_bits(six.to_bits() >> 64 << 64).into(),
            four => four,
        }))
    }
}

impl<K: Eq + Hash> Quiet<K> {
    /// Whether this was not said for a while. It is now.
    pub fn is_over(&self, about: K) -> bool {
        self.is_over_at(about, self.start.elapsed())
    }

    /// By a time of the caller's, which never goes back.
    pub fn is_over_at(&self, about: K, now: Duration) -> bool {
        let mut lately = self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(until) = lately.until.get_mut(&about) {
            let over = *until <= now;
            if over {
                *until = now + PAUSE;
            }
            return over;
        }
        if lately.until.len() >= KNOWN_MAX && now.saturating_sub(lately.swept) >= SWEEP {
            lately.swept = now;
            lately.until.retain(|_, until| *until > now);
        }
        let room = lately.until.len() < KNOWN_MAX;
        if room {
            lately.until.insert(about, now + PAUSE);
        }
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_once_a_minute_and_a_flood_is_not() {
        let quiet = Quiet::default();
        let at = Duration::from_secs;
        assert!(quiet.is_over_at(0, at(1)) && quiet.is_over_at(1, at(1)));
        assert!(!quiet.is_over_at(0, at(60)) && !quiet.is_over_at(1, at(60)));
        assert!(quiet.is_over_at(0, at(61)) && !quiet.is_over_at(0, at(62)));
        let said = (0..20_000).filter(|one| quiet.is_over_at(*one, at(70)));
        assert_eq!(said.count(), KNOWN_MAX - 1);
        assert!(quiet.is_over_at(20_000, at(130)));
    }
}
