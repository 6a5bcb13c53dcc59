//! The order of commands and what each reply leads to.

use super::reply::Reader;
use super::stuffing::Stuffing;
use super::unsaid::no_utf8;
use super::{Extensions, Facts, Fault, Unsaid};
use crate::mail::{Body, EnhancedCode, Envelope, Recipient, Reply, Ret};
use crate::proto::smtp::Dialect;
use crate::proto::smtp::handover::Verb;
use std::borrow::Cow;
use std::fmt::Write;

/// What is awaited; how long is for the caller to know (RFC 5321 §4.5.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaiting {
    Greeting,
    Hello,
    /// In place of EHLO, which the server does not know.
    Helo,
    StartTls,
    Xforward,
    /// Its reply is another greeting.
    Xclient,
    Mail,
    Rcpt,
    Data,
    /// The reply to the message, or so many.
    Message(usize),
}

/// The machine while it waits for a reply.
#[derive(Debug)]
pub struct Client {
    core: Core,
    awaiting: Awaiting,
    accepted: usize,
}

#[derive(Debug)]
struct Core {
    dialect: Dialect,
    /// What we call ourselves; after XCLIENT, what the client does.
    name: String,
    extensions: Extensions,
    /// Further lines of XFORWARD or XCLIENT, the next one last.
    untold: Vec<String>,
    /// Of the transaction.
    unsaid: Unsaid,
    /// The transaction is one of SMTPUTF8.
    utf8: bool,
    secure: bool,
    replies: Reader,
    output: Vec<u8>,
}

/// What was heard, and what can be done next.
#[derive(Debug)]
pub enum Step {
    /// Send what is in `output`; read if all octets are used.
    Read(Client),
    /// Send nothing; drop what is read already, do the handshake, call [`Client::secured`].
    StartTls(Client),
    Ready(Ready),
    /// MAIL was accepted.
    Sender(Open),
    /// Accepted or not.
    Recipient(Open, Reply),
    /// The octets of the message may go.
    Go(Sending),
    /// The reply to the message: for SMTP the only one, for LMTP that of the next of the recipients that were accepted.
    Answer(Reply, After),
    /// The command was refused, or the server as a whole wants nothing of us: the conversation is over.
    Refused(Reply),
    Fault(Fault),
}

#[derive(Debug)]
pub enum After {
    More(Client),
    Over(Ready),
}

/// Between transactions.
#[derive(Debug)]
pub struct Ready(Core);

/// After MAIL.
#[derive(Debug)]
pub struct Open {
    core: Core,
    accepted: usize,
}

/// In the message.
#[derive(Debug)]
pub struct Sending {
    core: Core,
    accepted: usize,
    /// None in a chunk of BDAT.
    stuffing: Option<Stuffing>,
}

impl Core {
    fn command(&mut self, line: &str) {
        self.output.extend_from_slice(line.as_bytes());
        self.output.extend_from_slice(b"\r\n");
    }

    fn hello(mut self) -> Client {
        let line = format!("{} {}", self.dialect.hello(), self.name);
        self.command(&line);
        self.awaits(Awaiting::Hello)
    }

    /// ORCPT without SMTPUTF8 is ASCII (RFC 6533 §3: utf-8-addr-xtext).
    fn spelt<'a>(&self, original: &'a str) -> Cow<'a, str> {
        if self.utf8 || original.is_ascii() {
            return original.into();
        }
        let spell = |c: char| match c.is_ascii() {
            true => c.to_string(),
            false => format!("\\x{{{:X}}}", u32::from(c)),
        };
        original.chars().map(spell).collect()
    }

    /// The next line that tells of the client, or else what comes behind them.
    fn tell(mut self, awaiting: Awaiting, then: fn(Ready) -> Step) -> Step {
        match self.untold.pop() {
            None => then(Ready(self)),
            Some(line) => {
                self.command(&line);
                Step::Read(self.awaits(awaiting))
            }
        }
    }

    fn awaits(self, awaiting: Awaiting) -> Client {
        Client {
            core: self,
            awaiting,
            accepted: 0,
        }
    }
}

impl Client {
    /// A connection that was made; `secure`: it is under TLS. `name` is what we call ourselves.
    pub fn new(dialect: Dialect, name: &str, secure: bool) -> Self {
        let core = Core {
            dialect,
            name: name.to_owned(),
            extensions: Extensions::default(),
            untold: Vec::new(),
            unsaid: Unsaid::default(),
            utf8: false,
            secure,
            replies: Reader::default(),
            output: Vec::new(),
        };
        core.awaits(Awaiting::Greeting)
    }

    pub fn awaiting(&self) -> Awaiting {
        self.awaiting
    }

    /// What is to be sent. The caller empties it.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.core.output
    }

    /// The handshake is done: what was known of the server is forgotten (RFC 3207 §4.2).
    pub fn secured(self) -> Self {
        Core {
            secure: true,
            extensions: Extensions::default(),
            replies: Reader::default(),
            ..self.core
        }
        .hello()
    }

    /// How many octets were used, and what they said.
    pub fn next(mut self, input: &[u8]) -> (usize, Step) {
        let (used, read) = self.core.replies.next(input);
        let step = match read {
            Ok(None) => Step::Read(self),
            Ok(Some(reply)) => self.heard(reply),
            Err(fault) => Step::Fault(fault),
        };
        (used, step)
    }

    fn heard(self, reply: Reply) -> Step {
        let Self {
            mut core,
            awaiting,
            mut accepted,
        } = self;
        let is_fine = (200..300).contains(&reply.code);
        let intermediate = (300..400).contains(&reply.code);
        if intermediate && awaiting != Awaiting::Data {
            return Step::Fault(Fault::Unexpected(reply.code));
        }
        match awaiting {
            Awaiting::Greeting if is_fine => Step::Read(core.hello()),
            Awaiting::Xclient if is_fine => {
                core.tell(awaiting, |Ready(core)| Step::Read(core.hello()))
            }
            Awaiting::Hello if is_fine => {
                core.extensions = Extensions::of(&reply);
                Step::Ready(Ready(core))
            }
            // RFC 5321 §3.2
            Awaiting::Hello if reply.code >= 500 && core.dialect == Dialect::Smtp => {
                let line = format!("HELO {}", core.name);
                core.command(&line);
                Step::Read(core.awaits(Awaiting::Helo))
            }
            Awaiting::Helo if is_fine => Step::Ready(Ready(core)),
            Awaiting::StartTls if is_fine => Step::StartTls(core.awaits(awaiting)),
            // Of no consequence for the message.
            Awaiting::Xforward if reply.code != 421 => core.tell(awaiting, Step::Ready),
            Awaiting::Mail if is_fine => Step::Sender(Open { core, accepted: 0 }),
            Awaiting::Rcpt if reply.code != 421 => {
                accepted += usize::from(is_fine);
                Step::Recipient(Open { core, accepted }, reply)
            }
            Awaiting::Data if intermediate => Step::Go(Sending {
                core,
                accepted,
                stuffing: Some(Stuffing::default()),
            }),
            Awaiting::Data if is_fine => Step::Fault(Fault::Unexpected(reply.code)),
            Awaiting::Message(left) => {
                let after = match left.checked_sub(1) {
                    None | Some(0) => After::Over(Ready(core)),
                    Some(left) => After::More(Self {
                        core,
                        awaiting: Awaiting::Message(left),
                        accepted,
                    }),
                };
                Step::Answer(reply, after)
            }
            _ => Step::Refused(reply),
        }
    }
}

impl Ready {
    pub fn extensions(&self) -> &Extensions {
        &self.0.extensions
    }

    /// None where it is not offered.
    pub fn start_tls(mut self) -> Option<Client> {
        if !self.0.extensions.starttls {
            return None;
        }
        self.0.command("STARTTLS");
        Some(self.0.awaits(Awaiting::StartTls))
    }

    /// Whose message the next one is; where XFORWARD is not offered, nothing is said.
    pub fn xforward(mut self, facts: &Facts) -> Step {
        self.0.untold = facts.commands(Verb::Xforward, &self.0.extensions.xforward);
        self.0.tell(Awaiting::Xforward, Step::Ready)
    }

    /// Whose session this is from here on; where XCLIENT is not offered, nothing is said.
    pub fn xclient(mut self, facts: &Facts) -> Step {
        self.0.untold = facts.commands(Verb::Xclient, &self.0.extensions.xclient);
        // EHLO comes once more, and what it says takes the place of HELO.
        if let Some(name) = facts.hello()
            && !self.0.untold.is_empty()
        {
            name.clone_into(&mut self.0.name);
        }
        self.0.tell(Awaiting::Xclient, Step::Ready)
    }

    /// Begins a transaction; the recipients of the envelope are left to [`Open::rcpt`]. `size` in octets, where it is known. An error is
    /// why this server cannot be given the message.
    pub fn mail(mut self, envelope: &Envelope, size: Option<u64>) -> Result<Client, Reply> {
        let (line, unsaid) = mail(&self.0, envelope, size)?;
        self.0.command(&line);
        self.0.unsaid = unsaid;
        self.0.utf8 = envelope.utf8 && !unsaid.utf8;
        Ok(self.0.awaits(Awaiting::Mail))
    }

    /// What is to be sent before closing.
    pub fn quit(self) -> &'static [u8] {
        b"QUIT\r\n"
    }
}

fn mail(core: &Core, envelope: &Envelope, size: Option<u64>) -> Result<(String, Unsaid), Reply> {
    let Extensions {
        eight_bit,
        utf8,
        chunking,
        binary,
        dsn,
        require_tls,
        ..
    } = core.extensions;
    let refuse = |code, enhanced, text: &str| Err(Reply::new(code, enhanced, text));
    let mut line = format!("MAIL FROM:<{}>", envelope.sender);
    let mut unsaid = Unsaid::default();
    // Writing to a String cannot fail.
    if let Some(size) = size {
        core.extensions.takes(size)?;
        if core.extensions.size.is_some() {
            let _ = write!(line, " SIZE={size}");
        }
    }
    match envelope.body {
        Body::SevenBit => {}
        Body::EightBit if eight_bit => line.push_str(" BODY=8BITMIME"),
        Body::Binary if binary && chunking => line.push_str(" BODY=BINARYMIME"),
        Body::EightBit => unsaid.eight_bit = true,
        // RFC 3030 §3: not converted here.
        Body::Binary => {
            let text = "The next hop takes no binary messages (BINARYMIME)";
            return refuse(554, EnhancedCode(5, 6, 3), text);
        }
    }
    match (envelope.utf8, utf8) {
        (true, true) => line.push_str(" SMTPUTF8"),
        _ if envelope.sender.needs_utf8() => return Err(no_utf8(553)),
        (false, _) => {}
        (true, false) => unsaid.utf8 = true,
    }
    match (envelope.require_tls, require_tls && core.secure) {
        (false, _) => {}
        (true, true) => line.push_str(" REQUIRETLS"),
        // RFC 8689 §4.1
        (true, false) => {
            let text = "REQUIRETLS: the next hop does not offer it";
            return refuse(550, EnhancedCode(5, 7, 30), text);
        }
    }
    if dsn {
        if let Some(ret) = envelope.ret {
            line.push_str(match ret {
                Ret::Full => " RET=FULL",
                Ret::Headers => " RET=HDRS",
            });
        }
        if let Some(envid) = &envelope.envid {
            let _ = write!(line, " ENVID={envid}");
        }
    }
    Ok((line, unsaid))
}

impl Open {
    /// Recipients that were accepted.
    pub fn accepted(&self) -> usize {
        self.accepted
    }

    /// What MAIL did not say of the message.
    pub fn unsaid(&self) -> Unsaid {
        self.core.unsaid
    }

    /// The server is not asked about whom it cannot be told of.
    pub fn rcpt(mut self, recipient: &Recipient) -> Step {
        if recipient.address.needs_utf8() && !self.core.utf8 {
            return Step::Recipient(self, no_utf8(553));
        }
        let mut line = format!("RCPT TO:<{}>", recipient.address);
        if self.core.extensions.dsn {
            if let Some(notify) = &recipient.notify {
                let _ = write!(line, " NOTIFY={notify}");
            }
            if let Some(original) = &recipient.original {
                let _ = write!(line, " ORCPT={}", self.core.spelt(original));
            }
        }
        self.core.command(&line);
        Step::Read(self.awaits(Awaiting::Rcpt))
    }

    /// The message is next, of so many octets, unless these are more than the server takes: by BDAT where that is offered, which leaves it as it is, else by DATA.
    pub fn message(mut self, size: u64) -> Step {
        // At MAIL nobody knew, or somebody was wrong.
        if let Err(reply) = self.core.extensions.takes(size) {
            return Step::Refused(reply);
        }
        if self.core.extensions.chunking {
            self.core.command(&format!("BDAT {size} LAST"));
            return Step::Go(Sending {
                core: self.core,
                accepted: self.accepted,
                stuffing: None,
            });
        }
        self.core.command("DATA");
        Step::Read(self.awaits(Awaiting::Data))
    }

    pub fn quit(self) -> &'static [u8] {
        b"QUIT\r\n"
    }

    fn awaits(self, awaiting: Awaiting) -> Client {
        Client {
            core: self.core,
            awaiting,
            accepted: self.accepted,
        }
    }
}

impl Sending {
    /// The next octets of the message; what is to be sent is in `output`.
    pub fn push(&mut self, octets: &[u8]) {
        match &mut self.stuffing {
            Some(stuffing) => stuffing.push(octets, &mut self.core.output),
            None => self.core.output.extend_from_slice(octets),
        }
    }

    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.core.output
    }

    /// All octets are given. Before this nothing of it is a message, and the connection may be cut.
    pub fn end(mut self) -> Client {
        if let Some(stuffing) = self.stuffing {
            stuffing.end(&mut self.core.output);
        }
        let replies = match self.core.dialect {
            Dialect::Smtp => 1,
            Dialect::Lmtp => self.accepted,
        };
        Client {
            core: self.core,
            awaiting: Awaiting::Message(replies),
            accepted: self.accepted,
        }
    }
}
