//! The program itself, as an administrator runs it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

/// A `wasmilter serve` of its own process, killed when dropped.
pub struct Process {
    child: Child,
    listening: Vec<(String, SocketAddr)>,
}

pub fn wasmilter() -> Command {
    Command::new(env!("CARGO_BIN_EXE_wasmilter"))
}

/// Runs a command to its end, with this on its standard input.
pub fn run(arguments: &[&str], input: &str) -> Output {
    let mut child = wasmilter()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap()
}

impl Process {
    /// Returns when it has said that all listeners are ready.
    pub fn serve(config: &Path, listeners: usize) -> Self {
        let mut command = wasmilter();
        command.args(["serve", "--config", config.to_str().unwrap()]);
        Self::start(command, listeners)
    }

    /// The same of a command that ends in `serve`.
    pub fn start(mut command: Command, listeners: usize) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut listening = Vec::new();
        while listening.len() < listeners {
            let Some(line) = lines.next() else {
                let mut said = String::new();
                child
                    .stderr
                    .take()
                    .unwrap()
                    .read_to_string(&mut said)
                    .unwrap();
                panic!("it did not start: {said}");
            };
            let line = line.unwrap();
            let (protocol, address) = line.split_once(" ready on ").unwrap();
            listening.push((protocol.to_owned(), address.parse().unwrap()));
        }
        // What it logs is read on, so that it never waits for a full pipe.
        let mut log = child.stderr.take().unwrap();
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { child, listening }
    }

    pub fn address(&self, protocol: &str) -> SocketAddr {
        let mut listening = self.listening.iter();
        listening.find(|(name, _)| name == protocol).unwrap().1
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM.
    pub fn terminate(mut self) -> ExitStatus {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .unwrap()
                .success()
        );
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that sends message after message over one connection, until something goes wrong.
pub struct Sender {
    socket: BufReader<TcpStream>,
}

impl Sender {
    pub fn connect(address: SocketAddr) -> std::io::Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        let mut sender = Self {
            socket: BufReader::new(socket),
        };
        sender.reply()?;
        sender.command("EHLO client.example")?;
        Ok(sender)
    }

    /// The code of the reply to the end of data, or that of the first refusal.
    pub fn send(&mut self, to: &str, message: &str) -> std::io::Result<u16> {
        let message = format!("{message}\r\n");
        Ok(self.send_octets(to, message.as_bytes())?.0)
    }

    /// The last line of that reply too. The message ends with CRLF.
    pub fn send_octets(&mut self, to: &str, message: &[u8]) -> std::io::Result<(u16, String)> {
        for command in [
            "MAIL FROM:<sender@client.example>",
            &format!("RCPT TO:<{to}>"),
            "DATA",
        ] {
            let (code, text) = self.exchange(command.as_bytes())?;
            if code >= 400 {
                return Ok((code, text));
            }
        }
        let mut stuffed = Vec::with_capacity(message.len() + 64);
        for line in message.split_inclusive(|octet| *octet == b'\n') {
            if line.starts_with(b".") {
                stuffed.push(b'.');
            }
            stuffed.extend_from_slice(line);
        }
        stuffed.push(b'.');
        self.exchange(&stuffed)
    }

    pub fn command(&mut self, line: &str) -> std::io::Result<u16> {
        Ok(self.exchange(line.as_bytes())?.0)
    }

    pub fn exchange(&mut self, line: &[u8]) -> std::io::Result<(u16, String)> {
        self.socket.get_mut().write_all(&[line, b"\r\n"].concat())?;
        self.reply()
    }

    fn reply(&mut self) -> std::io::Result<(u16, String)> {
        loop {
            let mut line = String::new();
            if self.socket.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if line.as_bytes().get(3) == Some(&b' ') {
                return Ok((line[..3].parse().unwrap(), line[4..].trim_end().to_owned()));
            }
        }
    }
}
