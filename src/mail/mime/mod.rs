//! The MIME structure of a message, and its parts decoded by range, with bounded memory.
//! Changes nothing and builds nothing.

mod entity;
mod fields;
mod scan;

pub use entity::{Disposition, Entity, Inside, Parameter, TransferEncoding};
pub use scan::{MAX_DEPTH, MAX_ENTITIES, scan};

#[cfg(test)]
mod tests;
