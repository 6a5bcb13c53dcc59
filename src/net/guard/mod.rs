//! Abuse control: how much one address, one network and all clients together may take, who is banned, and when the machine has no room.
//! Says yes, or no with a reply; reads no sockets, and waits for nothing but the tarpit's time.

mod ledger;
mod limit;
mod pace;
mod resources;
#[cfg(test)]
mod tests;

pub use ledger::{Amounts, Rates};
pub use limit::{Counters, Limit};
pub use pace::{Pace, Slowest};
use resources::Machine;
pub use resources::{Resources, Room, System, default_memory};

use super::{Networks, Peer, Quiet};
use crate::mail::{EnhancedCode, Reply};
use crate::metrics::Registry;
use ipnet::IpNet;
use ledger::{Exceeded, Ledger, What};
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// For errors that came together; a client that waits for minutes gives up, and comes again.
const TARPIT_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
pub struct Config {
    /// Who is not counted. The machine's room and the slowest pace hold for them too.
    pub exempt: Networks,
    /// What is one network: that many bits of an IPv4 and of an IPv6 address.
    pub prefixes: (u8, u8),
    pub address: Rates,
    pub network: Rates,
    pub all: Rates,
    pub ban: Ban,
    /// Time before the greeting in which a client must not speak; none: it is not waited.
    pub greeting_delay: Duration,
    /// Time before the reply to each error behind the first few.
    pub tarpit: Duration,
    pub tarpit_after: u32,
    pub slowest: Slowest,
    pub room: Room,
}

/// An address, or an IPv6 network, that offends that often within that time is turned away for so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ban {
    /// 0: nobody is banned.
    pub offences: u64,
    pub within: Duration,
    pub lasts: Duration,
}

impl Default for Config {
    /// What no honest sender to a server of a few thousand people reaches. Large senders come from many addresses of many networks.
    fn default() -> Self {
        Self {
            exempt: Networks::loopback(),
            prefixes: (24, 64),
            address: Rates {
                connections: 50,
                minute: Amounts {
                    connections: 300,
                    messages: 1_000,
                    recipients: 5_000,
                    bytes: 0,
                },
                hour: Amounts::default(),
            },
            network: Rates {
                connections: 200,
                minute: Amounts {
                    connections: 1_200,
                    messages: 4_000,
                    recipients: 20_000,
                    bytes: 0,
                },
                hour: Amounts::default(),
            },
            all: Rates::default(),
            ban: Ban {
                offences: 5,
                within: Duration::from_secs(10 * 60),
                lasts: Duration::from_secs(10 * 60),
            },
            greeting_delay: Duration::ZERO,
            tarpit: Duration::from_secs(1),
            tarpit_after: 5,
            slowest: Slowest::default(),
            room: Room::default(),
        }
    }
}

/// Time since some moment, never going back.
pub type Ticks = Arc<dyn Fn() -> Duration + Send + Sync>;

/// One for all listeners.
pub struct Guard {
    config: Config,
    ledger: Mutex<Ledger>,
    machine: Machine,
    counters: Counters,
    /// Of limits by name: those that one address or network reached, and those that hold for all.
    quiet: Quiet<(IpNet, &'static str)>,
    quiet_for_all: Quiet<&'static str>,
    ticks: Ticks,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").finish_non_exhaustive()
    }
}

impl Guard {
    /// `resources`: where the machine's room is read off; none: it is not watched.
    pub fn new(config: Config, resources: Option<Box<dyn Resources>>) -> Self {
        let start = Instant::now();
        Self::with_ticks(config, resources, Arc::new(move || start.elapsed()))
    }

    /// With a time of the caller's.
    pub fn with_ticks(config: Config, resources: Option<Box<dyn Resources>>, ticks: Ticks) -> Self {
        Self {
            ledger: Mutex::new(Ledger::new(&config)),
            machine: Machine::new(config.room, resources),
            config,
            counters: Counters::default(),
            quiet: Quiet::default(),
            quiet_for_all: Quiet::default(),
            ticks,
        }
    }

    /// The same, its limits shown as those of that protocol.
    pub fn counted(self, metrics: &Registry, protocol: &'static str) -> Self {
        Self {
            counters: Counters::of(metrics, protocol),
            ..self
        }
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// How often each limit was hit.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// A connection from there begins; it ends when the ticket is dropped.
    pub fn connect(self: &Arc<Self>, peer: Peer) -> Result<Ticket, Reply> {
        let now = (self.ticks)();
        if self.machine.lacks_memory(now) {
            return Err(self.no_room(Limit::Memory, peer.ip()));
        }
        let who = peer
            .ip()
            .filter(|address| !self.config.exempt.contains(*address));
        if let Some(address) = who {
            let connected = self.ledger().connect(address, now);
            connected.map_err(|exceeded| self.exceeded(exceeded, address))?;
        }
        Ok(Ticket {
            guard: Arc::clone(self),
            peer: peer.ip(),
            who,
        })
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        // Nothing is half done in there that matters: counts.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the log was not told of it for a while.
    fn is_news(&self, who: Option<IpNet>, limit: &'static str) -> bool {
        let now = (self.ticks)();
        match who {
            Some(who) => self.quiet.is_over_at((who, limit), now),
            None => self.quiet_for_all.is_over_at(limit, now),
        }
    }

    fn exceeded(&self, exceeded: Exceeded, address: IpAddr) -> Reply {
        let Exceeded { limit, scope, who } = exceeded;
        self.counters.count(limit);
        if self.is_news(who, limit.name()) {
            tracing::info!(limit = limit.name(), of = scope.name(), client = %address, "limit reached");
        }
        let (code, enhanced, text) = match limit {
            Limit::Banned => (
                421,
                EnhancedCode(4, 7, 0),
                "Too many offences from your address; try again later",
            ),
            Limit::Connections if scope.is_all() => (
                421,
                EnhancedCode(4, 3, 2),
                "Too many connections; try again later",
            ),
            Limit::Connections | Limit::ConnectionRate => (
                421,
                EnhancedCode(4, 7, 0),
                "Too many connections from your address or network; try again later",
            ),
            _ => (
                450,
                EnhancedCode(4, 7, 1),
                "Too much mail from your address or network; try again later",
            ),
        };
        Reply::new(code, enhanced, text)
    }

    fn no_room(&self, limit: Limit, client: Option<IpAddr>) -> Reply {
        self.tell_no_room(limit, client);
        match limit {
            Limit::Memory => Reply::new(
                421,
                EnhancedCode(4, 3, 2),
                "The server is busy; try again later",
            ),
            _ => Reply::new(
                452,
                EnhancedCode(4, 3, 1),
                "No room for new mail; try again later",
            ),
        }
    }

    fn tell_no_room(&self, limit: Limit, client: Option<IpAddr>) {
        self.counters.count(limit);
        if self.is_news(None, limit.name()) {
            let client = client.map(tracing::field::display);
            tracing::warn!(limit = limit.name(), client, "no room for new mail");
        }
    }
}

/// A connection that was let in.
#[derive(Debug)]
pub struct Ticket {
    guard: Arc<Guard>,
    peer: Option<IpAddr>,
    /// None: exempt.
    who: Option<IpAddr>,
}

impl Ticket {
    pub fn is_exempt(&self) -> bool {
        self.who.is_none()
    }

    pub fn guard(&self) -> &Arc<Guard> {
        &self.guard
    }

    /// MAIL.
    pub fn mail(&self) -> Result<(), Reply> {
        let now = (self.guard.ticks)();
        for (lacks, limit) in [
            (self.guard.machine.lacks_disk(now), Limit::Disk),
            (self.guard.machine.lacks_memory(now), Limit::Memory),
        ] {
            if lacks {
                return Err(self.guard.no_room(limit, self.peer));
            }
        }
        self.charge(What::Messages, 1)
    }

    pub fn recipient(&self) -> Result<(), Reply> {
        self.charge(What::Recipients, 1)
    }

    /// A message of that size came. What is too much counts against the next.
    pub fn bytes(&self, count: u64) {
        if let Some(address) = self.who {
            let now = (self.guard.ticks)();
            self.guard.ledger().owe(address, What::Bytes, count, now);
        }
    }

    fn charge(&self, what: What, count: u64) -> Result<(), Reply> {
        let Some(address) = self.who else {
            return Ok(());
        };
        let now = (self.guard.ticks)();
        let charged = self.guard.ledger().charge(address, what, count, now);
        charged.map_err(|exceeded| self.guard.exceeded(exceeded, address))
    }

    /// This session went over a limit of its own. Enough of that, and the address is banned.
    pub fn offence(&self, limit: Limit) {
        self.guard.counters.count(limit);
        self.log(limit.name());
        if limit.is_offence() {
            self.offend();
        }
    }

    /// What was refused is about a limit that is kept elsewhere: of a message, or a command.
    pub fn tell(&self, limit: &'static str) {
        self.guard.counters.other(limit);
        self.log(limit);
    }

    fn log(&self, limit: &'static str) {
        let who = self
            .peer
            .map(|address| self.guard.ledger().culprit(address));
        if self.guard.is_news(who, limit) {
            let client = self.peer.map(tracing::field::display);
            tracing::info!(limit, of = "session", client, "limit reached");
        }
    }

    /// Whether the disk has room for more: the last of it is for deleting.
    pub fn has_disk(&self) -> bool {
        let lacks = self.guard.machine.lacks_disk((self.guard.ticks)());
        if lacks {
            self.guard.tell_no_room(Limit::Disk, self.peer);
        }
        !lacks
    }

    /// Whether offences of other connections have got the address banned since this one was let in.
    pub fn is_banned(&self) -> bool {
        let now = (self.guard.ticks)();
        let banned = |address: IpAddr| self.guard.ledger().is_banned(address, now);
        let banned = self.who.is_some_and(banned);
        if banned {
            self.guard.counters.count(Limit::Banned);
        }
        banned
    }

    /// Somebody did not know a password. Whether the address is banned by that.
    pub fn failed_login(&self) -> bool {
        self.guard.counters.count(Limit::FailedLogins);
        self.offend()
    }

    fn offend(&self) -> bool {
        let now = (self.guard.ticks)();
        let offended = |address: &IpAddr| self.guard.ledger().offence(*address, now);
        let banned = self.who.filter(offended);
        if let Some(address) = banned {
            let seconds = self.guard.config.ban.lasts.as_secs();
            tracing::info!(client = %address, seconds, "banned");
        }
        banned.is_some()
    }

    /// Lets a client that makes many errors wait for the answer to each: to those since there were `before` of them, which it may have sent
    /// in one go.
    pub async fn tarpit(&self, before: u32, errors: u32) {
        let config = &self.guard.config;
        let many = errors.saturating_sub(before.max(config.tarpit_after));
        if many > 0 && !self.is_exempt() {
            tokio::time::sleep((config.tarpit * many).min(TARPIT_MAX.max(config.tarpit))).await;
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(address) = self.who {
            self.guard.ledger().disconnect(address);
        }
    }
}
