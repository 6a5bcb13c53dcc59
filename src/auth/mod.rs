//! The directory: whose mailbox an address is, and whether a password is right. Keeps no data of its own: accounts are in the store.

mod directory;
mod password;

pub use directory::{Config, Directory, Found};
pub use password::{PasswordError, hash};
