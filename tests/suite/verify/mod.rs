//! Sender authentication against a real DNS server, and with published test sets.

mod checks;
mod pipeline;
mod published;
