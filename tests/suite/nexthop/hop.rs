//! A next hop that says what the test wants, right or wrong, and remembers what it was told.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

pub const EXTENSIONS: &str = "250-next.test\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250-XFORWARD NAME ADDR HELO IDENT PROTO\r\n250 ENHANCEDSTATUSCODES\r\n";

/// What is said in place of what a server would say, to a line that begins so; `.` is the end of a message, and so is `BDAT`.
#[derive(Debug, Clone)]
pub enum Say {
    Text(&'static str),
    /// Nothing, ever.
    Hang,
    Close,
    /// This, once the test says so.
    Then(Arc<Notify>, &'static str),
    /// This, and then the end.
    Last(&'static str),
}

#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Command lines.
    pub lines: Vec<String>,
    /// As they came, without what DATA puts in.
    pub messages: Vec<Vec<u8>>,
}

pub struct Hop {
    pub address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    running: JoinHandle<()>,
}

impl Drop for Hop {
    fn drop(&mut self) {
        self.running.abort();
    }
}

type Script = Arc<Mutex<VecDeque<(&'static str, Say)>>>;

impl Hop {
    pub async fn start(script: &[(&'static str, Say)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::<Mutex<Seen>>::default();
        let script: Script = Arc::new(Mutex::new(script.iter().cloned().collect()));
        let shared = Arc::clone(&seen);
        let running = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(converse(socket, Arc::clone(&script), Arc::clone(&shared)));
            }
        });
        Self {
            address,
            seen,
            running,
        }
    }

    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }

    /// The only message that it has.
    pub fn message(&self) -> String {
        let mut seen = self.seen();
        assert_eq!(seen.messages.len(), 1, "{:?}", seen.lines);
        String::from_utf8(seen.messages.remove(0)).unwrap()
    }

    pub fn told(&self, line: &str) -> bool {
        self.seen().lines.iter().any(|told| told == line)
    }
}

/// The first that fits is said once; the others wait for their turn.
fn scripted(script: &Script, line: &str) -> Option<Say> {
    let mut script = script.lock().unwrap();
    let at = script
        .iter()
        .position(|(begin, _)| line.starts_with(begin))?;
    script.remove(at).map(|(_, say)| say)
}

async fn converse(
    socket: TcpStream,
    script: Script,
    seen: Arc<Mutex<Seen>>,
) -> std::io::Result<()> {
    let mut socket = BufReader::new(socket);
    let (mut lmtp, mut recipients) = (false, Vec::<String>::new());
    let mut line = String::from("CONNECT");
    loop {
        let mut answers = Vec::new();
        if let Some(say) = scripted(&script, &line) {
            answers.push(say);
        } else if line == "CONNECT" {
            answers.push(Say::Text("220 next.test\r\n"));
        } else if line == "DATA" {
            answers.push(Say::Text("354 go\r\n"));
        } else if line.starts_with("EHLO") || line.starts_with("LHLO") {
            lmtp = line.starts_with("LHLO");
            answers.push(Say::Text(EXTENSIONS));
        } else if line == "QUIT" {
            answers.push(Say::Last("221 bye\r\n"));
        } else if !line.starts_with("BDAT") {
            answers.push(Say::Text("250 2.1.0 fine\r\n"));
        }
        if line.starts_with("RCPT")
            && matches!(answers.first(), Some(Say::Text(text)) if text.starts_with('2'))
        {
            recipients.push(line.clone());
        }
        let message = match line.strip_prefix("BDAT ") {
            Some(size) => {
                let size = size.strip_suffix(" LAST").unwrap().parse().unwrap();
                let mut message = vec![0; size];
                socket.read_exact(&mut message).await?;
                Some(message)
            }
            None if line == "DATA" && matches!(answers.first(), Some(Say::Text("354 go\r\n"))) => {
                socket.write_all(b"354 go\r\n").await?;
                answers.clear();
                Some(data(&mut socket).await?)
            }
            None => None,
        };
        if let Some(message) = message {
            seen.lock().unwrap().messages.push(message);
            for _ in 0..if lmtp { recipients.len() } else { 1 } {
                answers
                    .push(scripted(&script, ".").unwrap_or(Say::Text("250 2.0.0 taken as 17\r\n")));
            }
            recipients.clear();
        }
        for answer in answers {
            match answer {
                Say::Text(text) => socket.write_all(text.as_bytes()).await?,
                Say::Hang => std::future::pending().await,
                Say::Close => return Ok(()),
                Say::Then(now, text) => {
                    now.notified().await;
                    socket.write_all(text.as_bytes()).await?;
                }
                Say::Last(text) => return socket.write_all(text.as_bytes()).await,
            }
        }
        line.clear();
        if socket.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        line.truncate(line.trim_end().len());
        seen.lock().unwrap().lines.push(line.clone());
    }
}

async fn data(socket: &mut BufReader<TcpStream>) -> std::io::Result<Vec<u8>> {
    let mut message = Vec::new();
    loop {
        let mut line = Vec::new();
        if socket.read_until(b'\n', &mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line == b".\r\n" {
            return Ok(message);
        }
        message.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}
