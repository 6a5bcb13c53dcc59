//! Command lines into commands (RFC 5321 §4.1.1), or into the reply that says what is wrong with them.
//! Whether a command is in order at this point is for `server` to say.

use super::handover::{self, Told, Verb};
use super::{
    Config, Dialect, arguments, dsn, given_twice, path, refusal, syntax, unknown_parameter,
};
use crate::mail::{Address, AddressError, Body, Recipient, Reply, Ret, ReversePath};

/// A HELO name longer than a domain can be is no name (RFC 5321 §4.5.3.1.2).
const NAME_MAX: usize = 255;

/// [`Address::parse`], or [`Address::vouched`].
pub(super) type ReadAddress = fn(&str) -> Result<Address, AddressError>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    Hello(Hello),
    StartTls,
    Mail(Mail),
    Rcpt(Recipient),
    Data,
    /// BDAT (RFC 3030 §2). If something is wrong behind the size, `last` is the reply: the octets of the chunk come all the same.
    Bdat {
        size: u64,
        last: Result<bool, Reply>,
    },
    /// XCLIENT, XFORWARD.
    Handover(Verb, Result<Box<Told>, Reply>),
    Rset,
    Noop,
    Vrfy,
    Expn,
    Help,
    Quit,
    /// A browser, or what makes one talk to us.
    Http,
}

/// EHLO, HELO or LHLO.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// What the client calls itself; not checked beyond its characters.
    pub name: String,
    /// Not HELO.
    pub extended: bool,
}

/// MAIL FROM.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mail {
    pub sender: ReversePath,
    /// SIZE, in octets: what the client expects to send.
    pub size: Option<u64>,
    pub body: Body,
    pub utf8: bool,
    /// REQUIRETLS (RFC 8689)
    pub require_tls: bool,
    pub ret: Option<Ret>,
    /// In xtext.
    pub envid: Option<String>,
}

impl Command {
    /// Whether it brings no message nearer.
    pub fn is_idle(&self) -> bool {
        match self {
            Self::Hello(_) | Self::Handover(..) | Self::Rset | Self::Noop | Self::Vrfy => true,
            Self::Expn | Self::Help => true,
            Self::StartTls | Self::Mail(_) | Self::Rcpt(_) | Self::Data | Self::Bdat { .. } => {
                false
            }
            Self::Quit | Self::Http => false,
        }
    }

    /// `read` is how this client's addresses are.
    pub fn parse(line: &[u8], config: &Config, read: ReadAddress) -> Result<Self, Reply> {
        let is_chunk = line
            .get(..4)
            .is_some_and(|verb| verb.eq_ignore_ascii_case(b"BDAT"));
        let line = std::str::from_utf8(line).map_err(|_| match is_chunk {
            true => no_chunk_size(),
            false => refusal(500, (5, 5, 2), "Syntax error: the command is not UTF-8"),
        })?;
        // RFC 5321 §4.1.1: white space at the end of a line is borne with.
        let line = line.trim_end_matches([' ', '\t']);
        let (verb, arguments) = line.split_once(' ').unwrap_or((line, ""));
        let is = |name: &str| verb.eq_ignore_ascii_case(name);
        let bare = |command: Self| {
            if arguments.is_empty() {
                Ok(command)
            } else {
                Err(syntax("Syntax error: this command takes no arguments"))
            }
        };
        // The frequent ones first.
        if is("RCPT") {
            rcpt(arguments, config, read).map(Self::Rcpt)
        } else if is("MAIL") {
            mail(arguments, config, read).map(Self::Mail)
        } else if is("DATA") {
            bare(Self::Data)
        } else if is("BDAT") {
            chunk(arguments)
        } else if is(config.dialect.hello()) {
            hello(arguments, true).map(Self::Hello)
        } else if is("QUIT") {
            bare(Self::Quit)
        } else if is("RSET") {
            bare(Self::Rset)
        } else if is("STARTTLS") {
            bare(Self::StartTls)
        } else if is("HELO") && config.dialect == Dialect::Smtp {
            hello(arguments, false).map(Self::Hello)
        } else if ["EHLO", "HELO", "LHLO"].iter().any(|name| is(name)) {
            // RFC 2033 §4.1: an LMTP server takes neither EHLO nor HELO. Nor the other way round.
            Err(refusal(500, (5, 5, 1), &config.dialect.not_this()))
        } else if is("NOOP") {
            Ok(Self::Noop)
        } else if is("VRFY") && arguments.is_empty() {
            Err(syntax("Syntax error: VRFY needs a user or mailbox"))
        } else if is("VRFY") {
            Ok(Self::Vrfy)
        } else if is("EXPN") {
            Ok(Self::Expn)
        } else if is("HELP") {
            Ok(Self::Help)
        } else if is("XFORWARD") {
            let told = handover::attributes(Verb::Xforward, arguments);
            Ok(Self::Handover(Verb::Xforward, told))
        } else if is("XCLIENT") {
            let told = handover::attributes(Verb::Xclient, arguments);
            Ok(Self::Handover(Verb::Xclient, told))
        } else if ["GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT"].contains(&verb) {
            Ok(Self::Http)
        } else if ["AUTH", "ETRN", "TURN", "ATRN", "SEND", "SOML", "SAML"]
            .iter()
            .any(|name| is(name))
        {
            Err(refusal(502, (5, 5, 1), "Command not implemented"))
        } else if is_chunk {
            // Another server could take it for BDAT.
            Err(no_chunk_size())
        } else {
            Err(refusal(500, (5, 5, 2), "Command not recognized"))
        }
    }
}

/// RFC 5321 §4.1.4 forbids refusing mail because the name isn't the client's, so the name is held only to characters
/// that can do no harm in a Received field.
fn hello(name: &str, extended: bool) -> Result<Hello, Reply> {
    let name = name.trim_start_matches(' ');
    if name.is_empty() {
        return Err(syntax(
            "Syntax error: say who you are, as in EHLO mail.example.com",
        ));
    }
    if !is_name(name) {
        return Err(syntax(
            "Syntax error: that is neither a domain nor an address literal",
        ));
    }
    Ok(Hello {
        name: name.to_owned(),
        extended,
    })
}

/// Whether it can stand in a Received field.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_MAX && name.chars().all(is_of_name)
}

pub(super) fn is_of_name(c: char) -> bool {
    (c.is_ascii_graphic() && !"()<>\",;\\".contains(c)) || !(c.is_ascii() || c.is_control())
}

/// RFC 3030 §2: `BDAT size`, `BDAT size LAST`.
fn chunk(arguments: &str) -> Result<Command, Reply> {
    let (size, rest) = arguments.split_once(' ').unwrap_or((arguments, ""));
    if size.is_empty() || !size.bytes().all(|octet| octet.is_ascii_digit()) {
        return Err(no_chunk_size());
    }
    let size = size.parse().map_err(|_| no_chunk_size())?;
    let last = match rest {
        "" => Ok(false),
        rest if rest.eq_ignore_ascii_case("LAST") => Ok(true),
        _ => Err(syntax("Syntax error: BDAT takes a size and LAST")),
    };
    Ok(Command::Bdat { size, last })
}

/// Where the chunk ends cannot be told, so what follows may be message or command: the connection ends.
pub(super) fn no_chunk_size() -> Reply {
    refusal(421, (4, 5, 4), "BDAT without a size that can be read")
}

fn mail(arguments: &str, config: &Config, read: ReadAddress) -> Result<Mail, Reply> {
    let (path, parameters) = path::split(arguments, "FROM")?;
    let mut mail = Mail::default();
    let mut body = false;
    for parameter in path::parameters(parameters) {
        let path::Parameter { keyword, value } = parameter?;
        let is = |name: &str| keyword.eq_ignore_ascii_case(name);
        let twice = if is("SIZE") {
            let size = value
                .filter(|value| value.len() <= 20 && value.bytes().all(|b| b.is_ascii_digit()))
                .ok_or_else(|| syntax("Syntax error: SIZE takes a number of octets"))?;
            // RFC 1870 §3 allows 20 digits, which can be more than 64 bits hold.
            mail.size
                .replace(size.parse().unwrap_or(u64::MAX))
                .is_some()
        } else if is("BODY") {
            mail.body = match value {
                Some(value) if value.eq_ignore_ascii_case("8BITMIME") => Body::EightBit,
                Some(value) if value.eq_ignore_ascii_case("7BIT") => Body::SevenBit,
                Some(value) if value.eq_ignore_ascii_case("BINARYMIME") => Body::Binary,
                _ => {
                    return Err(syntax(
                        "Syntax error: BODY takes 7BIT, 8BITMIME or BINARYMIME",
                    ));
                }
            };
            std::mem::replace(&mut body, true)
        } else if is("SMTPUTF8") {
            if value.is_some() {
                return Err(syntax("Syntax error: SMTPUTF8 takes no value"));
            }
            std::mem::replace(&mut mail.utf8, true)
        } else if is("REQUIRETLS") {
            if value.is_some() {
                return Err(syntax("Syntax error: REQUIRETLS takes no value"));
            }
            std::mem::replace(&mut mail.require_tls, true)
        } else if is("RET") {
            mail.ret.replace(dsn::ret(value)?).is_some()
        } else if is("ENVID") {
            mail.envid.replace(dsn::envid(value)?).is_some()
        } else {
            return Err(unknown_parameter(keyword));
        };
        if twice {
            return Err(given_twice());
        }
    }
    if !path.is_empty() {
        let address = read(path).map_err(|error| bad_address((5, 1, 7), "sender", &error))?;
        if address.needs_utf8() && !mail.utf8 {
            return Err(needs_utf8());
        }
        mail.sender = ReversePath::Address(address);
    }
    // RFC 1870 §6.1
    if mail.size.is_some_and(|size| size > config.size) {
        return Err(too_large(config));
    }
    Ok(mail)
}

fn rcpt(arguments: &str, config: &Config, read: ReadAddress) -> Result<Recipient, Reply> {
    let (path, parameters) = path::split(arguments, "TO")?;
    let (notify, original) = arguments::of_recipient(parameters)?;
    let bad = |error: AddressError| bad_address((5, 1, 3), "recipient", &error);
    let address = if path.is_empty() {
        return Err(refusal(
            501,
            (5, 1, 3),
            "Bad recipient address: <> is a sender only",
        ));
    } else if path.eq_ignore_ascii_case("postmaster") {
        // RFC 5321 §4.5.1: the only address that needs no domain.
        Address::parse(&format!("{path}@{}", config.postmaster_domain)).map_err(bad)?
    } else {
        read(path).map_err(bad)?
    };
    Ok(Recipient {
        address,
        notify,
        original,
    })
}

fn bad_address(enhanced: (u8, u16, u16), what: &str, error: &AddressError) -> Reply {
    refusal(
        501,
        enhanced,
        &format!("Bad {what} address syntax: {error}"),
    )
}

/// RFC 6531 §3.5
pub(super) fn needs_utf8() -> Reply {
    refusal(
        553,
        (5, 6, 7),
        "An address outside ASCII needs the SMTPUTF8 parameter of MAIL",
    )
}

pub(super) fn too_large(config: &Config) -> Reply {
    let text = format!("Message too large: the limit is {} octets", config.size);
    refusal(552, (5, 3, 4), &text).about("message-size")
}
