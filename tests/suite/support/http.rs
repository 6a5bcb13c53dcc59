//! An HTTP client that says what the test says, over connections that the test holds.

use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub const SECRET: &str = "0123456789abcdef0123";

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("{} {}", self.status, String::from_utf8_lossy(&self.body)))
    }
}

pub struct Client(TcpStream);

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    pub async fn write(&mut self, octets: &[u8]) -> std::io::Result<()> {
        self.0.write_all(octets).await
    }

    /// `head`: the request line and fields, without Content-Length.
    pub async fn request(&mut self, head: &str, body: &[u8]) -> Answer {
        let head = format!("{head}Host: x\r\nContent-Length: {}\r\n\r\n", body.len());
        self.write(head.as_bytes()).await.unwrap();
        // One that is refused before its end is read may not be taken whole.
        let _ = self.write(body).await;
        self.answer().await.expect("no answer")
    }

    /// None where the connection ends without one.
    pub async fn answer(&mut self) -> Option<Answer> {
        let reading = async {
            let mut octets = Vec::new();
            loop {
                if let Some(end) = octets.windows(4).position(|four| four == b"\r\n\r\n") {
                    let mut body = octets.split_off(end + 4);
                    let head = String::from_utf8(octets).unwrap();
                    let length = head.lines().find_map(|line| {
                        let (name, value) = line.split_once(':')?;
                        let is = name.eq_ignore_ascii_case("content-length");
                        is.then(|| value.trim().parse::<usize>().unwrap())
                    });
                    while body.len() < length.unwrap_or(0) {
                        if self.0.read_buf(&mut body).await.ok()? == 0 {
                            return None;
                        }
                    }
                    let status = head.split(' ').nth(1)?.parse().ok()?;
                    return Some(Answer { status, head, body });
                }
                if self.0.read_buf(&mut octets).await.ok()? == 0 {
                    return None;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), reading)
            .await
            .expect("it took more than a minute")
    }
}

/// One request with the secret, on a connection of its own.
pub async fn post(address: SocketAddr, path: &str, fields: &str, body: &[u8]) -> Answer {
    let head = format!("POST {path} HTTP/1.1\r\nAuthorization: Bearer {SECRET}\r\n{fields}");
    Client::connect(address).await.request(&head, body).await
}
