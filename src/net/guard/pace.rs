//! How slowly a client may send: a grace, and from there a least rate.
//! Only time that we waited for it counts, not time that it waited for us.

use std::time::Duration;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slowest {
    /// Octets a second; 0: as slowly as it likes.
    pub rate: u64,
    /// Time that a message may be slower than that.
    pub grace: Duration,
    /// Time for a whole command.
    pub command: Duration,
}

impl Default for Slowest {
    fn default() -> Self {
        Self {
            // A modem of 1990 is faster.
            rate: 100,
            grace: Duration::from_secs(60),
            // RFC 5321 §4.5.3.2.7
            command: Duration::from_secs(5 * 60),
        }
    }
}

/// Of one command, or one message.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pace {
    waited: Duration,
    octets: u64,
}

impl Pace {
    pub fn add(&mut self, octets: usize, waited: Duration) {
        self.octets += octets as u64;
        self.waited += waited;
    }

    /// How long the next octets of a message may take.
    pub fn of_message(&self, slowest: Slowest) -> Duration {
        match self.octets.checked_div(slowest.rate) {
            None => Duration::MAX,
            Some(seconds) => {
                (slowest.grace + Duration::from_secs(seconds)).saturating_sub(self.waited)
            }
        }
    }

    /// How long the next octets of a command may take.
    pub fn of_command(&self, slowest: Slowest) -> Duration {
        slowest.command.saturating_sub(self.waited)
    }
}
