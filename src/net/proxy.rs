//! Reads the PROXY header of a connection that comes over a proxy of ours, before anything else of it.
//! What the header looks like is in `proto::proxy`.

use super::{Networks, Peer, Stream};
use crate::proto::proxy::{Header, Reader};
use std::io;
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// Time for the whole header. The proxy sends it at once; three seconds are what its specification asks for at least, to survive
/// a packet that was lost.
const DEADLINE: Duration = Duration::from_secs(5);

/// Who is believed.
#[derive(Debug, Clone)]
pub struct Proxies {
    networks: Networks,
    deadline: Duration,
}

impl Proxies {
    pub fn new(networks: Networks) -> Self {
        Self {
            networks,
            deadline: DEADLINE,
        }
    }

    /// The same with another deadline for the header.
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// The same connection, its peer the client that the header names. An error from anybody else than a proxy: whether there is a
    /// header must not be guessed (proxy-protocol.txt §2), or any client could say that it is another.
    pub async fn accept(&self, mut stream: Stream) -> io::Result<Stream> {
        let invalid = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
        if !self.networks.contains_peer(stream.peer()) {
            return Err(invalid(
                "it is not in [trusted] proxies, and this listener takes connections from proxies only".to_owned(),
            ));
        }
        let header = tokio::time::timeout(self.deadline, header(&mut stream))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok(match header {
            Header::Local | Header::Unknown => stream,
            Header::Proxied { source, .. } => stream.with_peer(Peer::Tcp(source)),
        })
    }
}

async fn header(stream: &mut Stream) -> io::Result<Header> {
    let mut reader = Reader::new();
    let mut buffer = [0; 256];
    loop {
        let wanted = reader.wanted().min(buffer.len());
        let room = buffer.get_mut(..wanted).unwrap_or_default();
        let count = stream.read(room).await?;
        let octets = buffer.get(..count).unwrap_or_default();
        if octets.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let pushed = reader.push(octets);
        if let Some(header) =
            pushed.map_err(|fault| io::Error::new(io::ErrorKind::InvalidData, fault))?
        {
            return Ok(header);
        }
    }
}
