//! Sockets: listeners, TLS, and the driver that runs a protocol core over a connection. Speaks no protocol itself.
