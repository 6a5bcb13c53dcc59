//! Sockets: listeners, streams, TLS, and the reading side of a driver that runs a protocol core over a connection.
//! Speaks no protocol itself.

pub mod acme;
pub mod guard;
pub mod http;

mod access;
mod connect;
mod input;
mod listener;
#[cfg(test)]
mod logged;
mod networks;
mod pressing;
mod proxy;
mod quiet;
mod stream;
mod tls;
mod workers;

pub use access::{Access, Owner, OwnerError};
pub use connect::{Remote, RemoteError, TlsClient};
pub use input::Input;
pub use listener::{BindError, Endpoint, EndpointError, Limits, Listener};
pub use networks::Networks;
pub use proxy::Proxies;
pub use quiet::Quiet;
pub use stream::{Peer, Stream};
pub use tls::{Asked, Authorities, Certificates, Origin, Pair, Tls, TlsError};
pub use workers::{Place, Workers};
