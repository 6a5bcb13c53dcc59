//! The plugin host: loads WASM components as filters, runs them in their bounds, swaps generations. Knows nothing of where mail goes.

mod abi;
mod component;
mod digest;
pub mod embedded;
mod engine;
mod filter;
mod generation;
mod guest;
mod inspect;
mod limits;
mod loader;
mod manifest;
mod output;
mod run;
mod service;
mod snapshot;
mod state;
mod watch;

pub use component::{LoadError, LoadTime};
pub use digest::Digest;
pub use engine::EngineError;
pub use generation::{Generation, PluginState, PluginStatus};
pub use inspect::{Inspection, inspect};
pub use limits::Limits;
pub use manifest::{Manifest, ManifestError};
pub use run::{Input, Loaded, RunError, load_path};
pub use service::{Config, Host, StartError, StatusFile, Watching};
