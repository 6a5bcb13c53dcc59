//! What a mail server that asks says of its client and of the envelope, in our words; the same for all ways of asking.
//! Believes it: whoever may ask is a mail server of ours.

use crate::mail::{
    Address, AddressError, Body, EnhancedCode, Envelope, Recipient, Reply, Ret, ReversePath,
};

/// RFC 3848. Who does not say whether it was greeted with HELO or EHLO: nearly all clients say EHLO.
pub fn protocol(is_tls: bool, is_authenticated: bool) -> String {
    let tls = if is_tls { "S" } else { "" };
    let authenticated = if is_authenticated { "A" } else { "" };
    format!("ESMTP{tls}{authenticated}")
}

/// The name of a client's address, if it has one: some say "unknown" where it has none, some put the address into brackets.
pub fn name(given: &str) -> Option<String> {
    let is_name = !given.is_empty() && given != "unknown" && !given.starts_with('[');
    is_name.then(|| given.to_owned())
}

/// Without a domain, an address is one of the mail server's own.
pub fn address(text: &str, server: &str) -> Result<Address, AddressError> {
    match Address::vouched(text) {
        Err(AddressError::NoAt) => Address::vouched(&format!("{text}@{server}")),
        read => read,
    }
}

/// No recipients yet. `parameter` gives the value of one of MAIL, by its name in capitals; empty where it has none.
pub fn envelope<'a>(
    sender: &str,
    server: &str,
    parameter: impl Fn(&str) -> Option<&'a str>,
) -> Result<Envelope, AddressError> {
    let sender = if sender.is_empty() {
        ReversePath::Null
    } else {
        ReversePath::Address(address(sender, server)?)
    };
    let is = |name, value: &str| {
        parameter(name).is_some_and(|given: &str| given.eq_ignore_ascii_case(value))
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
        utf8: parameter("SMTPUTF8").is_some(),
        ret: if is("RET", "FULL") {
            Some(Ret::Full)
        } else if is("RET", "HDRS") {
            Some(Ret::Headers)
        } else {
            None
        },
        envid: parameter("ENVID").map(str::to_owned),
        require_tls: parameter("REQUIRETLS").is_some(),
    })
}

/// One that cannot be read has a reply that says why.
#[derive(Debug)]
pub struct Named {
    pub recipient: Result<Recipient, Reply>,
    pub written: String,
}

impl Named {
    pub fn new<'a>(text: &str, server: &str, parameter: impl Fn(&str) -> Option<&'a str>) -> Self {
        Self {
            recipient: recipient(text, server, parameter)
                .map_err(|error| bad_address(text, EnhancedCode(5, 1, 3), &error)),
            written: text.to_owned(),
        }
    }
}

fn recipient<'a>(
    text: &str,
    server: &str,
    parameter: impl Fn(&str) -> Option<&'a str>,
) -> Result<Recipient, AddressError> {
    Ok(Recipient {
        address: address(text, server)?,
        notify: parameter("NOTIFY").map(str::to_ascii_uppercase),
        original: parameter("ORCPT").map(str::to_owned),
    })
}

/// What a journal can be found by; mail servers use letters and digits.
pub fn is_queue_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= 64 && text.bytes().all(|octet| octet.is_ascii_graphic())
}

/// Of a sender (5.1.7) or a recipient (5.1.3).
pub fn bad_address(given: &str, code: EnhancedCode, error: &AddressError) -> Reply {
    let shown: String = given.chars().take(100).collect();
    Reply::new(553, code, &format!("{shown} is not understood: {error}"))
}
