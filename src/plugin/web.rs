//! HTTP as plugins may use it: one request on one connection, to an address that was checked. Follows no redirects, keeps nothing.

use super::services::{Dns, Http, HttpBody, HttpError};
use crate::dns::Kind;
use async_trait::async_trait;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::CONTENT_LENGTH;
use hyper::http::uri::Scheme;
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Until there is a connection, TLS included.
const CONNECT: Duration = Duration::from_secs(10);
/// Until the header of the answer is here; the wall clock of the hook is shorter as a rule.
const ANSWER: Duration = Duration::from_secs(60);
/// Octets of an answer's body.
const MAX_BODY: usize = 8 * 1024 * 1024;
/// Octets of an answer's header.
const MAX_HEADER: usize = 64 * 1024;
/// Addresses of a host that are tried.
const MAX_TRIES: usize = 3;

/// The network.
pub struct Web {
    dns: Option<Arc<dyn Dns>>,
    tls: TlsConnector,
}

impl Web {
    /// Certificates are checked against the roots that Mozilla trusts.
    pub fn new(dns: Option<Arc<dyn Dns>>) -> Result<Self, rustls::Error> {
        let roots = rustls::RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.into(),
        };
        Self::with_roots(dns, roots)
    }

    fn with_roots(
        dns: Option<Arc<dyn Dns>>,
        roots: rustls::RootCertStore,
    ) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            dns,
            tls: TlsConnector::from(Arc::new(config)),
        })
    }

    /// The addresses of a host that may be connected to. They are used as they are, so that a second answer of the DNS changes nothing.
    async fn addresses(
        &self,
        host: &str,
        port: u16,
        private: bool,
    ) -> Result<Vec<SocketAddr>, HttpError> {
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse();
        let found: Vec<IpAddr> = match (literal, &self.dns) {
            (Ok(address), _) => vec![address],
            (Err(_), None) => return Err(no_such_name()),
            (Err(_), Some(dns)) => {
                let (v6, v4) =
                    tokio::join!(dns.lookup(host, Kind::Aaaa), dns.lookup(host, Kind::A));
                if let (Err(_), Err(_)) = (&v6, &v4) {
                    return Err(no_such_name());
                }
                let records = v4.unwrap_or_default().into_iter();
                let records = records.chain(v6.unwrap_or_default());
                records.filter_map(|record| record.parse().ok()).collect()
            }
        };
        if found.is_empty() {
            return Err(no_such_name());
        }
        let allowed = found
            .into_iter()
            .filter(|address| private || is_public(*address));
        let allowed: Vec<_> = allowed
            .map(|address| SocketAddr::new(address, port))
            .take(MAX_TRIES)
            .collect();
        if allowed.is_empty() {
            return Err(HttpError::DestinationIpProhibited);
        }
        Ok(allowed)
    }

    async fn connect(
        &self,
        host: &str,
        port: u16,
        tls: bool,
        private: bool,
    ) -> Result<Box<dyn Stream>, HttpError> {
        let mut last = HttpError::ConnectionRefused;
        for address in self.addresses(host, port, private).await? {
            match TcpStream::connect(address).await {
                Ok(stream) if tls => {
                    let name = host
                        .trim_start_matches('[')
                        .trim_end_matches(']')
                        .to_owned();
                    let name =
                        ServerName::try_from(name).map_err(|_| HttpError::HttpRequestUriInvalid)?;
                    let stream = self.tls.connect(name, stream).await;
                    return Ok(Box::new(stream.map_err(tls_error)?));
                }
                Ok(stream) => return Ok(Box::new(stream)),
                Err(error) => last = HttpError::Connect(error),
            }
        }
        Err(last)
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

#[async_trait]
impl Http for Web {
    async fn send(
        &self,
        mut request: Request<HttpBody>,
        private: bool,
    ) -> Result<Response<HttpBody>, HttpError> {
        let tls = request.uri().scheme() == Some(&Scheme::HTTPS);
        let host = request.uri().host().unwrap_or_default().to_owned();
        let port = request.uri().port_u16();
        let port = port.unwrap_or(if tls { 443 } else { 80 });
        let connect = tokio::time::timeout(CONNECT, self.connect(&host, port, tls, private));
        let stream = connect.await.map_err(|_| HttpError::ConnectionTimeout)??;
        // To a server the request names the path only; the host stands in its header (RFC 9112 §3.2.1).
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = path.map_or_else(|| Uri::from_static("/"), Uri::from);
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_HEADER)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(HttpError::Hyper)?;
        let connection = AbortOnDrop(tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a plugin's HTTP connection ended early");
            }
        }));
        let answer = tokio::time::timeout(ANSWER, sender.send_request(request));
        let answer = answer
            .await
            .map_err(|_| HttpError::HttpResponseTimeout)?
            .map_err(HttpError::Hyper)?;
        bounded(answer, connection)
    }
}

/// The connection lives as long as the body.
fn bounded(
    answer: Response<Incoming>,
    connection: AbortOnDrop,
) -> Result<Response<HttpBody>, HttpError> {
    let announced = answer.headers().get(CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > MAX_BODY as u64) {
        return Err(HttpError::HttpResponseBodySize(announced));
    }
    Ok(answer.map(move |body| {
        Limited::new(body, MAX_BODY)
            .map_err(move |error| {
                // Moved in here: dropped with the body.
                let _ = &connection;
                match error.downcast::<hyper::Error>() {
                    Ok(error) => HttpError::Hyper(*error),
                    Err(_) => HttpError::HttpResponseBodySize(Some(MAX_BODY as u64)),
                }
            })
            .boxed_unsync()
    }))
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn no_such_name() -> HttpError {
    HttpError::DnsError {
        rcode: Some("no address".to_owned()),
        info_code: None,
    }
}

fn tls_error(error: io::Error) -> HttpError {
    let certificate = error
        .get_ref()
        .and_then(|error| error.downcast_ref::<rustls::Error>())
        .is_some_and(|error| matches!(error, rustls::Error::InvalidCertificate(_)));
    if certificate {
        HttpError::TlsCertificateError
    } else {
        HttpError::Tls(error)
    }
}

/// Whether an address is one of the public Internet, by the IANA's registries of special-purpose addresses (RFC 6890).
pub fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        // "This network", shared by carriers (RFC 6598), protocols, 6to4 relays, benchmarks, reserved and broadcast.
        || a == 0
        || (a == 100 && b & 0xc0 == 64)
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && b & 0xfe == 18)
        || a >= 240)
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, ..] = address.segments();
    // Global unicast is 2000::/3 so far. In it, Teredo, ORCHID and benchmarks (2001::/23), 6to4 (2002::/16), which would lead to any
    // IPv4 address, and documentation.
    a & 0xe000 == 0x2000
        && !(a == 0x2001 && b < 0x200)
        && !(a == 0x2001 && b == 0xdb8)
        && a != 0x2002
        && !(a == 0x3fff && b < 0x1000)
        && (a, b, c) != (0x2620, 0x4f, 0x8000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Full;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Every name is this host.
    struct Here;

    #[async_trait]
    impl Dns for Here {
        async fn lookup(&self, _: &str, kind: Kind) -> Result<Vec<String>, String> {
            Ok(match kind {
                Kind::A => vec!["127.0.0.1".to_owned()],
                _ => Vec::new(),
            })
        }
    }

    /// A TLS server for `api.example.test` that answers one request, and its certificate.
    async fn serve() -> (u16, CertificateDer<'static>) {
        let made = rcgen::generate_simple_self_signed(["api.example.test".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let mut request = [0; 1024];
                let _ = stream.read(&mut request).await;
                let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
                let _ = stream.write_all(answer).await;
            }
        });
        (port, certificate)
    }

    fn get(host: &str, port: u16) -> Request<HttpBody> {
        let body = Full::default().map_err(|error| match error {});
        Request::get(format!("https://{host}:{port}/"))
            .header("Host", host)
            .body(body.boxed_unsync())
            .unwrap()
    }

    fn trusting(certificate: CertificateDer<'static>) -> Web {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate).unwrap();
        Web::with_roots(Some(Arc::new(Here)), roots).unwrap()
    }

    #[tokio::test]
    async fn certificates_are_checked() {
        let (port, certificate) = serve().await;
        let web = trusting(certificate);
        let answer = web.send(get("api.example.test", port), true).await.unwrap();
        assert_eq!(answer.status(), 204);
        // Of another name, and of nobody who is trusted.
        let (port, certificate) = serve().await;
        let answer = trusting(certificate)
            .send(get("other.example.test", port), true)
            .await;
        assert!(matches!(answer, Err(HttpError::TlsCertificateError)));
        let (port, _) = serve().await;
        let web = Web::new(Some(Arc::new(Here))).unwrap();
        let answer = web.send(get("api.example.test", port), true).await;
        assert!(matches!(answer, Err(HttpError::TlsCertificateError)));
    }

    #[tokio::test]
    async fn a_name_of_a_private_address_is_refused() {
        let web = Web::new(Some(Arc::new(Here))).unwrap();
        let answer = web.send(get("api.example.test", 1), false).await;
        assert!(matches!(answer, Err(HttpError::DestinationIpProhibited)));
    }

    #[test]
    fn addresses_that_are_not_public() {
        for text in [
            "127.0.0.1",
            "127.1.2.3",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "240.0.0.1",
            "198.18.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "2002:7f00:1::",
            "2001::1",
            "2001:db8::1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "fec0::1",
            "100::1",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in [
            "8.8.8.8",
            "1.1.1.1",
            "172.32.0.1",
            "100.128.0.1",
            "2606:4700:4700::1111",
            "2a00:1450::1",
        ] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }
}
