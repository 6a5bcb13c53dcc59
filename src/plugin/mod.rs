//! The plugin host: loads WASM components as filters, runs them in their bounds, swaps generations. Knows nothing of where mail goes.

mod abi;
mod component;
mod digest;
pub mod embedded;
mod engine;
mod filter;
mod guest;
mod limits;
mod manifest;
mod output;
mod snapshot;
mod state;

pub use component::LoadError;
pub use digest::Digest;
pub use engine::EngineError;
pub use limits::Limits;
pub use manifest::{Manifest, ManifestError};
