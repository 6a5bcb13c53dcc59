//! The MIME structure of a message, and its parts decoded by range, with bounded memory.
//! Changes nothing and builds nothing.

mod charset;
mod entity;
mod fields;
mod parts;
mod reader;
mod scan;
mod structured;
mod transfer;

pub(super) use charset::Charset;
pub(super) use transfer::decode_base64;

pub use entity::{Disposition, Entity, Inside, Parameter, TransferEncoding};
pub use parts::{Mime, PartError};
pub use reader::MAX_READ;
pub use scan::{MAX_DEPTH, MAX_ENTITIES, scan};

#[cfg(test)]
mod tests;
