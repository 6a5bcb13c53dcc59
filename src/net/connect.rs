//! Connections that this server makes: to an address or a local socket, and the client's side of TLS.
//! Speaks no protocol.

use super::{Endpoint, Stream, TlsError};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::{TlsConnector, TlsStream};

/// Where to connect to: "127.0.0.1:10026", "[::1]:10026", "postfix.internal:10026" or "unix:/run/dovecot/lmtp".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remote {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address to connect to")]
pub struct RemoteError(String);

impl FromStr for Remote {
    type Err = RemoteError;
    fn from_str(text: &str) -> Result<Self, RemoteError> {
        let bad = || RemoteError(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.starts_with('/') {
                true => Ok(Self::Unix(path.into())),
                false => Err(bad()),
            };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
        let port = port.parse().ok().filter(|port| *port != 0);
        let port = port.ok_or_else(bad)?;
        let inside = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let host = inside.unwrap_or(host);
        // An address, or a name of letters, digits and what stands between them.
        if ServerName::try_from(host).is_err() || inside.is_none() && host.contains(':') {
            return Err(bad());
        }
        Ok(Self::Tcp {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Remote {
    /// The name or address that a certificate of it is for; none for a local socket.
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::Tcp { host, .. } => Some(host),
            Self::Unix(_) => None,
        }
    }

    /// Whether a connection to it comes to this listener, as far as that can be told without asking for names: of these "localhost" is known.
    pub fn reaches(&self, listener: &Endpoint) -> bool {
        let (host, port, listener) = match (self, listener) {
            (Self::Unix(path), Endpoint::Unix(socket)) => return path == socket,
            (Self::Tcp { host, port }, Endpoint::Tcp(address)) => (host, *port, address),
            _ => return false,
        };
        // RFC 6761 §6.3
        let addresses = match host.parse::<IpAddr>() {
            Ok(address) => vec![address.to_canonical()],
            Err(_) if host.eq_ignore_ascii_case("localhost") => {
                vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
            }
            Err(_) => Vec::new(),
        };
        port == listener.port()
            && addresses
                .into_iter()
                .any(|address| is_taken(address, listener.ip().to_canonical()))
    }

    /// Names are looked up by the system.
    pub async fn connect(&self, within: Duration) -> io::Result<Stream> {
        let end = Instant::now() + within;
        match self {
            Self::Tcp { host, port } => {
                let found = timeout_at(end, lookup_host((host.as_str(), *port))).await??;
                let addresses: Vec<_> = found.collect();
                Stream::tcp(first(&addresses, end, TcpStream::connect).await?)
            }
            Self::Unix(path) => {
                let connected = timeout_at(end, UnixStream::connect(path)).await??;
                Ok(Stream::unix(connected))
            }
        }
    }
}

/// The first that takes a connection. Each has its share of the time that is left: one that never answers leaves some for those behind it.
async fn first<C, F: Future<Output = io::Result<C>>>(
    addresses: &[SocketAddr],
    end: Instant,
    connect: impl Fn(SocketAddr) -> F,
) -> io::Result<C> {
    let mut failed = io::Error::from(io::ErrorKind::NotFound);
    for (number, address) in addresses.iter().enumerate() {
        let share = end.saturating_duration_since(Instant::now())
            / u32::try_from(addresses.len() - number).unwrap_or(u32::MAX);
        match timeout(share, connect(*address)).await {
            Ok(Ok(connected)) => return Ok(connected),
            Ok(Err(error)) => failed = error,
            Err(late) => failed = late.into(),
        }
    }
    Err(failed)
}

/// Whether who listens there takes connections to this address. To no address goes to this machine.
fn is_taken(to: IpAddr, listener: IpAddr) -> bool {
    let to = match to {
        IpAddr::V4(to) if to.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(to) if to.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        to => to,
    };
    // "[::]" takes those of IPv4 too.
    let family = listener.is_ipv6() || to.is_ipv4();
    to == listener || listener.is_unspecified() && family && is_here(to)
}

/// Whether it is an address of this machine: then what is sent there comes from that very address.
fn is_here(address: IpAddr) -> bool {
    address.is_loopback() || source(address).is_ok_and(|source| source == address)
}

/// The address that the system would send from. Nothing is sent.
fn source(to: IpAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match to {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((to, 25))?;
    Ok(socket.local_addr()?.ip())
}

/// What is needed to speak TLS to one server whose certificate is verified. Cheap to clone.
#[derive(Clone)]
pub struct TlsClient {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClient")
            .field("name", &self.name)
            .finish()
    }
}

impl TlsClient {
    /// `name`: that its certificate must be for. `ca`: a PEM file of the certificates that it may be signed by, or of its own; none: the
    /// public authorities.
    pub fn new(name: &str, ca: Option<&Path>) -> Result<Self, TlsError> {
        let failed = |why: String| TlsError::Client {
            name: name.to_owned(),
            why,
        };
        let mut roots = RootCertStore::empty();
        match ca {
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(path) => {
                let octets = std::fs::read(path).map_err(|error| TlsError::Read {
                    what: "certificates",
                    path: path.to_owned(),
                    error,
                })?;
                let pem = |why: String| TlsError::Pem {
                    what: "certificates",
                    path: path.to_owned(),
                    why,
                };
                for certificate in CertificateDer::pem_slice_iter(&octets) {
                    let certificate = certificate.map_err(|error| pem(error.to_string()))?;
                    roots
                        .add(certificate)
                        .map_err(|error| pem(error.to_string()))?;
                }
                if roots.is_empty() {
                    return Err(pem(
                        "it holds no \"-----BEGIN CERTIFICATE-----\" section".to_owned()
                    ));
                }
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| failed(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            name: ServerName::try_from(name.to_owned())
                .map_err(|error| failed(error.to_string()))?,
        })
    }

    /// Does the handshake; what was read before it must not be read after it.
    pub async fn connect(&self, stream: Stream) -> io::Result<Stream> {
        let (plain, peer) = stream.into_plain()?;
        let stream = self.connector.connect(self.name.clone(), plain).await?;
        Ok(Stream::under_tls(TlsStream::Client(stream), peer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remote_may_be_a_listener_of_this_machine() {
        for (remote, listener, reaches) in [
            ("127.0.0.1:25", "127.0.0.1:25", true),
            ("127.0.0.1:25", "127.0.0.1:26", false),
            ("127.0.0.1:25", "127.0.0.2:25", false),
            ("127.0.0.2:25", "0.0.0.0:25", true),
            ("127.0.0.1:25", "[::]:25", true),
            ("[::ffff:127.0.0.1]:25", "127.0.0.1:25", true),
            ("[::1]:25", "[::]:25", true),
            ("[::1]:25", "0.0.0.0:25", false),
            ("localhost:25", "0.0.0.0:25", true),
            ("LocalHost:25", "127.0.0.1:25", true),
            ("localhost:25", "[::1]:25", true),
            ("localhost:25", "192.0.2.1:25", false),
            ("0.0.0.0:25", "127.0.0.1:25", true),
            ("[::]:25", "[::1]:25", true),
            // Somebody else's: of RFC 5737 and RFC 3849.
            ("203.0.113.1:25", "0.0.0.0:25", false),
            ("[2001:db8::1]:25", "[::]:25", false),
            ("192.0.2.1:25", "192.0.2.1:25", true),
            ("mx.example.test:25", "0.0.0.0:25", false),
            ("unix:/run/a", "unix:/run/a", true),
            ("unix:/run/a", "unix:/run/b", false),
            ("127.0.0.1:25", "unix:/run/b", false),
        ] {
            let (to, at) = (remote.parse::<Remote>(), listener.parse());
            assert_eq!(
                to.unwrap().reaches(&at.unwrap()),
                reaches,
                "{remote} {listener}"
            );
        }
        // Where there is a way out, an address of this machine's.
        if let Ok(own) = source("203.0.113.1".parse().unwrap()) {
            let remote: Remote = format!("{own}:25").parse().unwrap();
            assert!(remote.reaches(&"[::]:25".parse().unwrap()), "{own}");
        }
    }

    #[tokio::test]
    async fn an_address_that_never_answers_leaves_time_for_the_next() {
        let addresses: [SocketAddr; 3] = ["192.0.2.1:25", "192.0.2.2:25", "192.0.2.3:25"]
            .map(|address| address.parse().unwrap());
        let connect = |address| async move {
            match addresses.iter().position(|known| *known == address) {
                Some(0) => std::future::pending().await,
                Some(1) => Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
                _ => Ok(address),
            }
        };
        let end = Instant::now() + Duration::from_secs(60);
        let (all, late) = tokio::join!(
            first(
                &addresses,
                Instant::now() + Duration::from_millis(300),
                connect
            ),
            first(
                &addresses[..1],
                Instant::now() + Duration::from_millis(100),
                connect
            ),
        );
        assert_eq!(all.unwrap(), addresses[2]);
        assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let refused = first(&addresses[1..2], end, connect).await;
        assert_eq!(
            refused.unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
    }

    #[test]
    fn remotes_are_written_as_they_are_read() {
        for text in [
            "127.0.0.1:10026",
            "[::1]:25",
            "postfix.internal:10026",
            "localhost:24",
            "unix:/run/dovecot/lmtp",
        ] {
            assert_eq!(text.parse::<Remote>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            ":25",
            "host",
            "host:0",
            "host:99999",
            "::1:25",
            "unix:",
            "unix:relative",
            "two words:25",
            "smtp:host:25",
        ] {
            assert!(bad.parse::<Remote>().is_err(), "{bad:?}");
        }
    }
}
