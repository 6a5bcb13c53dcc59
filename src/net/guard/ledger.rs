//! Who took how much: connections at once, and amounts in time by leaky buckets (the generic cell rate algorithm), for each address, each
//! network, and all. Holds a bounded number of them.

use super::limit::Limit;
use super::{Ban, Config};
use ipnet::IpNet;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// Addresses and networks that are known at once. Beyond that, new ones count only among all: a flood from a million addresses
/// must not take our memory.
const KNOWN_MAX: usize = 65_536;
/// Time between two looks for those that can be forgotten.
const SWEEP: Duration = Duration::from_secs(1);

const WINDOWS: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(60 * 60)];

/// What one may take; 0: as much as it likes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    /// At once.
    pub connections: u64,
    pub minute: Amounts,
    pub hour: Amounts,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amounts {
    pub connections: u64,
    pub messages: u64,
    pub recipients: u64,
    pub bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    Connections,
    Messages,
    Recipients,
    Bytes,
}

impl What {
    const COUNT: usize = 4;

    fn limit(self) -> Limit {
        match self {
            Self::Connections => Limit::ConnectionRate,
            Self::Messages => Limit::Messages,
            Self::Recipients => Limit::Recipients,
            Self::Bytes => Limit::Bytes,
        }
    }

    /// A minute's, and an hour's.
    fn allowed(self, rates: &Rates) -> [u64; 2] {
        [rates.minute, rates.hour].map(|amounts| match self {
            Self::Connections => amounts.connections,
            Self::Messages => amounts.messages,
            Self::Recipients => amounts.recipients,
            Self::Bytes => amounts.bytes,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scope(usize);

impl Scope {
    pub fn name(self) -> &'static str {
        match self.0 {
            0 => "address",
            1 => "network",
            _ => "all",
        }
    }

    pub fn is_all(self) -> bool {
        self.0 > 1
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exceeded {
    pub limit: Limit,
    pub scope: Scope,
    /// The address or network; none: all.
    pub who: Option<IpNet>,
}

#[derive(Debug, Default)]
struct Entry {
    connections: u64,
    /// When each bucket will have run empty.
    empty: [[Duration; 2]; What::COUNT],
    offences: Duration,
    banned: Duration,
}

impl Entry {
    fn is_idle(&self, now: Duration) -> bool {
        self.connections == 0
            && self.empty.iter().flatten().all(|empty| *empty <= now)
            && self.offences <= now
            && self.banned <= now
    }

    /// The buckets of this, with what may be in each and how long that takes to run out.
    fn buckets(
        &mut self,
        what: What,
        rates: &Rates,
    ) -> impl Iterator<Item = (&mut Duration, u64, Duration)> {
        let buckets = self.empty.get_mut(what as usize).into_iter().flatten();
        let known = buckets.zip(what.allowed(rates)).zip(WINDOWS);
        known
            .map(|((empty, allowed), window)| (empty, allowed, window))
            .filter(|(_, allowed, _)| *allowed > 0)
    }

    fn has_room(&mut self, what: What, count: u64, rates: &Rates, now: Duration) -> bool {
        self.buckets(what, rates).all(|(empty, allowed, window)| {
            (*empty).max(now) + share(window, count, allowed) <= now + window
        })
    }

    fn take(&mut self, what: What, count: u64, rates: &Rates, now: Duration) {
        for (empty, allowed, window) in self.buckets(what, rates) {
            *empty = (*empty)
                .max(now)
                .saturating_add(share(window, count, allowed));
        }
    }
}

/// The part of the window that so many of the allowed take.
fn share(window: Duration, count: u64, allowed: u64) -> Duration {
    let nanos = window.as_nanos() * u128::from(count) / u128::from(allowed.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

pub(super) struct Ledger {
    rates: [Rates; 3],
    prefixes: (u8, u8),
    ban: Ban,
    known: HashMap<IpNet, Entry>,
    all: Entry,
    swept: Duration,
}

impl Ledger {
    pub fn new(config: &Config) -> Self {
        Self {
            rates: [config.address, config.network, config.all],
            prefixes: config.prefixes,
            ban: config.ban,
            known: HashMap::new(),
            all: Entry::default(),
            swept: Duration::ZERO,
        }
    }

    /// Who answers for what comes from there, as bans have it: an address of IPv4; a network of IPv6, of whose addresses anybody has more than
    /// could be counted.
    pub fn culprit(&self, address: IpAddr) -> IpNet {
        let [one, network] = self.keys(address);
        match address {
            IpAddr::V4(_) => one,
            IpAddr::V6(_) => network,
        }
    }

    fn keys(&self, address: IpAddr) -> [IpNet; 2] {
        let prefix = match address {
            IpAddr::V4(_) => self.prefixes.0,
            IpAddr::V6(_) => self.prefixes.1,
        };
        let one = IpNet::from(address);
        [
            one,
            IpNet::new(address, prefix).map_or(one, |net| net.trunc()),
        ]
    }

    /// What is known of the address, its network and all. With prefixes of all bits the network is the address itself, and counts once.
    fn each(
        &mut self,
        address: IpAddr,
        mut visit: impl FnMut(&mut Entry, &Rates, Scope) -> Result<(), (Limit, Scope)>,
    ) -> Result<(), (Limit, Scope)> {
        let [one, network] = self.keys(address);
        let keys = [
            Some(one),
            Some(network).filter(|network| *network != one),
            None,
        ];
        for (index, key) in keys.into_iter().enumerate() {
            let entry = match key {
                Some(key) => self.known.get_mut(&key),
                None if index == 2 => Some(&mut self.all),
                None => None,
            };
            if let (Some(entry), Some(rates)) = (entry, self.rates.get(index)) {
                visit(entry, rates, Scope(index))?;
            }
        }
        Ok(())
    }

    pub fn connect(&mut self, address: IpAddr, now: Duration) -> Result<(), Exceeded> {
        self.admit(address, now);
        let banned = |entry: &Entry| entry.banned > now;
        let checked = self.each(address, |entry, rates, scope| {
            if banned(entry) {
                Err((Limit::Banned, scope))
            } else if rates.connections > 0 && entry.connections >= rates.connections {
                Err((Limit::Connections, scope))
            } else if !entry.has_room(What::Connections, 1, rates, now) {
                Err((Limit::ConnectionRate, scope))
            } else {
                Ok(())
            }
        });
        checked.map_err(|exceeded| self.exceeded(exceeded, address))?;
        let _ = self.each(address, |entry, rates, _| {
            entry.connections += 1;
            entry.take(What::Connections, 1, rates, now);
            Ok(())
        });
        Ok(())
    }

    pub fn disconnect(&mut self, address: IpAddr) {
        let _ = self.each(address, |entry, _, _| {
            entry.connections = entry.connections.saturating_sub(1);
            Ok(())
        });
    }

    /// Takes it from all three, or from none.
    pub fn charge(
        &mut self,
        address: IpAddr,
        what: What,
        count: u64,
        now: Duration,
    ) -> Result<(), Exceeded> {
        let checked = self.each(address, |entry, rates, scope| {
            if !entry.has_room(what, count, rates, now) {
                return Err((what.limit(), scope));
            }
            // Nobody knows the size of a message before it is there: what was owed is looked at with the next.
            if what == What::Messages && !entry.has_room(What::Bytes, 1, rates, now) {
                return Err((Limit::Bytes, scope));
            }
            Ok(())
        });
        checked.map_err(|exceeded| self.exceeded(exceeded, address))?;
        self.owe(address, what, count, now);
        Ok(())
    }

    pub fn owe(&mut self, address: IpAddr, what: What, count: u64, now: Duration) {
        let _ = self.each(address, |entry, rates, _| {
            entry.take(what, count, rates, now);
            Ok(())
        });
    }

    pub fn is_banned(&self, address: IpAddr, now: Duration) -> bool {
        let known = self.known.get(&self.culprit(address));
        known.is_some_and(|entry| entry.banned > now)
    }

    /// Whether the address is banned by it.
    pub fn offence(&mut self, address: IpAddr, now: Duration) -> bool {
        let Ban {
            offences,
            within,
            lasts,
        } = self.ban;
        let culprit = self.culprit(address);
        let Some(entry) = self.known.get_mut(&culprit).filter(|_| offences > 0) else {
            return false;
        };
        entry.offences = entry.offences.max(now) + share(within, 1, offences);
        // The last that fits is the one that is too many: so often within that time, not once more.
        let full = entry.offences + share(within, 1, offences) > now + within;
        if full {
            entry.banned = now + lasts;
            entry.offences = now;
        }
        full
    }

    /// Makes the address and its network known, if there is room.
    fn admit(&mut self, address: IpAddr, now: Duration) {
        let full = self.known.len() + 2 > KNOWN_MAX;
        if full && now.saturating_sub(self.swept) >= SWEEP {
            self.swept = now;
            self.known.retain(|_, entry| !entry.is_idle(now));
        }
        if self.known.len() + 2 <= KNOWN_MAX {
            for key in self.keys(address) {
                self.known.entry(key).or_default();
            }
        }
    }

    fn exceeded(&self, (limit, scope): (Limit, Scope), address: IpAddr) -> Exceeded {
        let who = self.keys(address).get(scope.0).copied();
        Exceeded { limit, scope, who }
    }
}
