//! The HTTP side: health and metrics for everybody, control for the server's own user. Doesn't know how connections come in.

pub mod challenges;
pub mod control;
pub mod plugins;

use crate::metrics::{MEDIA_TYPE, Registry};
use crate::net::Stream;
use crate::net::http::{self, Head};
use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use hyper_util::service::TowerToHyperService;
use tokio_util::sync::CancellationToken;

pub fn routes(metrics: Registry) -> Router {
    let text = move || async move { ([(CONTENT_TYPE, MEDIA_TYPE)], metrics.text()) };
    Router::new()
        .route("/healthz", get(|| async { (StatusCode::OK, "ready\n") }))
        .route("/metrics", get(text))
}

/// One connection, until it ends or, after `stop`, its request in flight is answered.
pub async fn serve(stream: Stream, routes: Router, stop: CancellationToken) {
    http::serve(
        stream,
        TowerToHyperService::new(routes),
        Head::default(),
        stop,
    )
    .await;
}
