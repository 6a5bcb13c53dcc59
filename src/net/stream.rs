//! One connection: TCP or a Unix socket, in the clear or under TLS, behind one type.
//! Does no handshakes and no buffering.

use crate::mail;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsStream;

/// Who is at the other end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Peer {
    Tcp(SocketAddr),
    Unix,
}

impl Peer {
    /// None for local sockets.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(address) => Some(address.ip()),
            Self::Unix => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix => f.write_str("a local socket"),
        }
    }
}

/// A connection as protocols read and write it.
#[derive(Debug)]
pub struct Stream {
    io: Io,
    peer: Peer,
}

#[derive(Debug)]
enum Io {
    Plain(Plain),
    // A TLS connection is about a kilobyte; boxed, it costs only those that use it.
    Tls(Box<TlsStream<Plain>>),
}

/// What TLS can be put on.
#[derive(Debug)]
pub(super) enum Plain {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    pub(super) fn plain(connection: Plain) -> io::Result<Self> {
        match connection {
            Plain::Tcp(stream) => Self::tcp(stream),
            Plain::Unix(stream) => Ok(Self::unix(stream)),
        }
    }

    /// Switches Nagle's algorithm off: replies are written in batches already, and waiting for more delays them.
    pub fn tcp(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let peer = stream.peer_addr()?;
        // An IPv4 client of a dual-stack socket is an IPv4 client.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        Ok(Self {
            io: Io::Plain(Plain::Tcp(stream)),
            peer: Peer::Tcp(peer),
        })
    }

    pub fn unix(stream: UnixStream) -> Self {
        Self {
            io: Io::Plain(Plain::Unix(stream)),
            peer: Peer::Unix,
        }
    }

    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// The same connection of another client: a proxy said whose it is.
    pub(super) fn with_peer(self, peer: Peer) -> Self {
        Self { peer, ..self }
    }

    pub fn is_tls(&self) -> bool {
        matches!(self.io, Io::Tls(_))
    }

    /// What was negotiated, once it was.
    pub fn tls(&self) -> Option<mail::Tls> {
        let Io::Tls(stream) = &self.io else {
            return None;
        };
        let (_, connection) = stream.get_ref();
        let version = connection.protocol_version()?.as_str()?;
        let cipher = connection.negotiated_cipher_suite()?.suite().as_str()?;
        Some(mail::Tls {
            // rustls says "TLSv1_3"; the rest of the world writes "TLSv1.3".
            version: version.replace('_', "."),
            cipher: cipher.to_owned(),
            client: connection
                .peer_certificates()
                .and_then(|chain| chain.first())
                .and_then(|certificate| super::tls::owner(certificate)),
        })
    }

    pub(super) fn is_tls13(&self) -> bool {
        let version = match &self.io {
            Io::Tls(stream) => stream.get_ref().1.protocol_version(),
            Io::Plain(_) => None,
        };
        version == Some(rustls::ProtocolVersion::TLSv1_3)
    }

    /// The socket for a handshake; an error if TLS is on already (RFC 3207 §4.2 allows no second one).
    pub(super) fn into_plain(self) -> io::Result<(Plain, Peer)> {
        match self.io {
            Io::Plain(plain) => Ok((plain, self.peer)),
            Io::Tls(_) => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "TLS is already on",
            )),
        }
    }

    pub(super) fn under_tls(stream: TlsStream<Plain>, peer: Peer) -> Self {
        Self {
            io: Io::Tls(Box::new(stream)),
            peer,
        }
    }
}

/// Calls the same method on whichever stream it is.
macro_rules! each {
    ($self:ident, $stream:ident => $call:expr) => {
        match &mut $self.get_mut().io {
            Io::Plain(Plain::Tcp(socket)) => {
                let $stream = Pin::new(socket);
                $call
            }
            Io::Plain(Plain::Unix(socket)) => {
                let $stream = Pin::new(socket);
                $call
            }
            Io::Tls(tls) => {
                let $stream = Pin::new(tls.as_mut());
                $call
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => stream.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(Plain::Tcp(socket)) => socket.is_write_vectored(),
            Io::Plain(Plain::Unix(socket)) => socket.is_write_vectored(),
            Io::Tls(tls) => tls.is_write_vectored(),
        }
    }
}

impl AsyncRead for Plain {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_read(cx, buf),
            Self::Unix(socket) => Pin::new(socket).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Plain {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_write(cx, buf),
            Self::Unix(socket) => Pin::new(socket).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_flush(cx),
            Self::Unix(socket) => Pin::new(socket).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Unix(socket) => Pin::new(socket).poll_shutdown(cx),
        }
    }
}
