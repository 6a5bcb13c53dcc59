//! The mail server's side: offers, commands with their macros, and what may come back to each. Speaks to a filter that may lie: what was
//! not agreed on, what comes out of order and what is no packet ends it. Doesn't know what commands or replies lead to.

use super::options::{OLDEST, VERSION};
use super::response::packet;
use super::said::Said;
use super::{
    Actions, Command, Modification, Negotiated, Offer, Packet, ProtocolError, Stage, Steps,
};

/// All that version 6 has, as Postfix offers it.
const ACTIONS: Actions = Actions(0x1ff);
const STEPS: Steps = Steps(0x1f_f7ff);

/// Names of macros that a filter can ask for at one stage.
const NAMES: usize = 256;

/// What a mail server sends to a filter that doesn't say what it wants: Postfix's, and who the client is.
const STANDARD: [(Stage, &str); 6] = [
    (
        Stage::Connect,
        "j {daemon_name} v _ {client_addr} {client_name} {client_ptr} {client_resolve}",
    ),
    (Stage::Helo, "{tls_version} {cipher}"),
    (
        Stage::Mail,
        "i {auth_type} {auth_authen} {mail_addr} {mail_host} {mail_mailer} {tls_version} {cipher}",
    ),
    (Stage::Rcpt, "i {rcpt_addr} {rcpt_host} {rcpt_mailer}"),
    (Stage::EndOfHeader, "i"),
    (Stage::End, "i"),
];

/// An offer that was sent.
#[derive(Debug)]
pub struct Opening(Offer);

impl Opening {
    pub fn new(out: &mut Vec<u8>) -> Self {
        let offer = Offer {
            version: VERSION,
            actions: ACTIONS,
            steps: STEPS,
        };
        Command::Negotiate(offer).write(out);
        Self(offer)
    }

    /// What the filter makes of it.
    pub fn answered(self, packet: Packet<'_>) -> Result<Client, ProtocolError> {
        if packet.command != b'O' {
            return Err(ProtocolError::Order(char::from(packet.command)));
        }
        let malformed = |what| ProtocolError::Malformed { command: 'O', what };
        let Offer {
            version,
            actions,
            steps,
        } = Offer::parse(packet.data).ok_or(malformed("it is too short"))?;
        if !(OLDEST..=VERSION).contains(&version) {
            return Err(ProtocolError::Version(version));
        }
        if !self.0.actions.contains(actions) || !self.0.steps.contains(steps) {
            return Err(malformed("it asks for more than was offered"));
        }
        let asks = packet.data.get(12..).unwrap_or_default();
        let mut macros: Vec<(Stage, Vec<String>)> = STANDARD
            .iter()
            .map(|(stage, names)| (*stage, list(names)))
            .collect();
        if actions.contains(Actions::SET_MACROS) {
            for (stage, names) in asked(asks).ok_or(malformed("its lists of macros"))? {
                macros.retain(|(other, _)| *other != stage);
                macros.push((stage, names));
            }
        }
        Ok(Client {
            agreed: Negotiated {
                version,
                actions,
                steps,
            },
            macros,
        })
    }
}

/// Stage and names, one list after the other.
fn asked(mut data: &[u8]) -> Option<Vec<(Stage, Vec<String>)>> {
    let mut all = Vec::new();
    while let Some((stage, rest)) = data.split_first_chunk::<4>() {
        let end = memchr::memchr(0, rest)?;
        let names = list(std::str::from_utf8(rest.get(..end)?).ok()?);
        let stage = Stage::of(u32::from_be_bytes(*stage))?;
        if names.len() > NAMES || all.len() > Stage::ALL.len() {
            return None;
        }
        all.push((stage, names));
        data = rest.get(end + 1..)?;
    }
    data.is_empty().then_some(all)
}

fn list(names: &str) -> Vec<String> {
    let separators = |c: char| c.is_ascii_whitespace() || c == ',';
    let names = names.split(separators).filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

/// Where the values of macros come from; by the name without braces, none if there is no such thing.
pub type Values<'a> = &'a (dyn Fn(&str) -> Option<String> + Sync);

/// A filter that waits for a command.
#[derive(Debug)]
pub struct Client {
    agreed: Negotiated,
    macros: Vec<(Stage, Vec<String>)>,
}

/// Who speaks next.
#[derive(Debug)]
pub enum Next {
    /// The filter doesn't want to hear of that, or doesn't answer it.
    Client(Client),
    Filter(Waiting),
}

impl Client {
    pub fn agreed(&self) -> &Negotiated {
        &self.agreed
    }

    /// Writes a command with the macros of its stage, unless the filter asked to be spared it.
    pub fn say(self, command: &Command<'_>, values: Values<'_>, out: &mut Vec<u8>) -> Next {
        let Some(Kind {
            stage,
            spared,
            unanswered,
            since,
        }) = kind(command)
        else {
            command.write(out);
            return Next::Client(self);
        };
        let steps = self.agreed.steps;
        let is_spared = spared.is_some_and(|step| steps.contains(step));
        if is_spared || self.agreed.version < since {
            return Next::Client(self);
        }
        if let Some(stage) = stage {
            self.write_macros(stage, command.letter(), values, out);
        }
        command.write(out);
        if unanswered.is_some_and(|step| steps.contains(step)) {
            return Next::Client(self);
        }
        Next::Filter(Waiting {
            for_command: command.letter(),
            client: self,
        })
    }

    fn write_macros(&self, stage: Stage, letter: u8, values: Values<'_>, out: &mut Vec<u8>) {
        let mut data = vec![letter];
        let lists = self.macros.iter().filter(|(other, _)| *other == stage);
        for name in lists.flat_map(|(_, names)| names) {
            let bare = name.trim_start_matches('{').trim_end_matches('}');
            if let Some(value) = values(bare) {
                data.extend_from_slice(name.as_bytes());
                data.push(0);
                // One that held a NUL would end there.
                data.extend(value.bytes().filter(|octet| *octet != 0));
                data.push(0);
            }
        }
        packet(out, b'D', &data);
    }
}

/// How a command that can be answered is dealt with.
struct Kind {
    stage: Option<Stage>,
    spared: Option<Steps>,
    unanswered: Option<Steps>,
    /// The version that has it first.
    since: u32,
}

fn kind(command: &Command<'_>) -> Option<Kind> {
    let (stage, spared, unanswered) = match command {
        Command::Connect(_) => (
            Some(Stage::Connect),
            Some(Steps::NO_CONNECT),
            Some(Steps::CONNECT_UNANSWERED),
        ),
        Command::Helo(_) => (
            Some(Stage::Helo),
            Some(Steps::NO_HELO),
            Some(Steps::HELO_UNANSWERED),
        ),
        Command::Mail(_) => (
            Some(Stage::Mail),
            Some(Steps::NO_MAIL),
            Some(Steps::MAIL_UNANSWERED),
        ),
        Command::Rcpt(_) => (
            Some(Stage::Rcpt),
            Some(Steps::NO_RCPT),
            Some(Steps::RCPT_UNANSWERED),
        ),
        Command::Data => (
            Some(Stage::Data),
            Some(Steps::NO_DATA),
            Some(Steps::DATA_UNANSWERED),
        ),
        Command::Header { .. } => (None, Some(Steps::NO_HEADER), Some(Steps::HEADER_UNANSWERED)),
        Command::EndOfHeader => (
            Some(Stage::EndOfHeader),
            Some(Steps::NO_END_OF_HEADER),
            Some(Steps::END_OF_HEADER_UNANSWERED),
        ),
        Command::Body(_) => (None, Some(Steps::NO_BODY), Some(Steps::BODY_UNANSWERED)),
        Command::End(_) => (Some(Stage::End), None, None),
        Command::Unknown => (
            None,
            Some(Steps::NO_UNKNOWN),
            Some(Steps::UNKNOWN_UNANSWERED),
        ),
        Command::Negotiate(_)
        | Command::Macros { .. }
        | Command::Abort
        | Command::Quit
        | Command::QuitNew => return None,
    };
    let since = match command {
        Command::Unknown => 3,
        Command::Data => 4,
        _ => OLDEST,
    };
    Some(Kind {
        stage,
        spared,
        unanswered,
        since,
    })
}

/// A filter that was asked.
#[derive(Debug)]
pub struct Waiting {
    client: Client,
    for_command: u8,
}

/// What it said.
#[derive(Debug)]
pub enum Heard<'a> {
    Answer(Client, Said),
    /// It is at work; its time begins anew.
    Progress(Waiting),
    Modification(Waiting, Modification),
    /// A piece of the new body, which takes the place of the old with the first one.
    Body(Waiting, &'a [u8]),
}

impl Waiting {
    pub fn hear(self, packet: Packet<'_>) -> Result<Heard<'_>, ProtocolError> {
        let letter = char::from(packet.command);
        if packet.command == b'p' {
            return Ok(Heard::Progress(self));
        }
        let actions = self.client.agreed.actions;
        let is_end = self.for_command == b'E';
        if packet.command == b'b' {
            return match actions.contains(Actions::CHANGE_BODY) {
                _ if !is_end => Err(ProtocolError::Order(letter)),
                true => Ok(Heard::Body(self, packet.data)),
                false => Err(ProtocolError::NotAgreed(letter)),
            };
        }
        if let Some(modification) = Modification::parse(packet)? {
            if !is_end {
                return Err(ProtocolError::Order(letter));
            }
            if !actions.contains(modification.action()) {
                return Err(ProtocolError::NotAgreed(letter));
            }
            return Ok(Heard::Modification(self, modification));
        }
        let said = Said::parse(packet)?;
        if said == Said::Skip {
            if self.for_command != b'B' {
                return Err(ProtocolError::Order(letter));
            }
            if !self.client.agreed.steps.contains(Steps::SKIP) {
                return Err(ProtocolError::NotAgreed(letter));
            }
        }
        Ok(Heard::Answer(self.client, said))
    }
}
