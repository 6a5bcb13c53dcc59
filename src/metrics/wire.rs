//! What is counted of connections and what is said over them: each listener and each session has handles made before, so that
//! counting is an addition, without a search for labels.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::fmt;
use std::sync::{Arc, OnceLock};

type Label = (&'static str, &'static str);
type Family1<M> = Family<[Label; 1], M>;
type Family2<M> = Family<[Label; 2], M>;

#[derive(Clone, Default)]
pub(super) struct Wire {
    open: Family1<Gauge>,
    connections: Family1<Counter>,
    replies: Family<[(&'static str, String); 2], Counter>,
    messages: Family2<Counter>,
    octets: Family1<Counter>,
    limits: Family2<Counter>,
    handshakes: Family1<Counter>,
    failures: Family1<Counter>,
    imap: Family2<Counter>,
    logins: Family2<Counter>,
}

impl Wire {
    pub fn register(registry: &mut Registry) -> Self {
        let wire = Self::default();
        let help = "Connections that are open";
        registry.register("connections_open", help, wire.open.clone());
        let help = "Connections that were accepted";
        registry.register("connections", help, wire.connections.clone());
        let help = "Replies to commands of SMTP and LMTP clients, greetings included, by code";
        registry.register("smtp_replies", help, wire.replies.clone());
        let help = "Messages that came whole, by what became of them";
        registry.register("messages", help, wire.messages.clone());
        let help = "Octets of messages that were accepted";
        registry.register("message_bytes", help, wire.octets.clone());
        let help = "How often a limit was hit";
        registry.register("limits", help, wire.limits.clone());
        let help = "TLS handshakes that succeeded, by version";
        registry.register("tls_handshakes", help, wire.handshakes.clone());
        let help = "TLS handshakes that failed, by reason";
        registry.register("tls_failures", help, wire.failures.clone());
        let help = "Commands of IMAP clients, by what they were answered";
        registry.register("imap_commands", help, wire.imap.clone());
        let help = "Tries to log in";
        registry.register("logins", help, wire.logins.clone());
        wire
    }

    pub fn connections(&self, protocol: &'static str) -> Connections {
        let protocol = [("protocol", protocol)];
        Connections {
            open: self.open.get_or_create_owned(&protocol),
            all: self.connections.get_or_create_owned(&protocol),
            refused: self.limit(protocol[0].1, "listener"),
        }
    }

    pub fn limit(&self, protocol: &'static str, limit: &'static str) -> Counter {
        let labels = [("protocol", protocol), ("limit", limit)];
        self.limits.get_or_create_owned(&labels)
    }

    pub fn smtp(&self, protocol: &'static str) -> Smtp {
        let messages = |result| {
            let labels = [("protocol", protocol), ("result", result)];
            self.messages.get_or_create_owned(&labels)
        };
        Smtp(Arc::new(Inner {
            protocol,
            accepted: messages("accepted"),
            deferred: messages("deferred"),
            refused: messages("refused"),
            octets: self.octets.get_or_create_owned(&[("protocol", protocol)]),
            codes: std::array::from_fn(|_| OnceLock::new()),
            wire: self.clone(),
        }))
    }

    pub fn handshakes(&self) -> Handshakes {
        let version = |version| self.handshakes.get_or_create_owned(&[("version", version)]);
        let failure = |reason| self.failures.get_or_create_owned(&[("reason", reason)]);
        Handshakes {
            tls12: version("TLSv1.2"),
            tls13: version("TLSv1.3"),
            timeout: failure("timeout"),
            closed: failure("closed"),
            certificate: failure("certificate"),
            protocol: failure("protocol"),
        }
    }

    pub fn imap(&self) -> Imap {
        let login = |result| {
            self.logins
                .get_or_create_owned(&[("protocol", "imap"), ("result", result)])
        };
        Imap {
            commands: self.imap.clone(),
            right: login("ok"),
            wrong: login("failed"),
        }
    }
}

/// Of one protocol's listeners.
#[derive(Debug, Clone, Default)]
pub struct Connections {
    open: Gauge,
    all: Counter,
    refused: Counter,
}

impl Connections {
    /// One begins; it ends when what is returned is dropped.
    pub fn open(&self) -> Open {
        self.all.inc();
        self.open.inc();
        Open(self.open.clone())
    }

    /// One is turned away because there are too many.
    pub fn refuse(&self) {
        self.refused.inc();
    }
}

#[derive(Debug)]
pub struct Open(Gauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Replies have codes from 200 to 599 (RFC 5321 §4.2).
const CODES: usize = 400;

/// Of SMTP or LMTP. Cheap to clone.
#[derive(Clone)]
pub struct Smtp(Arc<Inner>);

struct Inner {
    protocol: &'static str,
    accepted: Counter,
    deferred: Counter,
    refused: Counter,
    octets: Counter,
    /// Made when they are first needed: most never are.
    codes: [OnceLock<Counter>; CODES],
    wire: Wire,
}

impl Default for Smtp {
    fn default() -> Self {
        Wire::default().smtp("smtp")
    }
}

impl fmt::Debug for Smtp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Smtp")
    }
}

impl Smtp {
    /// All replies of an output. Of one with several lines the last counts.
    pub fn replies(&self, mut output: &[u8]) {
        while let Some(end) = memchr::memchr(b'\n', output) {
            if let [a, b, c, b' ', ..] = output
                && [a, b, c].iter().all(|digit| digit.is_ascii_digit())
            {
                let code = [a, b, c]
                    .iter()
                    .fold(0, |code, digit| code * 10 + usize::from(**digit - b'0'));
                self.reply(code);
            }
            output = output.get(end + 1..).unwrap_or_default();
        }
    }

    fn reply(&self, code: usize) {
        let place = code.checked_sub(200);
        if let Some(counter) = place.and_then(|place| self.0.codes.get(place)) {
            let make = || {
                let labels = [
                    ("protocol", self.0.protocol.to_owned()),
                    ("code", code.to_string()),
                ];
                self.0.wire.replies.get_or_create_owned(&labels)
            };
            counter.get_or_init(make).inc();
        }
    }

    /// A message of so many octets was answered with this code.
    pub fn message(&self, code: u16, octets: u64) {
        match code {
            ..400 => {
                self.0.accepted.inc();
                self.0.octets.inc_by(octets);
            }
            400..500 => {
                self.0.deferred.inc();
            }
            500.. => {
                self.0.refused.inc();
            }
        }
    }
}

/// Why a handshake failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    Timeout,
    /// The client went away in it.
    Closed,
    /// The client's certificate is none that counts, or missing.
    Certificate,
    Protocol,
}

#[derive(Debug, Clone, Default)]
pub struct Handshakes {
    tls12: Counter,
    tls13: Counter,
    timeout: Counter,
    closed: Counter,
    certificate: Counter,
    protocol: Counter,
}

impl Handshakes {
    pub fn done(&self, is_tls13: bool) {
        match is_tls13 {
            true => self.tls13.inc(),
            false => self.tls12.inc(),
        };
    }

    pub fn failed(&self, why: Failure) {
        match why {
            Failure::Timeout => self.timeout.inc(),
            Failure::Closed => self.closed.inc(),
            Failure::Certificate => self.certificate.inc(),
            Failure::Protocol => self.protocol.inc(),
        };
    }
}

#[derive(Debug, Clone, Default)]
pub struct Imap {
    commands: Family2<Counter>,
    right: Counter,
    wrong: Counter,
}

impl Imap {
    /// Both are words of the protocol, so there are few.
    pub fn command(&self, name: &'static str, result: &'static str) {
        let labels = [("command", name), ("result", result)];
        self.commands.get_or_create(&labels).inc();
    }

    pub fn login(&self, is_right: bool) {
        match is_right {
            true => self.right.inc(),
            false => self.wrong.inc(),
        };
    }
}
