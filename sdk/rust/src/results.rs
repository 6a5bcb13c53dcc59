//! What is known about the message so far.

use crate::bindings::results;
pub use crate::bindings::results::{AuthenticationResult, Symbol};

/// Results of sender authentication (RFC 8601 §2.2).
pub fn authentication() -> Vec<AuthenticationResult> {
    results::authentication()
}

/// The symbols given so far, by earlier filters and by this one.
pub fn symbols() -> Vec<Symbol> {
    results::symbols()
}

/// The sum of the points of [`symbols`].
pub fn score() -> f32 {
    symbols().iter().map(|symbol| symbol.score).sum()
}
