//! The mail server's side of the milter protocol, as a test scripts it. It makes the changes that it is asked for.

use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const NO_HEADER: u32 = 0x20;
const NO_BODY: u32 = 0x10;
const LEADING_SPACE: u32 = 0x10_0000;

/// What Postfix offers: all actions, all steps.
pub const V6: (u32, u32, u32) = (6, 0x1ff, 0x1f_ffff);
/// What Sendmail 8.13 offered.
pub const V2: (u32, u32, u32) = (2, 0x3f, 0x7f);

pub struct Mta {
    pub stream: TcpStream,
    pub version: u32,
    pub actions: u32,
    pub steps: u32,
    /// What it wants to know: stage and names.
    pub macros: Vec<(u32, String)>,
    /// Octets of header fields and body sent.
    pub sent: usize,
}

/// What a message has become.
#[derive(Debug, Default, PartialEq)]
pub struct Outcome {
    /// 'c', 'y' …
    pub answer: char,
    /// Of 'y'.
    pub text: String,
    /// All letters before the answer.
    pub changes: String,
    pub message: String,
    pub sender: Option<String>,
    pub added: Vec<String>,
    pub deleted: Vec<String>,
    /// Why it is to be held.
    pub held: Option<String>,
}

impl Mta {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::offering(address, V6).await
    }

    pub async fn offering(address: SocketAddr, (version, actions, steps): (u32, u32, u32)) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut mta = Self {
            stream,
            version: 0,
            actions: 0,
            steps: 0,
            macros: Vec::new(),
            sent: 0,
        };
        let numbers = [version, actions, steps];
        let data: Vec<u8> = numbers.iter().flat_map(|n| n.to_be_bytes()).collect();
        mta.send(b'O', &data).await;
        let (letter, data) = mta.packet().await.unwrap();
        assert_eq!(letter, 'O');
        let number = |at: usize| u32::from_be_bytes(data[at..at + 4].try_into().unwrap());
        (mta.version, mta.actions, mta.steps) = (number(0), number(4), number(8));
        let mut rest = &data[12..];
        while !rest.is_empty() {
            let end = 4 + rest[4..].iter().position(|octet| *octet == 0).unwrap();
            let stage = u32::from_be_bytes(rest[..4].try_into().unwrap());
            mta.macros
                .push((stage, String::from_utf8(rest[4..end].to_vec()).unwrap()));
            rest = &rest[end + 1..];
        }
        mta
    }

    pub async fn send(&mut self, command: u8, data: &[u8]) {
        let octets = packet(command, data);
        self.stream.write_all(&octets).await.unwrap();
    }

    /// None if the connection is at its end.
    pub async fn raw(&mut self) -> Option<(char, Vec<u8>)> {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).await.ok()?;
        let mut octets = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut octets).await.ok()?;
        Some((char::from(octets[0]), octets[1..].to_vec()))
    }

    /// The next that is not a word to go on waiting.
    pub async fn packet(&mut self) -> Option<(char, Vec<u8>)> {
        loop {
            match self.raw().await? {
                ('p', _) => {}
                other => return Some(other),
            }
        }
    }

    pub async fn macros(&mut self, command: u8, pairs: &[(&str, &str)]) {
        let mut data = vec![command];
        for (name, value) in pairs {
            data.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
        }
        self.send(b'D', &data).await;
    }

    /// The answer, or 'c' where none was agreed on.
    pub async fn ask(&mut self, command: u8, data: &[u8]) -> (char, String) {
        self.send(command, data).await;
        let unanswered = match command {
            b'C' => 0x1000,
            b'H' => 0x2000,
            b'M' => 0x4000,
            b'R' => 0x8000,
            b'T' => 0x1_0000,
            b'U' => 0x2_0000,
            b'N' => 0x4_0000,
            b'B' => 0x8_0000,
            b'L' => 0x80,
            other => panic!("{other}"),
        };
        if self.steps & unanswered != 0 {
            return ('c', String::new());
        }
        let (letter, data) = self.packet().await.unwrap();
        (letter, text(&data))
    }

    /// Up to MAIL.
    pub async fn session(&mut self) {
        self.macros(b'C', &[("j", "mx.example.test")]).await;
        let client = b"mail.client.test\x004\x30\x39192.0.2.7\0";
        assert_eq!(self.ask(b'C', client).await.0, 'c');
        assert_eq!(self.ask(b'H', b"mail.client.test\0").await.0, 'c');
    }

    pub async fn envelope(&mut self, recipients: &[&str]) {
        assert_eq!(self.ask(b'M', b"<a@client.test>\0").await.0, 'c');
        for recipient in recipients {
            let argument = format!("<{recipient}>\0");
            assert_eq!(self.ask(b'R', argument.as_bytes()).await.0, 'c');
        }
    }

    /// A whole message, as this queue id.
    pub async fn message(&mut self, id: &str, recipients: &[&str], message: &str) -> Outcome {
        self.envelope(recipients).await;
        self.content(id, message).await
    }

    /// From the header to the answer.
    pub async fn content(&mut self, id: &str, message: &str) -> Outcome {
        let (mut fields, body) = split(message);
        let space = self.steps & LEADING_SPACE != 0;
        for (name, value) in &fields {
            if self.steps & NO_HEADER != 0 {
                break;
            }
            let value = value.replace("\r\n", "\n");
            let value = if space {
                &value[..]
            } else {
                value.strip_prefix(' ').unwrap_or(&value)
            };
            let data = [name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat();
            self.sent += data.len();
            let (letter, text) = self.ask(b'L', &data).await;
            if letter != 'c' {
                return refused(letter, text);
            }
        }
        if self.steps & 0x40 == 0 {
            assert_eq!(self.ask(b'N', b"").await.0, 'c');
        }
        if self.steps & NO_BODY == 0 {
            for piece in body.as_bytes().chunks(65_535) {
                self.sent += piece.len();
                match self.ask(b'B', piece).await {
                    ('c', _) => {}
                    ('s', _) => break,
                    (letter, text) => return refused(letter, text),
                }
            }
        }
        self.macros(b'E', &[("i", id)]).await;
        self.send(b'E', b"").await;
        // What it adds itself, and does not show.
        fields.insert(0, ("Received".into(), " by mx.example.test".into()));
        self.made(fields, body).await
    }

    /// Reads the changes and makes them.
    async fn made(&mut self, mut fields: Vec<(String, String)>, mut body: String) -> Outcome {
        let space = self.steps & LEADING_SPACE != 0;
        let mut outcome = Outcome::default();
        let mut is_replaced = false;
        loop {
            let (letter, data) = self.packet().await.expect("no answer");
            let index = || u32::from_be_bytes(data[..4].try_into().unwrap()) as usize;
            let field = |data: &[u8]| {
                let texts = texts(data);
                assert!(!texts[1].contains('\r'), "{texts:?}");
                let value = texts[1].replace('\n', "\r\n");
                let value = if space { value } else { format!(" {value}") };
                (texts[0].clone(), value)
            };
            match letter {
                'h' => fields.push(field(&data)),
                'i' => fields.insert(index().min(fields.len()), field(&data[4..])),
                'm' => {
                    let (name, value) = field(&data[4..]);
                    let is_removed = texts(&data[4..])[1].is_empty();
                    let mut of_name = fields
                        .iter()
                        .enumerate()
                        .skip(1)
                        .filter(|(_, (other, _))| other.eq_ignore_ascii_case(&name));
                    let at = of_name.nth(index() - 1).expect("no such field").0;
                    if is_removed {
                        fields.remove(at);
                    } else {
                        fields[at] = (name, value);
                    }
                }
                'b' => {
                    if !std::mem::replace(&mut is_replaced, true) {
                        body.clear();
                    }
                    body.push_str(&text(&data));
                }
                'e' => outcome.sender = Some(texts(&data).join(" ")),
                '+' | '2' => outcome.added.push(texts(&data).join(" ")),
                '-' => outcome.deleted.push(texts(&data).join(" ")),
                'q' => outcome.held = Some(texts(&data).remove(0)),
                _ => {
                    outcome.answer = letter;
                    outcome.text = text(&data).trim_end_matches('\0').to_owned();
                    break;
                }
            }
            outcome.changes.push(letter);
        }
        fields.retain(|(_, value)| value != " by mx.example.test");
        let fields = fields
            .iter()
            .map(|(name, value)| format!("{name}:{value}\r\n"));
        outcome.message = format!("{}\r\n{body}", fields.collect::<String>());
        outcome
    }
}

pub fn packet(command: u8, data: &[u8]) -> Vec<u8> {
    let mut octets = (data.len() as u32 + 1).to_be_bytes().to_vec();
    octets.push(command);
    octets.extend_from_slice(data);
    octets
}

fn refused(answer: char, text: String) -> Outcome {
    Outcome {
        answer,
        text: text.trim_end_matches('\0').to_owned(),
        ..Outcome::default()
    }
}

/// Name and value, which begins behind the colon, of each field; the body.
fn split(message: &str) -> (Vec<(String, String)>, String) {
    let (header, body) = message.split_once("\r\n\r\n").unwrap();
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in header.split("\r\n") {
        if line.starts_with([' ', '\t']) {
            let (_, value) = fields.last_mut().unwrap();
            value.push_str("\r\n");
            value.push_str(line);
        } else {
            let (name, value) = line.split_once(':').unwrap();
            fields.push((name.to_owned(), value.to_owned()));
        }
    }
    (fields, body.to_owned())
}

fn text(data: &[u8]) -> String {
    String::from_utf8(data.to_vec()).unwrap()
}

fn texts(data: &[u8]) -> Vec<String> {
    let data = data.strip_suffix(&[0]).expect("not ended by NUL");
    data.split(|octet| *octet == 0).map(text).collect()
}
