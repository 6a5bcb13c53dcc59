//! Text of header fields, written and read.
//! Fields with a structure of their own are not known here.

mod read;
mod write;

pub(super) use read::read;
pub(super) use write::write;

#[cfg(test)]
mod tests;
