//! A scripted IMAP client. Each response is read by imap-codec too: the server writes nothing that a client could not parse.

use super::soon;
use imap_codec::ResponseCodec;
use imap_codec::decode::Decoder;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

pub trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Socket for T {}

pub struct Client {
    socket: BufReader<Box<dyn Socket>>,
    tags: u32,
}

#[derive(Debug)]
pub struct Answer {
    /// Without their `* ` and the last CRLF.
    pub untagged: Vec<String>,
    /// Without its tag.
    pub tagged: String,
}

impl Answer {
    #[track_caller]
    pub fn ok(self) -> Vec<String> {
        assert!(self.tagged.starts_with("OK"), "{self:#?}");
        self.untagged
    }

    /// The status and the code: `NO [TRYCREATE]`.
    #[track_caller]
    pub fn is(self, start: &str) -> Vec<String> {
        assert!(self.tagged.starts_with(start), "{start}: {self:#?}");
        self.untagged
    }
}

impl Client {
    pub fn over(socket: Box<dyn Socket>) -> Self {
        Self {
            socket: BufReader::new(socket),
            tags: 0,
        }
    }

    pub fn into_socket(self) -> Box<dyn Socket> {
        assert!(self.socket.buffer().is_empty());
        self.socket.into_inner()
    }

    pub async fn send(&mut self, octets: impl AsRef<[u8]>) {
        soon(self.socket.write_all(octets.as_ref())).await.unwrap();
        soon(self.socket.flush()).await.unwrap();
    }

    /// The next response with its literals, without its last CRLF; `None` at the end of the connection.
    pub async fn response(&mut self) -> Option<String> {
        let mut response = Vec::new();
        loop {
            let start = response.len();
            let read = self.socket.read_until(b'\n', &mut response);
            if soon(read).await.unwrap_or(0) == 0 {
                return None;
            }
            let line = String::from_utf8_lossy(&response[start..]).into_owned();
            let line = line.strip_suffix("\r\n").expect("a line ends with CRLF");
            let announced = line.strip_suffix('}').and_then(|line| {
                let (_, digits) = line.rsplit_once('{')?;
                digits.parse::<usize>().ok()
            });
            let Some(length) = announced else { break };
            let at = response.len();
            response.resize(at + length, 0);
            soon(self.socket.read_exact(&mut response[at..]))
                .await
                .unwrap();
        }
        let is_odd = response.starts_with(b"* ENABLED\r") || response.contains(&0);
        if !is_odd && ResponseCodec::default().decode(&response).is_err() {
            // Not the rest of it: it may be of a real message.
            let start = String::from_utf8_lossy(&response[..response.len().min(30)]).into_owned();
            panic!("this cannot be parsed: {start}");
        }
        response.truncate(response.len() - 2);
        Some(String::from_utf8_lossy(&response).into_owned())
    }

    /// The responses up to the tagged one of that tag.
    pub async fn answer(&mut self, tag: &str) -> Answer {
        let mut untagged = Vec::new();
        loop {
            let response = self.response().await.expect("the connection has ended");
            if let Some(tagged) = response.strip_prefix(&format!("{tag} ")) {
                let tagged = tagged.to_owned();
                return Answer { untagged, tagged };
            }
            let response = response.strip_prefix("* ").unwrap_or(&response);
            untagged.push(response.to_owned());
        }
    }

    pub async fn say(&mut self, command: impl AsRef<[u8]>) -> Answer {
        self.tags += 1;
        let tag = format!("t{}", self.tags);
        let line = [tag.as_bytes(), b" ", command.as_ref(), b"\r\n"].concat();
        self.send(line).await;
        self.answer(&tag).await
    }

    #[track_caller]
    pub fn append<'a>(
        &'a mut self,
        mailbox: &str,
        message: &str,
    ) -> impl Future<Output = Answer> + 'a {
        let command = format!("APPEND {mailbox} {{{}+}}\r\n{message}", message.len());
        async move { self.say(command).await }
    }
}
