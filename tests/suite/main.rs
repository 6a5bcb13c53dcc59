//! Black-box suites over real sockets, one module each, in one program (it links once).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]
mod body;
mod cases;
mod cli;
mod control;
mod corpus;
mod crash;
mod demo;
mod front;
mod grants;
mod hooks;
mod idn;
mod imap;
mod imports;
mod kit;
mod milter;
mod nexthop;
mod plugins;
mod private;
mod quarantine;
mod rspamd;
mod smtp;
mod store;
mod support;
mod verify;
mod ways;
