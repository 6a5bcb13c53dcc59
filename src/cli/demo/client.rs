//! The least SMTP client: sends one message after the other over one connection, to the demo's own server.

use anyhow::{Context, bail};
use std::net::SocketAddr;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;

pub struct Client {
    stream: BufStream<TcpStream>,
}

/// The last line of a reply.
pub struct Answer {
    pub code: u16,
    pub text: String,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        let mut client = Self {
            stream: BufStream::new(stream),
        };
        client.answer().await?;
        client.command("EHLO demo.example.test").await?;
        Ok(client)
    }

    /// The answer to the end of data, or the first refusal before it.
    pub async fn send(
        &mut self,
        from: &str,
        to: &[String],
        message: &[u8],
    ) -> anyhow::Result<Answer> {
        let eight_bit = if message.is_ascii() {
            ""
        } else {
            " BODY=8BITMIME"
        };
        let mut commands = vec![format!("MAIL FROM:<{from}>{eight_bit}")];
        commands.extend(to.iter().map(|to| format!("RCPT TO:<{to}>")));
        for command in commands {
            let answer = self.command(&command).await?;
            if answer.code >= 400 {
                self.command("RSET").await?;
                return Ok(answer);
            }
        }
        let answer = self.command("DATA").await?;
        if answer.code != 354 {
            return Ok(answer);
        }
        for line in message.split_inclusive(|octet| *octet == b'\n') {
            if line.starts_with(b".") {
                self.stream.write_all(b".").await?;
            }
            self.stream.write_all(line).await?;
        }
        self.command(".").await
    }

    async fn command(&mut self, line: &str) -> anyhow::Result<Answer> {
        self.stream.write_all(line.as_bytes()).await?;
        self.stream.write_all(b"\r\n").await?;
        self.stream.flush().await?;
        self.answer().await
    }

    async fn answer(&mut self) -> anyhow::Result<Answer> {
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).await? == 0 {
                bail!("the server closed the connection");
            }
            let code = line.get(..3).and_then(|code| code.parse().ok());
            let code = code.with_context(|| format!("{line:?} is not a reply"))?;
            if line.get(3..4) != Some("-") {
                let text = line.get(4..).unwrap_or_default().trim_end().to_owned();
                return Ok(Answer { code, text });
            }
        }
    }
}
