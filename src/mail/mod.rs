//! The vocabulary of mail that every other module speaks: addresses, envelopes, messages, edits, verdicts, journals.
//! No sockets, no storage, no WASM, no configuration.

mod address;
pub mod address_list;
mod clock;
mod content;
mod edit;
mod envelope;
mod field_value;
mod filter;
mod header;
mod id;
mod journal;
mod mailbox_name;
mod message;
pub mod mime;
mod new_body;
mod quarantine;
mod reply;
mod session;
mod tags;
mod text;
mod unstructured;
mod verdict;

pub use address::{Address, AddressError, ReversePath, domain_in_unicode, split_route};
pub use clock::{Clock, SystemClock};
pub use content::{Content, ContentBuilder, Insert, Splice};
pub use edit::{BodyEdit, Edit, EnvelopeEdit, HeaderEdit, NewOctets, Scope, Scoped};
pub use envelope::{Body, Envelope, Recipient, Ret};
pub use field_value::{FieldValue, Written};
pub use filter::{
    Became, Call, Failure, FailureKind, Filter, FilterInfo, FilterRun, Hook, Hooks, Mode, Moved,
    OnError, Outcome, Uses, View, What,
};
pub use header::{Field, FieldChange, Header};
pub use id::TransactionId;
pub use journal::{Disposition, HostCall, Journal, LogLine, Turn, Where};
pub use mailbox_name::{MailboxName, MailboxNameError};
pub use message::Message;
pub use quarantine::{Aside, Departure, Entry, Held, Release, Released, Stop};
pub use reply::{EnhancedCode, Replies, Reply};
pub use session::{How, Session, Tls, Via};
pub use tags::{Tag, Tags};
pub use text::{FieldName, Line, TextError};
pub use verdict::{AuthenticationResult, Symbol, Verdict};
