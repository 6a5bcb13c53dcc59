//! wasmilter: a mail pipeline whose filters are sandboxed WebAssembly components.

pub mod accept;
pub mod admin;
mod allocator;
pub mod app;
pub mod auth;
pub mod chain;
pub mod cli;
pub mod config;
pub mod deliver;
pub mod dns;
pub mod ingress;
pub mod kit;
pub mod kv;
pub mod mail;
pub mod mailbox;
pub mod metrics;
pub mod milter;
pub mod net;
pub mod plugin;
mod private;
pub mod proto;
pub mod store;
pub mod verify;
