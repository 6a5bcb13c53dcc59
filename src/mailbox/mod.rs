//! The IMAP server: drives `proto::imap` over the store.
