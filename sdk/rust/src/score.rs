//! Spam scores. The policy adds the points of all symbols up.

use crate::Asked;
use crate::bindings::score;

/// Attach a symbol: a name (A-Z, 0-9 and _, 64 at the most), points (-1000 to 1000; below zero speaks for the message) and
/// a reason for people to read.
pub fn add(name: &str, points: f32, reason: &str) -> Asked {
    score::add(name, points, reason).into()
}
