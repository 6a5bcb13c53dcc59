//! The HTTP side: health and metrics for everybody, control for the server's own user. Doesn't know how connections come in.

pub mod challenges;
pub mod control;
pub mod plugins;

use crate::metrics::{MEDIA_TYPE, Registry};
use crate::net::Stream;
use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Time for a client to send the header of its request.
const HEADER: Duration = Duration::from_secs(30);

pub fn routes(metrics: Registry) -> Router {
    let text = move || async move { ([(CONTENT_TYPE, MEDIA_TYPE)], metrics.text()) };
    Router::new()
        .route("/healthz", get(|| async { (StatusCode::OK, "ready\n") }))
        .route("/metrics", get(text))
}

/// One connection, until it ends or, after `stop`, its request in flight is answered.
pub async fn serve(stream: Stream, routes: Router, stop: CancellationToken) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
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
