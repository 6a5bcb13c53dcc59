//! HTTP/1 over a connection: bounded in time, ended in order. Knows no paths.

use super::pressing::Pressing;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::error::Error;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

/// Time for a client to send the header of its request.
const HEADER: Duration = Duration::from_secs(30);
/// Time for a client to take anything at all of an answer.
const STALLED: Duration = Duration::from_secs(60);

/// The most of a request's header, which is in memory before anything is known of who sends it.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    pub fields: usize,
    pub octets: usize,
}

impl Default for Head {
    fn default() -> Self {
        Self {
            fields: 100,
            octets: 400 << 10,
        }
    }
}

/// One connection, until it ends or, after `stop`, its request in flight is answered.
pub async fn serve<I, S, B>(io: I, service: S, head: Head, stop: CancellationToken)
where
    I: AsyncRead + AsyncWrite + Unpin,
    S: Service<Request<Incoming>, Response = Response<B>>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let io = Pressing::new(io, STALLED);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER)
        .max_headers(head.fields)
        .max_buf_size(head.octets)
        .serve_connection(TokioIo::new(io), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection ended early");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http_body_util::Full;
    use hyper::service::service_fn;
    use std::convert::Infallible;
    use tokio::io::AsyncWriteExt;
    use tokio::time::timeout;

    #[tokio::test]
    async fn a_client_that_does_not_read_its_answer_is_cut_off() {
        let (mut client, server) = tokio::io::duplex(1024);
        let question = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        client.write_all(question).await.unwrap();
        let service = service_fn(|_| async {
            let long = Full::new(Bytes::from(vec![b'x'; 100_000]));
            Ok::<_, Infallible>(Response::new(long))
        });
        let io = Pressing::new(server, Duration::from_millis(50));
        let serving = serve(io, service, Head::default(), CancellationToken::new());
        let ended = timeout(Duration::from_secs(30), serving).await;
        assert!(ended.is_ok(), "it waits for the client");
        drop(client);
    }
}
