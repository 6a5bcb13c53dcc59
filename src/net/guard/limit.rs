//! The limits by name, and how often each was hit.
//! Decides nothing.

use crate::metrics::Registry;
use prometheus_client::metrics::counter::Counter;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    Connections,
    ConnectionRate,
    Messages,
    Recipients,
    Bytes,
    Banned,
    Commands,
    Errors,
    EarlyTalk,
    Slow,
    FailedLogins,
    Memory,
    Disk,
}

impl Limit {
    pub const ALL: [Self; 13] = [
        Self::Connections,
        Self::ConnectionRate,
        Self::Messages,
        Self::Recipients,
        Self::Bytes,
        Self::Banned,
        Self::Commands,
        Self::Errors,
        Self::EarlyTalk,
        Self::Slow,
        Self::FailedLogins,
        Self::Memory,
        Self::Disk,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::ConnectionRate => "connection-rate",
            Self::Messages => "messages",
            Self::Recipients => "recipients",
            Self::Bytes => "bytes",
            Self::Banned => "banned",
            Self::Commands => "commands",
            Self::Errors => "errors",
            Self::EarlyTalk => "early-talk",
            Self::Slow => "slow",
            Self::FailedLogins => "failed-logins",
            Self::Memory => "memory",
            Self::Disk => "disk",
        }
    }

    /// Whether it is something that an honest client doesn't do. A slow one may just have a bad line.
    pub(super) fn is_offence(self) -> bool {
        matches!(
            self,
            Self::Commands | Self::Errors | Self::EarlyTalk | Self::FailedLogins
        )
    }
}

#[derive(Debug, Default)]
pub struct Counters {
    own: [Counter; Limit::ALL.len()],
    /// Where the others are counted, and for which protocol.
    shown: Option<(Registry, &'static str)>,
}

impl Counters {
    /// Those that are shown for this protocol.
    pub(super) fn of(metrics: &Registry, protocol: &'static str) -> Self {
        Self {
            own: Limit::ALL.map(|limit| metrics.limit(protocol, limit.name())),
            shown: Some((metrics.clone(), protocol)),
        }
    }

    /// One that is kept elsewhere.
    pub(super) fn other(&self, limit: &'static str) {
        if let Some((metrics, protocol)) = &self.shown {
            metrics.limit(protocol, limit).inc();
        }
    }

    pub fn get(&self, limit: Limit) -> u64 {
        self.own.get(limit as usize).map_or(0, Counter::get)
    }

    pub(super) fn count(&self, limit: Limit) {
        if let Some(counter) = self.own.get(limit as usize) {
            counter.inc();
        }
    }
}
