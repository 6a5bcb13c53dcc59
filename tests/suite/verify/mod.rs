//! Sender authentication against a real DNS server, and with published test sets.

pub mod checks;
mod pipeline;
mod published;
mod spf;
