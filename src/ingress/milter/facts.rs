//! What a mail server says of its client and of the envelope, in our words. Believes it: whoever can connect is a mail server of ours.

use crate::mail::{
    Address, AddressError, Body, Envelope, Recipient, Ret, ReversePath, Session, Tls,
};
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
    let name = given.or_else(|| macros.get("client_name"))?;
    let is_name = !name.is_empty() && name != "unknown" && !name.starts_with('[');
    is_name.then(|| name.to_owned())
}

/// RFC 3848. Postfix does not say whether it was greeted with HELO or EHLO; nearly all clients say EHLO.
fn protocol(given: Option<&str>, is_tls: bool, is_authenticated: bool) -> String {
    match given {
        Some(given) if given != "ESMTP" => given.to_owned(),
        _ => {
            let tls = if is_tls { "S" } else { "" };
            let authenticated = if is_authenticated { "A" } else { "" };
            format!("ESMTP{tls}{authenticated}")
        }
    }
}

/// Without a domain, an address is one of the mail server's own.
pub fn address(path: &Path, server: &str) -> Result<Address, AddressError> {
    let text = path.address();
    if text.contains('@') {
        Address::parse(text)
    } else {
        Address::parse(&format!("{text}@{server}"))
    }
}

pub fn envelope(path: &Path, server: &str) -> Result<Envelope, AddressError> {
    let sender = if path.address().is_empty() {
        ReversePath::Null
    } else {
        ReversePath::Address(address(path, server)?)
    };
    let is = |name, value: &str| {
        path.parameter(name)
            .is_some_and(|given| given.eq_ignore_ascii_case(value))
    };
    Ok(Envelope {
        sender,
        recipients: Vec::new(),
        body: if is("BODY", "8BITMIME") {
            Body::EightBit
        } else if is("BODY", "BINARYMIME") {
            Body::Binary
        } else {
            Body::SevenBit
        },
        utf8: path.parameter("SMTPUTF8").is_some(),
        ret: if is("RET", "FULL") {
            Some(Ret::Full)
        } else if is("RET", "HDRS") {
            Some(Ret::Headers)
        } else {
            None
        },
        envid: path.parameter("ENVID").map(str::to_owned),
        require_tls: path.parameter("REQUIRETLS").is_some(),
    })
}

pub fn recipient(path: &Path, server: &str) -> Result<Recipient, AddressError> {
    Ok(Recipient {
        address: address(path, server)?,
        notify: path.parameter("NOTIFY").map(str::to_ascii_uppercase),
        original: path.parameter("ORCPT").map(str::to_owned),
    })
}
