//! What a mail server says of its client and of the envelope, in our words. Believes it: whoever can connect is a mail server of ours.

use crate::ingress::facts::{self, Named};
use crate::mail::{AddressError, Envelope, Session, Tls};
use crate::proto::milter::{Connect, Family, Macros, Path};
use std::net::IpAddr;

/// The session as it is known so far.
pub fn session(macros: &Macros, connect: Option<&Connect>, helo: &str, hostname: &str) -> Session {
    let tls = macros.get("tls_version").map(|version| Tls {
        version: version.to_owned(),
        cipher: macros.get("cipher").unwrap_or_default().to_owned(),
        // `cert_subject` is there too for certificates that could not be verified.
        client: None,
    });
    let authenticated = macros.get("auth_authen").map(str::to_owned);
    Session {
        server_name: macros.get("j").unwrap_or(hostname).to_owned(),
        client_address: client_address(macros, connect),
        client_name: client_name(macros, connect),
        helo: helo.to_owned(),
        protocol: protocol(macros.get("r"), tls.is_some(), authenticated.is_some()),
        tls,
        authenticated,
        auth_mechanism: macros.get("auth_type").map(str::to_owned),
        ..Session::default()
    }
}

fn client_address(macros: &Macros, connect: Option<&Connect>) -> Option<IpAddr> {
    if let Some(Connect {
        family: Family::Ip { address, .. },
        ..
    }) = connect
    {
        return Some(*address);
    }
    let text = macros.get("client_addr")?;
    let text = text.strip_prefix("IPv6:").unwrap_or(text);
    text.parse()
        .ok()
        .map(|address: IpAddr| address.to_canonical())
}

/// Only one that was verified. Postfix says "unknown" otherwise, Sendmail puts the address into brackets or says so in a macro.
fn client_name(macros: &Macros, connect: Option<&Connect>) -> Option<String> {
    if macros.get("client_resolve").is_some_and(|how| how != "OK") {
        return None;
    }
    let given = connect.map(|connect| connect.name.as_str());
    facts::name(given.or_else(|| macros.get("client_name"))?)
}

/// As Sendmail says it. Postfix does not.
fn protocol(given: Option<&str>, is_tls: bool, is_authenticated: bool) -> String {
    match given {
        Some(given) if given != "ESMTP" => given.to_owned(),
        _ => facts::protocol(is_tls, is_authenticated),
    }
}

pub fn envelope(path: &Path, server: &str) -> Result<Envelope, AddressError> {
    facts::envelope(path.address(), server, |name| path.parameter(name))
}

pub fn recipient(path: &Path, server: &str) -> Named {
    Named {
        written: path.given.clone(),
        ..Named::new(path.address(), server, |name| path.parameter(name))
    }
}
