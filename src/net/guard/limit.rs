//! The limits by name, and how often each was hit.
//! Decides nothing.

use std::sync::atomic::{AtomicU64, Ordering};

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
    Memory,
    Disk,
}

impl Limit {
    pub const ALL: [Self; 12] = [
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
            Self::Memory => "memory",
            Self::Disk => "disk",
        }
    }

    /// Whether it is something that an honest client doesn't do. A slow one may just have a bad line.
    pub(super) fn is_offence(self) -> bool {
        matches!(self, Self::Commands | Self::Errors | Self::EarlyTalk)
    }
}

#[derive(Debug, Default)]
pub struct Counters([AtomicU64; Limit::ALL.len()]);

impl Counters {
    pub fn get(&self, limit: Limit) -> u64 {
        self.0
            .get(limit as usize)
            .map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// How often it was hit by now.
    pub(super) fn count(&self, limit: Limit) -> u64 {
        self.0
            .get(limit as usize)
            .map_or(0, |counter| counter.fetch_add(1, Ordering::Relaxed) + 1)
    }
}
