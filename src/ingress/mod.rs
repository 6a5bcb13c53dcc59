//! The ways in: each turns the events of a protocol core into calls of `accept`.
//! They decide nothing about mail.

mod changes;
mod door;
mod facts;
mod handover;
pub mod hooks;
pub mod milter;
pub mod rspamd;
pub mod smtp;
mod staging;
pub mod web;
