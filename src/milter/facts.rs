//! What a milter is told of a transaction: the arguments of commands and the values of macros, as Sendmail and Postfix give them.
//! Doesn't know which of them it asks for.

use crate::mail::{Address, Body, Envelope, Recipient, Ret, ReversePath, Session, View};
use crate::proto::milter::{Connect, Family, Path};
use std::net::IpAddr;
use std::sync::Arc;

pub struct Facts {
    session: Arc<Session>,
    envelope: Arc<Envelope>,
    id: Option<String>,
    /// The one that RCPT is about.
    pub recipient: Option<Address>,
}

impl Facts {
    pub fn new(view: &View) -> Self {
        Self {
            session: Arc::clone(&view.session),
            envelope: Arc::clone(&view.envelope),
            id: view.transaction.as_ref().map(|id| id.as_str().to_owned()),
            recipient: None,
        }
    }

    pub fn connect(&self) -> Connect {
        let (name, family) = match self.session.client_address {
            Some(address) => (
                self.client_name(),
                Family::Ip {
                    address: address.to_canonical(),
                    // Nobody has told.
                    port: 0,
                },
            ),
            None => ("localhost", Family::Unknown),
        };
        Connect {
            name: name.to_owned(),
            family,
        }
    }

    pub fn helo(&self) -> Option<&str> {
        Some(&*self.session.helo).filter(|helo| !helo.is_empty())
    }

    pub fn mail(&self) -> Path {
        let envelope = &self.envelope;
        let mut parameters = Vec::new();
        match envelope.body {
            Body::SevenBit => {}
            Body::EightBit => parameters.push("BODY=8BITMIME".to_owned()),
            Body::Binary => parameters.push("BODY=BINARYMIME".to_owned()),
        }
        if envelope.utf8 {
            parameters.push("SMTPUTF8".to_owned());
        }
        match envelope.ret {
            None => {}
            Some(Ret::Full) => parameters.push("RET=FULL".to_owned()),
            Some(Ret::Headers) => parameters.push("RET=HDRS".to_owned()),
        }
        parameters.extend(envelope.envid.iter().map(|envid| format!("ENVID={envid}")));
        Path {
            given: format!("<{}>", envelope.sender),
            parameters,
        }
    }

    pub fn rcpt(recipient: &Recipient) -> Path {
        let notify = recipient.notify.iter().map(|what| format!("NOTIFY={what}"));
        let original = recipient
            .original
            .iter()
            .map(|what| format!("ORCPT={what}"));
        Path {
            given: format!("<{}>", recipient.address),
            parameters: notify.chain(original).collect(),
        }
    }

    fn client_name(&self) -> &str {
        // What Postfix says of a client without a verified name.
        self.session.client_name.as_deref().unwrap_or("unknown")
    }

    fn client_address(&self) -> Option<String> {
        Some(match self.session.client_address?.to_canonical() {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("IPv6:{address}"),
        })
    }

    fn sender(&self) -> Option<&Address> {
        match &self.envelope.sender {
            ReversePath::Address(address) => Some(address),
            ReversePath::Null => None,
        }
    }

    /// Of a macro, by its name without braces.
    pub fn value(&self, name: &str) -> Option<String> {
        let session = &self.session;
        let text = |text: &str| Some(text.to_owned());
        let is_lmtp = session.is_lmtp();
        match name {
            "i" => self.id.clone(),
            "j" => text(&session.server_name),
            "v" => Some(format!("wasmilter {}", env!("CARGO_PKG_VERSION"))),
            "daemon_name" => text(if is_lmtp { "lmtp" } else { "smtp" }),
            "r" => text(&session.protocol),
            "s" => self.helo().map(str::to_owned),
            "_" => Some(match self.client_address() {
                Some(address) => format!("{} [{address}]", self.client_name()),
                None => "localhost".to_owned(),
            }),
            "client_addr" => self.client_address(),
            "client_name" | "client_ptr" if session.client_address.is_some() => {
                text(self.client_name())
            }
            "client_resolve" if session.client_address.is_some() => {
                text(session.client_name.as_ref().map_or("FAIL", |_| "OK"))
            }
            "tls_version" => session.tls.as_ref().map(|tls| tls.version.clone()),
            "cipher" => session.tls.as_ref().map(|tls| tls.cipher.clone()),
            "auth_authen" => session.authenticated.clone(),
            // OpenDKIM signs for whoever has one; how they logged in is not always known.
            "auth_type" => session.authenticated.as_ref().map(|_| {
                let how = session.auth_mechanism.as_deref();
                how.unwrap_or("EXTERNAL").to_owned()
            }),
            "mail_addr" => Some(self.envelope.sender.to_string()),
            "mail_host" => self.sender().map(|address| address.domain().to_owned()),
            "mail_mailer" => text("esmtp"),
            "rcpt_addr" => self.recipient.as_ref().map(Address::to_string),
            "rcpt_host" => {
                let recipient = self.recipient.as_ref();
                recipient.map(|address| address.domain().to_owned())
            }
            "rcpt_mailer" => self.recipient.as_ref().map(|_| "local".to_owned()),
            _ => None,
        }
    }
}
