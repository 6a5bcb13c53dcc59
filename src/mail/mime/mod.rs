//! The MIME structure of a message, its parts decoded by range, with bounded memory, and what changes of parts mean in octets.
//! Changes nothing itself.

mod charset;
mod encode;
mod entity;
mod fields;
mod media_type;
mod parts;
mod reader;
mod rebuild;
mod scan;
mod structured;
mod transfer;

pub(super) use charset::Charset;
pub(super) use transfer::decode_base64;

pub use encode::{crlf, encode};
pub use entity::{Disposition, Entity, Inside, Parameter, TransferEncoding};
pub use media_type::MediaType;
pub use parts::{Mime, PartError};
pub use reader::MAX_READ;
pub(super) use rebuild::{NewPart, rebuild};
pub use scan::{MAX_DEPTH, MAX_ENTITIES, scan};

#[cfg(test)]
mod tests;
