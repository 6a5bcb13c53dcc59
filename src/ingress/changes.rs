//! From the message and the envelope as they are to be, to what has to be changed of those that a mail server has.
//! The net difference: a field that three filters changed is changed once. Knows no protocol.

use crate::accept::Screened;
use crate::mail::{Address, Content, Envelope, FieldChange, Header, Recipient, Reply, Ret};
use std::io;

/// The envelope as the mail server gave it.
#[derive(Debug, Default)]
pub struct Given {
    pub envelope: Envelope,
    pub recipients: Vec<Written>,
}

/// A recipient of its.
#[derive(Debug)]
pub struct Written {
    /// Why it cannot be read, if it cannot: filters know nothing of it then, and it stays as it is.
    pub address: Result<Address, Reply>,
    /// As it wrote it: that is how it finds it again if it is to be removed.
    pub text: String,
}

impl Written {
    fn is(&self, other: &Address) -> bool {
        self.address.as_ref() == Ok(other)
    }
}

impl Given {
    /// What filters are not told of, for the journal.
    pub fn untold(&self) -> Vec<String> {
        let replies = self.recipients.iter();
        let replies = replies.filter_map(|written| written.address.as_ref().err());
        replies
            .map(|reply| format!("a recipient, of whom filters are not told: {reply}"))
            .collect()
    }
}

#[derive(Debug, Default)]
pub struct Changes<'a> {
    /// The envelope whose sender and parameters are the new ones.
    pub sender: Option<&'a Envelope>,
    pub added: Vec<&'a Recipient>,
    /// As they were given.
    pub removed: Vec<&'a str>,
    pub fields: Vec<FieldChange<'a>>,
    /// The new message, and where its body begins.
    pub body: Option<(Content, u64)>,
}

impl<'a> Changes<'a> {
    pub fn of(screened: &'a Screened, given: &'a Given) -> io::Result<Self> {
        let mut all = Self::envelope(&screened.envelope, given);
        if let Some(message) = &screened.message {
            all.fields = message.header.changes_since(&screened.received);
            let rendered = message.render()?;
            let end = screened.received.received_len();
            // The empty line is the header's; what comes behind it is body.
            let mut splices = rendered.splices().iter();
            let is_changed =
                splices.any(|splice| splice.at > end || splice.at + splice.remove > end);
            if is_changed {
                all.body = Some(body(rendered)?);
            }
        }
        Ok(all)
    }

    pub fn envelope(now: &'a Envelope, given: &'a Given) -> Self {
        let was = &given.envelope;
        let is_sender_other =
            now.sender != was.sender || now.ret != was.ret || now.envid != was.envid;
        let is_new = |recipient: &&Recipient| {
            let mut given = given.recipients.iter();
            !given.any(|written| written.is(&recipient.address))
        };
        let removed = given.recipients.iter();
        Self {
            sender: is_sender_other.then_some(now),
            added: now.recipients.iter().filter(is_new).collect(),
            removed: removed
                .filter(|written| {
                    let address = written.address.as_ref();
                    address.is_ok_and(|address| !now.has(address))
                })
                .map(|written| written.text.as_str())
                .collect(),
            ..Self::default()
        }
    }
}

/// Those of MAIL, name and value.
pub fn sender_parameters(envelope: &Envelope) -> Vec<(&'static str, &str)> {
    let ret = envelope.ret.map(|ret| match ret {
        Ret::Full => ("RET", "FULL"),
        Ret::Headers => ("RET", "HDRS"),
    });
    let envid = envelope.envid.as_deref().map(|envid| ("ENVID", envid));
    ret.into_iter().chain(envid).collect()
}

/// Those of RCPT, name and value.
pub fn recipient_parameters(recipient: &Recipient) -> Vec<(&'static str, &str)> {
    let notify = recipient.notify.as_deref().map(|notify| ("NOTIFY", notify));
    let original = recipient.original.as_deref();
    let original = original.map(|original| ("ORCPT", original));
    notify.into_iter().chain(original).collect()
}

/// Where the body begins: behind the first empty line.
fn body(message: Content) -> io::Result<(Content, u64)> {
    let header = Header::read(&message)?;
    let end = header.received_len();
    let line = message.read(end, 2)?;
    let start = match line.as_ref() {
        [b'\r', b'\n', ..] => end + 2,
        [b'\n', ..] => end + 1,
        _ => end,
    };
    Ok((message, start))
}
