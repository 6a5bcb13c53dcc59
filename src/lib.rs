//! wasmilter: a mail pipeline whose filters are sandboxed WebAssembly components.

pub mod mail;
pub mod store;
