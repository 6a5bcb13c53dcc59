//! Reads the PROXY header of a connection that comes over a proxy of ours, before anything else of it.
//! What the header looks like is in `proto::proxy`.

use super::{Networks, Peer, Quiet, Stream};
use crate::proto::proxy::{Header, Reader};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
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
    quiet: Arc<Quiet<Option<IpAddr>>>,
}

impl Proxies {
    pub fn new(networks: Networks) -> Self {
        Self {
            networks,
            deadline: DEADLINE,
            quiet: Arc::default(),
        }
    }

    /// The same with another deadline for the header.
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// The same connection, its peer the client that the header names. None from anybody else than a proxy: whether there is a
    /// header must not be guessed (proxy-protocol.txt §2), or any client could say that it is another.
    pub async fn accept(&self, stream: Stream) -> Option<Stream> {
        let peer = stream.peer();
        match self.read(stream).await {
            Ok(stream) => Some(stream),
            Err(error) => {
                if self.quiet.is_over_for(peer) {
                    tracing::info!(%peer, %error, "turned away: no PROXY header to be believed");
                }
                None
            }
        }
    }

    async fn read(&self, mut stream: Stream) -> io::Result<Stream> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::logged::Logged;
    use tokio::net::{TcpListener, TcpStream};

    #[tokio::test]
    async fn who_is_no_proxy_is_in_the_log_once_a_minute() {
        let log = Logged::start();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxies = Proxies::new(Networks::parse(["192.0.2.1"]).unwrap());
        for _ in 0..3 {
            let address = listener.local_addr().unwrap();
            let client = TcpStream::connect(address).await.unwrap();
            let stream = Stream::tcp(listener.accept().await.unwrap().0).unwrap();
            assert!(proxies.accept(stream).await.is_none());
            drop(client);
        }
        assert_eq!(log.count("turned away"), 1);
    }
}
