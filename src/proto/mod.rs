//! Protocol cores as sans-I/O state machines: octets and answers in, events and octets out. No sockets, no clock, no configuration.

pub mod imap;
pub mod milter;
pub mod proxy;
pub mod smtp;
