//! A client that says what the test says, right or wrong.

use super::soon;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use wasmilter::net::Endpoint;

pub trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Socket for T {}

pub struct Client {
    socket: Box<dyn Socket>,
    received: Vec<u8>,
}

impl Client {
    /// Does not wait for the greeting.
    pub async fn silent(endpoint: &Endpoint) -> Self {
        let socket: Box<dyn Socket> = match endpoint {
            Endpoint::Tcp(address) => Box::new(TcpStream::connect(address).await.unwrap()),
            Endpoint::Unix(path) => Box::new(UnixStream::connect(path).await.unwrap()),
        };
        Self::over(socket)
    }

    pub fn over(socket: Box<dyn Socket>) -> Self {
        Self {
            socket,
            received: Vec::new(),
        }
    }

    pub async fn connect(endpoint: &Endpoint) -> Self {
        let mut client = Self::silent(endpoint).await;
        assert_eq!(client.reply().await, "220 mx.example.test ESMTP wasmilter");
        client
    }

    pub fn into_socket(self) -> Box<dyn Socket> {
        assert!(self.received.is_empty());
        self.socket
    }

    pub async fn write(&mut self, octets: &[u8]) {
        soon(self.socket.write_all(octets)).await.unwrap();
        self.socket.flush().await.unwrap();
    }

    /// All lines of the next reply, joined by LF.
    pub async fn reply(&mut self) -> String {
        let mut lines = Vec::new();
        loop {
            let line = soon(self.line()).await.expect("the connection was closed");
            let last = line.as_bytes().get(3) != Some(&b'-');
            lines.push(line);
            if last {
                return lines.join("\n");
            }
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.received.windows(2).position(|pair| pair == b"\r\n") {
                let rest = self.received.split_off(at + 2);
                let line = std::mem::replace(&mut self.received, rest);
                return Ok(String::from_utf8(line[..at].to_vec()).unwrap());
            }
            let mut buffer = [0; 4096];
            match self.socket.read(&mut buffer).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.received.extend_from_slice(&buffer[..count]),
            }
        }
    }

    /// What comes until the server closes.
    pub async fn rest(&mut self) -> String {
        let mut rest = std::mem::take(&mut self.received);
        soon(self.socket.read_to_end(&mut rest)).await.unwrap();
        String::from_utf8(rest).unwrap()
    }

    /// What comes until the connection ends, however it ends.
    pub async fn end(&mut self) -> String {
        let mut rest = std::mem::take(&mut self.received);
        // One that is cut with octets unread is reset.
        let _ = soon(self.socket.read_to_end(&mut rest)).await;
        String::from_utf8(rest).unwrap()
    }

    pub async fn say(&mut self, line: &str) -> String {
        self.write(format!("{line}\r\n").as_bytes()).await;
        self.reply().await
    }

    /// Says each line and compares code and enhanced code.
    pub async fn dialogue(&mut self, lines: &[(&str, &str)]) {
        for (line, code) in lines {
            let reply = self.say(line).await;
            assert!(
                reply.starts_with(code),
                "{line:?} got {reply:?}, not {code}"
            );
        }
    }

    /// From EHLO to the 354.
    pub async fn up_to_data(&mut self) {
        self.dialogue(&[
            ("EHLO client.test", "250-mx.example.test"),
            ("MAIL FROM:<sender@client.test>", "250 2.1.0"),
            ("RCPT TO:<alice@example.test>", "250 2.1.5"),
            ("DATA", "354 "),
        ])
        .await;
    }
}
