//! Lines for the server's log and the journal, 16 KiB and 200 lines in all for one transaction; what exceeds them is dropped and counted.

use crate::bindings::log::{self, Level};

pub fn debug(text: impl AsRef<str>) {
    log::write(Level::Debug, text.as_ref());
}

pub fn info(text: impl AsRef<str>) {
    log::write(Level::Info, text.as_ref());
}

pub fn warn(text: impl AsRef<str>) {
    log::write(Level::Warn, text.as_ref());
}

pub fn error(text: impl AsRef<str>) {
    log::write(Level::Error, text.as_ref());
}
