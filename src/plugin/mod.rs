//! The plugin host: loads WASM components as filters, runs them in their bounds, swaps generations. Knows nothing of where mail goes.

pub mod embedded;
