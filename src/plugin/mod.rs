//! The plugin host: loads WASM components as filters, runs them in their bounds, swaps generations. Knows nothing of where mail goes.

mod abi;
mod body_edits;
mod calls;
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
mod outgoing;
mod output;
mod run;
mod service;
mod services;
mod snapshot;
mod state;
mod watch;
mod web;

pub use component::{LoadError, LoadTime};
pub use digest::Digest;
pub use engine::EngineError;
pub use generation::{Generation, PluginState, PluginStatus};
pub use inspect::{Inspection, inspect};
pub use limits::Limits;
pub use manifest::{Manifest, ManifestError};
pub use outgoing::{HostPort, HttpPolicy};
pub use run::{Cost, Input, Loaded, Ran, RunError, load_path, run_file};
pub use service::{Config, Host, StartError, StatusFile, Watching};
pub use services::{Dns, Http, HttpBody, HttpError, Services};
pub use web::Web;
