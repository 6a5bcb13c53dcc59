//! Header fields of the message, as they stand after the edits of earlier filters and of this one. None before `message`.
//!
//! Values are given as plain text on one line: the host folds them and encodes what is not ASCII (RFC 2047). A value with
//! CR, LF or NUL is refused. Functions that end in `_for` are for some recipients of the envelope only.

use crate::Asked;
pub use crate::bindings::header::Field;
use crate::bindings::types::Scope;
use crate::bindings::{header, header_edit};
use crate::verdict::only;

/// The values of the fields of this name (case ignored), unfolded, trimmed and decoded, in order.
pub fn get(name: &str) -> Vec<String> {
    header::get(name)
}

/// The value of the first field of this name.
pub fn first(name: &str) -> Option<String> {
    get(name).into_iter().next()
}

/// All fields, undecoded, in order. Copies the header: ask with [`get`] for single fields.
pub fn fields() -> Vec<Field> {
    header::fields()
}

/// Append a field at the end of the header.
pub fn add(name: &str, value: &str) -> Asked {
    header_edit::add(name, value, &Scope::All).into()
}

pub fn add_for(recipients: &[&str], name: &str, value: &str) -> Asked {
    header_edit::add(name, value, &only(recipients)).into()
}

/// Insert a field before the field at this index, counted from 0; past the end appends.
pub fn insert(at: u32, name: &str, value: &str) -> Asked {
    header_edit::insert(at, name, value, &Scope::All).into()
}

pub fn insert_for(recipients: &[&str], at: u32, name: &str, value: &str) -> Asked {
    header_edit::insert(at, name, value, &only(recipients)).into()
}

/// Replace the value of the `nth` field of that name, counted from 1 from the top.
pub fn change(name: &str, nth: u32, value: &str) -> Asked {
    header_edit::change(name, nth, value, &Scope::All).into()
}

pub fn change_for(recipients: &[&str], name: &str, nth: u32, value: &str) -> Asked {
    header_edit::change(name, nth, value, &only(recipients)).into()
}

/// Remove the `nth` field of that name, counted from 1 from the top.
pub fn remove(name: &str, nth: u32) -> Asked {
    header_edit::remove(name, nth, &Scope::All).into()
}

pub fn remove_for(recipients: &[&str], name: &str, nth: u32) -> Asked {
    header_edit::remove(name, nth, &only(recipients)).into()
}
