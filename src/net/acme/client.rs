//! HTTPS to the ACME server: one connection a request. There are a dozen of them in two months.
//! Knows nothing of ACME.

use super::super::tls::{Authorities, TlsError, provider};
use bytes::Bytes;
use hyper::Request;
use hyper::header::{HOST, HeaderValue};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// For a request and its answer.
const DEADLINE: Duration = Duration::from_secs(60);

pub(super) struct Https(TlsConnector);

impl Https {
    pub fn new(authorities: Option<&Authorities>) -> Result<Self, TlsError> {
        let roots = match authorities {
            Some(authorities) => authorities.roots().clone(),
            None => RootCertStore {
                roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
            },
        };
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Configuration(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self(TlsConnector::from(Arc::new(config))))
    }
}

type Answer = Result<BytesResponse, Error>;

impl HttpClient for Https {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        let tls = self.0.clone();
        Box::pin(async move {
            let host = request.uri().host().unwrap_or_default().to_owned();
            let asked = tokio::time::timeout(DEADLINE, send(tls, request));
            let answer = asked.await.map_err(|_| Error::Str("it does not answer"))?;
            answer.map_err(|error| Error::Other(format!("{host}: {error}").into()))
        })
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

async fn send(
    tls: TlsConnector,
    mut request: Request<BodyWrapper<Bytes>>,
) -> Result<BytesResponse, Failure> {
    let uri = request.uri().clone();
    if uri.scheme_str() != Some("https") {
        return Err(format!("{uri} is no https address").into());
    }
    let host = uri.host().unwrap_or_default();
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let name = ServerName::try_from(host.clone())?;
    let stream = TcpStream::connect((host, uri.port_u16().unwrap_or(443))).await?;
    let stream = tls.connect(name, stream).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    request
        .headers_mut()
        .insert(HOST, HeaderValue::from_str(authority)?);
    // HTTP/1.1 names the path; who is asked stands in Host.
    *request.uri_mut() = uri
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .parse()?;
    let (parts, body) = sender.send_request(request).await?.into_parts();
    let body = http_body_util::BodyExt::collect(http_body_util::Limited::new(body, 1 << 20));
    let body = body.await?.to_bytes();
    drop(sender);
    connection.abort();
    Ok(BytesResponse {
        parts,
        body: Box::new(body),
    })
}
