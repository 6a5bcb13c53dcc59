//! Write wasmilter filters in Rust.
//!
//! ```
//! use wasmilter_sdk::{Verdict, export, header, score};
//!
//! export!(message = check);
//!
//! fn check() -> Verdict {
//!     if header::get("Subject").iter().any(|s| s.contains("casino")) {
//!         score::add("CASINO", 4.0, "the subject names a casino");
//!     }
//!     Verdict::Continue
//! }
//! ```
//!
//! In `Cargo.toml`: `crate-type = ["cdylib"]` under `[lib]`, this crate as a dependency. Then
//! `cargo build --release --target wasm32-wasip2`, and copy the `.wasm` into the plugin directory.
//!
//! The modules are the abilities of the contract (`sdk/wit/filter.wit`). A filter's file asks for the abilities that it
//! calls and for no other. "The message" is always the message of the transaction in hand. Lengths are in octets.
//!
//! A panic, an endless loop or more memory than allowed ends the filter for this transaction; its `on-error` applies and
//! none of its edits count. What a filter prints to standard output or error goes to its log.

#[doc(hidden)]
pub mod bindings;
pub mod body;
pub mod config;
pub mod dns;
pub mod envelope;
mod export;
pub mod filing;
pub mod header;
pub mod http;
pub mod kv;
pub mod log;
pub mod metrics;
pub mod results;
pub mod route;
pub mod score;
pub mod session;
mod state;
pub mod tags;
mod verdict;

pub use bindings::moved::Change;
pub use bindings::outcome::{Outcome, What};
pub use bindings::types::{Refusal, Reply, Verdict};
pub use export::Answer;
pub use state::State;
#[doc(hidden)]
pub use state::make_room;
pub use verdict::Asked;

/// The versions that this crate works with.
#[doc(no_inline)]
pub use {serde, serde_json};
