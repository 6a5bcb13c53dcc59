//! The SMTP session that the transaction belongs to. Available at every hook but `load`.

use crate::bindings::session;

/// This server's name, as in its greeting.
pub fn server_name() -> String {
    session::server_name()
}

/// The client's IP address, such as "192.0.2.1" or "2001:db8::1"; empty where there is none (a local socket, a file).
pub fn client_address() -> String {
    session::client_address()
}

/// The client's verified host name (RFC 8601 §2.7.3), if it has one.
pub fn client_name() -> Option<String> {
    session::client_name()
}

/// The name that the client gave at EHLO, HELO or LHLO; empty before it.
pub fn helo() -> String {
    session::helo()
}

/// How the message came: "SMTP", "ESMTP", "ESMTPS", "LMTP" … (RFC 3848).
pub fn protocol() -> String {
    session::protocol()
}

/// TLS version and cipher suite, such as "TLSv1.3 TLS13_AES_256_GCM_SHA384"; none on a plain connection.
pub fn tls() -> Option<String> {
    session::tls()
}

/// Whose certificate the client showed and the server verified: a mail address, a domain or a common name; none without one.
pub fn client_certificate() -> Option<String> {
    session::client_certificate()
}

/// The account that the client authenticated as, if it did.
pub fn authenticated() -> Option<String> {
    session::authenticated()
}

/// The transaction's identifier, as in the log and in the reply to DATA. Empty before MAIL.
pub fn transaction() -> String {
    session::transaction()
}
