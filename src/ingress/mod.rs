//! The ways in: each turns the events of a protocol core into calls of `accept`.
