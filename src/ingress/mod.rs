//! The ways in: each turns the events of a protocol core into calls of `accept`.
//! They decide nothing about mail.

mod door;
mod handover;
pub mod milter;
pub mod smtp;
mod staging;
